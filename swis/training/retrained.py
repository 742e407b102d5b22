"""A study's network retrained in a format, on images of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from swis.data.image_sets import Split
from swis.encoding.encode import Encoded
from swis.networks.activations import keep_activations
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import put_filters, weight_layers
from swis.options.training import RetrainConfig
from swis.results import records
from swis.training.parametrization import LatentTraining, add_latents, latents
from swis.training.qat import Retraining, retrain


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
    newer_than: float | None = None,
) -> tuple[nn.Module, dict[str, Encoded]]:
    """Retrain a post-training result, ``module`` with its layers' ``encoded`` weights; return both anew.

    What comes back has float activations. The learning curve and the state are kept in ``folder`` by the name
    ``key``: an interrupted training goes on from there, a finished one is only read, unless its state is
    not ``newer_than`` this [s since 1970]. ``teacher`` is the float network.
    """
    chosen = asdict(settings)
    if settings.set_update_interval == "epoch":
        chosen["set_update_interval"] = len(images) // settings.batch_size

    def of(part: type) -> Any:
        return part(**{field.name: chosen[field.name] for field in fields(part)})

    student = add_latents(plain_copy(module), dict(encoded), of(LatentTraining))
    recipe, state_path = of(Retraining), records.artifact_path(key, folder, records.STATE)
    curve_path = records.artifact_path(key, folder, records.CURVE)

    def keep(curve: list[dict[str, float]]) -> None:
        records.write_table(pd.DataFrame(curve), curve_path)

    with records.locked(key, folder):  # rows on other images have the same training
        if newer_than is not None and state_path.exists() and state_path.stat().st_mtime < newer_than:
            state_path.unlink()
        curve = retrain(
            student,
            plain_copy(teacher) if recipe.distillation > 0 else None,
            images,
            recipe,
            seed=seed,
            identity=key,
            device=device,
            state_path=state_path,
            workers=workers,
            on_epoch=keep,
        )
        if not curve_path.exists():  # that of a finished training says which code trained
            keep(curve)
    student = student.cpu().to(memory_format=torch.contiguous_format).requires_grad_(False)
    made = {id(encoded[name]): latent.encoded(weight) for name, (latent, weight) in latents(student).items()}
    after = {name: made[id(found)] for name, found in encoded.items()}
    plain = plain_copy(student)
    layers = weight_layers(plain)
    keep_activations(layers)
    for name, layer in layers.items():
        # strides as everywhere else, so that logits do not differ in their last bits
        put_filters(layer, after[name].weight())
    return plain, after
