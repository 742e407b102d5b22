"""Quantization-aware retraining of a network after post-training quantization."""

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
from swis.runtime.workers import loader_of
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
    """Train ``student`` in place on (image [C, H, W], label); return its learning curve.

    The student must have latent weights (``swis.training.parametrization.add_latents``) and, for quantized
    activations, their hooks. The float ``teacher`` is needed for distillation. The curve has a dictionary per
    epoch: the mean ``loss``, the ``learning_rate`` at its end, the share of codes that ``changed`` during the
    epoch, and the share of ``frozen`` codes. ``on_epoch`` is called with the curve so far.

    The state after every epoch is written to ``state_path``. A later call with the same ``identity``
    continues from there, and ends with the weights of an uninterrupted run. Raises ``InputError`` for the
    state of another training and for fewer images than a batch, ``FloatingPointError`` if the loss or a
    weight is not finite, and ``ValueError`` for distillation without a teacher.
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
        order, random = _generators(seed, epoch)
        loader, total = _shuffled(dataset, recipe.batch_size, order, workers), 0.0
        bar = tqdm(loader, desc=f"retraining, epoch {epoch + 1}/{recipe.epochs}", mininterval=5, leave=False)
        with _dropout_seeded(random.initial_seed(), device):
            for step, (images, labels) in enumerate(bar, start=1 + epoch * steps):
                schedule.step_update(step)
                images = augment(
                    images.to(device), recipe.translate, recipe.random_erasing, random, recipe.hflip
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
        if on_epoch is not None:  # before writing the state: after a kill in between, the epoch runs again
            on_epoch(curve)
        state = {"plan": identity, "curve": curve, "model": student.state_dict()}
        state["optimizer"] = optimizer.state_dict()
        write_atomically(state_path, partial(torch.save, state))
    normalised = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in student.modules())
    if normalised and recipe.reestimate:
        # batches are shuffled as in training, because the variance of a batch with one class is smaller
        order, random = _generators(seed, recipe.epochs)
        batches = _shuffled(dataset, recipe.batch_size, order, workers)
        with _dropout_seeded(random.initial_seed(), device):
            update_bn(tqdm(batches, desc="statistics of normalisation", leave=False), student, device)
    student.eval()
    # without the optimizer, which a finished training does not need, the file has half the size
    state = {"plan": identity, "curve": curve, "model": student.state_dict()}
    write_atomically(state_path, partial(torch.save, state))
    return curve


def task_loss(
    student: nn.Module, teacher: nn.Module | None, images: Tensor, labels: Tensor, recipe: Retraining
) -> Tensor:
    """Return the loss of a batch, images [N, C, H, W] and labels [N].

    It is (1 - d) x cross-entropy + d x T^2 x KL divergence from the teacher, with d = ``distillation`` and
    the temperature T; the factor T^2 keeps the size of gradients (Hinton et al. 2015).

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
    """Return the generators of an epoch's order and of its augmentation."""
    states = np.random.SeedSequence([seed, epoch]).generate_state(2, np.uint64)
    return [torch.Generator().manual_seed(int(state >> 1)) for state in states]


def _shuffled(dataset: Dataset, batch_size: int, generator: torch.Generator, workers: int) -> DataLoader:
    # shuffled here, because the order of a shuffling loader depends on the number of workers
    order = torch.randperm(len(dataset), generator=generator).tolist()
    return loader_of(dataset, batch_size, workers, sampler=order, drop_last=True, generator=generator)


@contextmanager
def _dropout_seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators, which dropout uses, within this context."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _descend(
    student: nn.Module, parts: list, optimizer: torch.optim.Optimizer, loss: Tensor, dampening: float
) -> None:
    """Take an optimizer step; raise ``FloatingPointError`` if the loss or a weight is not finite."""
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
    """Return the optimizer; learned scales have their own learning rate and do not decay."""
    gains = {id(latent.gain) for latent, _ in latents(student).values() if latent.settings.learned_scale}
    decayed, plain = parameter_groups(student, recipe.weight_decay)
    scales = {**plain, "params": [p for p in plain["params"] if id(p) in gains], "lr": recipe.scale_rate}
    plain = {**plain, "params": [p for p in plain["params"] if id(p) not in gains]}
    groups = [group for group in (decayed, plain, scales) if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.learning_rate)
    return torch.optim.SGD(groups, recipe.learning_rate, recipe.momentum, nesterov=recipe.momentum > 0)


def _cosine(optimizer: torch.optim.Optimizer, recipe: Retraining, steps: int) -> CosineLRScheduler:
    """Return a learning rate schedule that depends only on the step, 1..steps, and so needs no state."""
    warmup = min(round(recipe.warmup * steps), steps - 1)
    # one step longer, because the learning rate at the end of the cosine is zero
    length = steps - warmup + 1
    return CosineLRScheduler(optimizer, length, warmup_t=warmup, warmup_prefix=True, t_in_epochs=False)


def _moved(parts: list, before: list[Tensor]) -> dict[str, float]:
    """Return the share of codes that differ from ``before``, and the share of frozen codes."""
    weights = sum(codes.numel() for codes in before)
    changed = sum(
        int((latent.codes(weight) != codes).sum())
        for (latent, weight), codes in zip(parts, before, strict=True)
    )
    frozen = sum(int(part.oscillation.frozen.sum()) for part, _ in parts if part.oscillation is not None)
    return {"changed": changed / weights, "frozen": frozen / weights}
