"""A study's network retrained in a format, on images of its data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from swis import records
from swis.apply import Encoded, plain_copy, weight_layers
from swis.data import Split
from swis.latent import LatentTraining, add_latents, latents
from swis.retrain import Retraining, retrain
from swis.settings import RetrainConfig


def retrain_facts(settings: RetrainConfig, images: Split, seed: int) -> dict[str, Any]:
    """Return what the weights of a retrained network depend on beside those it starts from."""
    known = {field.name for part in (Retraining, LatentTraining) for field in fields(part)}
    chosen = {name: value for name, value in asdict(settings).items() if name in known}
    return {name: chosen[name] for name in sorted(chosen)} | {"images": images.digest, "seed": seed}


def retrained(
    teacher: nn.Module,
    module: nn.Module,
    encoded: Mapping[str, Encoded],
    images: Split,
    settings: RetrainConfig,
    *,
    seed: int,
    key: str,
    folder: Path,
    device: torch.device,
    workers: int,
) -> tuple[nn.Module, dict[str, Encoded]]:
    """Retrain a post-training result, ``module`` with its layers' ``encoded`` weights; return both anew.

    The learning curve and the state go beside the row called ``key``: an interrupted training goes on from
    there, a finished one is only read. ``teacher`` is the float network.
    """

    def of(part: type) -> Any:
        return part(**{field.name: getattr(settings, field.name) for field in fields(part)})

    student = add_latents(copy.deepcopy(module), dict(encoded), of(LatentTraining))
    recipe = of(Retraining)
    curve = retrain(
        student,
        copy.deepcopy(teacher) if recipe.distillation > 0 else None,
        images,
        recipe,
        seed=seed,
        plan=key,
        device=device,
        state_path=records.beside(key, folder, records.STATE),
        workers=workers,
    )
    records.write_table(pd.DataFrame(curve), records.beside(key, folder, records.CURVE))
    student = student.cpu().to(memory_format=torch.contiguous_format).requires_grad_(False)
    made = {id(encoded[name]): latent.encoded(weight) for name, (latent, weight) in latents(student).items()}
    after = {name: made[id(found)] for name, found in encoded.items()}
    plain = plain_copy(student)
    for name, layer in weight_layers(plain).items():
        # strides as everywhere else, so that logits do not differ in their last bits
        layer.weight.data = after[name].weight()
    return plain, after
