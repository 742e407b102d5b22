"""Retraining a network of few bits: what post-training calibration has left of its accuracy, trained back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, Dataset

from swis.errors import InputError
from swis.options.training import Retraining
from swis.runtime.files import write_atomically
from swis.runtime.progress import tqdm
from swis.training.float_training import augment, load_state, parameter_groups
from swis.training.parametrization import latents


def retrain(
    student: nn.Module,
    teacher: nn.Module | None,
    dataset: Dataset,
    recipe: Retraining,
    *,
    seed: int,
    identity: str,
    device: torch.device,
    state_path: Path,
    workers: int = 1,
    on_epoch: Callable[[list[dict[str, float]]], None] | None = None,
) -> list[dict[str, float]]:
    """Train ``student`` in place on (image [C, H, W], label); return a line of the curve for every epoch.

    The student has its latent weights (``swis.training.parametrization.add_latents``), and the hooks of its
    activations. The float ``teacher`` is needed to distil. A line says the mean loss, the learning rate at
    the end, the share of codes that differ from those an epoch ago, and the share of frozen ones.
    ``on_epoch`` gets the curve so far.

    The state after every epoch goes to ``state_path``, and a later call with the same ``identity`` goes on
    from there: it ends with the weights of an uninterrupted run. Raises ``InputError`` if the state is of
    another training or the data set smaller than a batch, ``FloatingPointError`` when the loss or a weight
    stops being finite, ``ValueError`` if there is no teacher to distil from.
    """
    if recipe.distillation > 0 and teacher is None:
        raise ValueError("distillation needs a teacher")
    steps = len(dataset) // recipe.batch_size
    if steps == 0:
        raise InputError(f"{len(dataset)} training images do not fill a batch of {recipe.batch_size}")
    student.to(device=device, memory_format=torch.channels_last).train()
    if teacher is not None:
        teacher.to(device=device, memory_format=torch.channels_last).eval()
    parts = list(latents(student).values())
    optimizer = _optimizer(student, recipe)
    schedule = _cosine(optimizer, recipe, steps * recipe.epochs)
    curve: list[dict[str, float]] = []
    state = load_state(state_path, identity)
    if state is not None:
        student.load_state_dict(state["model"])
        curve = state["curve"]
        if "optimizer" not in state:
            student.eval()
            return curve
        optimizer.load_state_dict(state["optimizer"])

    for epoch in range(len(curve), recipe.epochs):
        before = [latent.codes(weight).short() for latent, weight in parts]
        order, drawn = _generators(seed, epoch)
        loader, total = _shuffled(dataset, recipe.batch_size, order, workers), 0.0
        bar = tqdm(loader, desc=f"retraining, epoch {epoch + 1}/{recipe.epochs}", mininterval=5, leave=False)
        with _dropout_seeded(drawn.initial_seed(), device):
            for step, (images, labels) in enumerate(bar, start=1 + epoch * steps):
                schedule.step_update(step)
                images = augment(
                    images.to(device), recipe.translate, recipe.random_erasing, drawn, recipe.hflip
                )
                images = images.contiguous(memory_format=torch.channels_last)
                ramp = (1 - math.cos(math.pi * step / (steps * recipe.epochs))) / 2
                try:
                    loss = task_loss(student, teacher, images, labels.to(device), recipe)
                    _descend(student, parts, optimizer, loss, recipe.dampening * ramp)
                except FloatingPointError as error:
                    reason = f"{error} in epoch {epoch + 1}; a lower learning rate may help"
                    raise FloatingPointError(reason) from None
                for latent, weight in parts:
                    latent.advance(weight, step, last=step == steps * recipe.epochs)
                value = loss.item()
                total += value
                bar.set_postfix(loss=f"{value:.3f}", refresh=False)
        rate = optimizer.param_groups[0]["lr"]
        curve.append(
            {"epoch": epoch + 1, "loss": total / steps, "learning_rate": rate, **_moved(parts, before)}
        )
        if on_epoch is not None:  # before the state: after a kill in between, the epoch says its line again
            on_epoch(curve)
        state = {"plan": identity, "curve": curve, "model": student.state_dict()}
        state["optimizer"] = optimizer.state_dict()
        write_atomically(state_path, partial(torch.save, state))
    normalised = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in student.modules())
    if normalised and recipe.reestimate:
        # of mixed classes, as in training: the variance of a batch of one class is less
        order, drawn = _generators(seed, recipe.epochs)
        batches = _shuffled(dataset, recipe.batch_size, order, workers)
        with _dropout_seeded(drawn.initial_seed(), device):
            update_bn(tqdm(batches, desc="statistics of normalisation", leave=False), student, device)
    student.eval()
    # of a finished training no momentum is needed: half the file
    state = {"plan": identity, "curve": curve, "model": student.state_dict()}
    write_atomically(state_path, partial(torch.save, state))
    return curve


def task_loss(
    student: nn.Module, teacher: nn.Module | None, images: Tensor, labels: Tensor, recipe: Retraining
) -> Tensor:
    """Return the loss of a batch, images [N, C, H, W] and labels [N].

    The divergence is multiplied by the squared temperature, so that gradients keep their size (Hinton et
    al. 2015).

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    >>> recipe = Retraining(distillation=1.0)
    >>> task_loss(network, network, torch.ones(2, 1, 2, 2), torch.zeros(2).long(), recipe).item()
    0.0
    """
    share, loss = recipe.distillation, 0.0
    with torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        logits = student(images).float()
    if share < 1:
        loss = (1 - share) * F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    if share > 0:
        with (
            torch.no_grad(),
            torch.autocast(images.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"),
        ):
            wanted = teacher(images).float()
        found, wanted = ((values / recipe.temperature).log_softmax(1) for values in (logits, wanted))
        divergence = F.kl_div(found, wanted, reduction="batchmean", log_target=True)
        loss = loss + share * recipe.temperature**2 * divergence
    return loss


def _generators(seed: int, epoch: int) -> list[torch.Generator]:
    """Return what draws an epoch's order, and what draws its augmentation."""
    states = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint64)
    return [torch.Generator().manual_seed(int(state >> 1)) for state in states]


def _shuffled(dataset: Dataset, batch_size: int, generator: torch.Generator, workers: int) -> DataLoader:
    # drawn here and at once: a loader that shuffles draws in another order with other workers
    order = torch.randperm(len(dataset), generator=generator).tolist()
    return DataLoader(
        dataset, batch_size, sampler=order, drop_last=True, num_workers=workers, generator=generator
    )


@contextmanager
def _dropout_seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Let dropout, which draws from the global generators, draw from this seed meanwhile."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _descend(
    student: nn.Module, parts: list, optimizer: torch.optim.Optimizer, loss: Tensor, dampening: float
) -> None:
    """Take a step down the loss; raise ``FloatingPointError`` if it or a weight is not finite."""
    if not torch.isfinite(loss):
        raise FloatingPointError(f"the loss became {loss.item()}")
    optimizer.zero_grad()
    loss.backward()
    if dampening > 0:
        for latent, weight in parts:
            latent.dampen(weight, dampening)
    optimizer.step()
    size = get_total_norm(student.parameters())
    if not torch.isfinite(size):
        raise FloatingPointError(f"the norm of the weights became {size.item()}")


def _optimizer(student: nn.Module, recipe: Retraining) -> torch.optim.Optimizer:
    """Make the optimizer; learned scales have a learning rate of their own, and do not decay."""
    gains = {id(latent.gain) for latent, _ in latents(student).values() if latent.settings.learned_scale}
    decayed, plain = parameter_groups(student, recipe.weight_decay)
    scales = {**plain, "params": [p for p in plain["params"] if id(p) in gains], "lr": recipe.scale_rate}
    plain = {**plain, "params": [p for p in plain["params"] if id(p) not in gains]}
    groups = [group for group in (decayed, plain, scales) if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.learning_rate)
    return torch.optim.SGD(groups, recipe.learning_rate, recipe.momentum, nesterov=recipe.momentum > 0)


def _cosine(optimizer: torch.optim.Optimizer, recipe: Retraining, steps: int) -> CosineLRScheduler:
    """Make a schedule that is a function of the step alone, 1..steps: an interruption is nothing to it."""
    warmup = min(round(recipe.warmup * steps), steps - 1)
    # one more, since a step at the cosine's end would have a learning rate of zero
    length = steps - warmup + 1
    return CosineLRScheduler(optimizer, length, warmup_t=warmup, warmup_prefix=True, t_in_epochs=False)


def _moved(parts: list, before: list[Tensor]) -> dict[str, float]:
    """Return the shares of codes that are not as ``before``, and of frozen ones."""
    weights = sum(codes.numel() for codes in before)
    changed = sum(
        int((latent.codes(weight) != codes).sum())
        for (latent, weight), codes in zip(parts, before, strict=True)
    )
    frozen = sum(int(part.oscillation.frozen.sum()) for part, _ in parts if part.oscillation is not None)
    return {"changed": changed / weights, "frozen": frozen / weights}
