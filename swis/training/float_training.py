"""Training a float network from scratch, as for the embedded checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from swis.errors import InputError
from swis.options.training import FloatTraining, Stage
from swis.runtime.checksums import check_parts
from swis.runtime.files import write_atomically
from swis.runtime.progress import tqdm
from swis.runtime.workers import loader_of

log = logging.getLogger("swis")


def augment(
    images: Tensor,
    translate: float,
    random_erasing: float,
    generator: torch.Generator,
    hflip: bool = True,
) -> Tensor:
    """Translate every image of a batch, erase a patch of some images and, with ``hflip``, flip half of them.

    Shapes: ``images`` [N, C, H, W] -> [N, C, H, W]. ``translate`` is the largest translation as a fraction of
    the side, ``random_erasing`` the probability of erasing a patch. Pixels that are moved in or erased get
    the value 0, which is the mean of a normalised image.

    >>> g = torch.Generator().manual_seed(0)
    >>> augment(torch.ones(2, 1, 4, 4), translate=0.25, random_erasing=0.0, generator=g).shape
    torch.Size([2, 1, 4, 4])
    """
    n, _, h, w = images.shape

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (n, 1), generator=generator).to(images.device)

    flip = draw(0, 1).bool() & hflip  # drawn in any case, so that later random numbers do not depend on hflip
    rows, columns = torch.arange(h, device=images.device), torch.arange(w, device=images.device)
    reach = round(translate * h)
    y = rows + draw(-reach, reach)
    x = torch.where(flip, w - 1 - columns, columns) + draw(-reach, reach)
    inside = ((y >= 0) & (y < h))[:, :, None] & ((x >= 0) & (x < w))[:, None, :]

    side, top, left = draw(h // 8, h // 3), draw(0, h - 1), draw(0, w - 1)
    chosen = torch.rand(n, 1, 1, generator=generator).to(images.device) < random_erasing
    patch_rows = (rows >= top) & (rows < top + side)
    patch_columns = (columns >= left) & (columns < left + side)
    inside &= ~(chosen & patch_rows[:, :, None] & patch_columns[:, None, :])

    index = torch.arange(n, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[index, y.clamp(0, h - 1)[:, :, None], x.clamp(0, w - 1)[:, None, :]]
    return (moved * inside[..., None]).permute(0, 3, 1, 2)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Split parameters into matrices and kernels, which decay, and biases and normalisation, which do not."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Return the generator of an epoch's order and augmentation; it is the same after an interruption."""
    return torch.Generator().manual_seed(seed * 10_007 + epoch)


def shuffled(dataset: Dataset, batch_size: int, generator: torch.Generator, workers: int = 1) -> DataLoader:
    """Return a loader of full batches of a data set in a random order."""
    return loader_of(dataset, batch_size, workers, shuffle=True, drop_last=True, generator=generator)


def load_state(path: Path, identity: str) -> dict | None:
    """Return the state of an interrupted training, on the CPU; None if there is no state.

    A damaged state is set aside with a warning. Raises ``InputError`` for the state of another training.
    """
    if not path.exists():
        return None
    try:
        check_parts(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["plan"]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # damage can raise any kind of exception
        aside = path.with_name(f"{path.name}.damaged")
        path.replace(aside)
        log.warning(
            "%s is damaged (%s); it is now %s, and training starts again", path, type(error).__name__, aside
        )
        return None
    if found != identity:
        raise InputError(f"{path} is the state of another training; delete it to start again")
    return state


def train(
    model: nn.Module,
    dataset: Dataset,
    stage: Stage,
    recipe: FloatTraining,
    *,
    seed: int,
    identity: str,
    device: torch.device,
    state_path: Path,
    on_epoch: Callable[[int, float], None] | None = None,
) -> nn.Module:
    """Train ``model`` in place for a stage on ``dataset`` of (image [C, H, W], label) and return it.

    The state after every epoch is written to ``state_path``, with ``identity``, a text that identifies the
    training. A later call with the same identity continues from there. It ends with the weights of an
    uninterrupted run, because the order and augmentation of every epoch have a generator seeded by
    (seed, epoch); only networks with dropout, which uses the global generator, get other weights. Raises
    ``InputError`` for the state of another training and for fewer images than a batch; raises
    ``FloatingPointError`` if the loss is not finite.
    """
    model.to(device=device, memory_format=torch.channels_last).train()
    least, most = recipe.momentum
    optimizer = torch.optim.SGD(
        parameter_groups(model, recipe.weight_decay), stage.learning_rate, most, nesterov=True
    )
    steps = len(dataset) // recipe.batch_size
    if steps == 0:
        raise InputError(f"{len(dataset)} training images do not fill a batch of {recipe.batch_size}")
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=stage.learning_rate,
        epochs=stage.epochs,
        steps_per_epoch=steps,
        pct_start=0.2,
        base_momentum=least,
        max_momentum=most,
    )
    first_epoch = 0
    state = load_state(state_path, identity)
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first_epoch = state["epoch"] + 1

    for epoch in range(first_epoch, stage.epochs):
        size = stage.image_sizes[epoch * len(stage.image_sizes) // stage.epochs]
        generator = epoch_generator(seed, epoch)
        loader = shuffled(dataset, recipe.batch_size, generator)
        bar = tqdm(loader, desc=f"epoch {epoch + 1}/{stage.epochs} at {size}px", mininterval=5, leave=False)
        total = 0.0
        for images, labels in bar:
            images = F.interpolate(images.to(device), size=(size, size), mode="bilinear", antialias=True)
            images = augment(images, recipe.translate, stage.random_erasing, generator)
            images = images.contiguous(memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                logits = model(images).float()
            loss = F.cross_entropy(logits, labels.to(device), label_smoothing=recipe.label_smoothing)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"the training loss became {loss.item()} in epoch {epoch + 1}")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            value = loss.item()
            total += value
            bar.set_postfix(loss=f"{value:.3f}", refresh=False)
        state = {
            "plan": identity,
            "epoch": epoch,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
        }
        write_atomically(state_path, partial(torch.save, state))
        if on_epoch is not None:
            on_epoch(epoch, total / steps)
    return model.eval()
