"""Retraining a network of a study in a format, with its state and learning curve on disk."""

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
    """Retrain a quantized ``module`` with the ``encoded`` layers; return a new module and its encoded layers.

    The result has float activations. The learning curve and the state are stored in ``folder`` under ``key``.
    An interrupted training continues from its state, and a finished one is only read; a state that is not
    ``newer_than`` this time [s since 1970] is not used. ``teacher`` is the float network.
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

    with records.locked(key, folder):  # rows measured on other images share the same training
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
        if not curve_path.exists():  # an existing curve has the commit of the code that trained
            keep(curve)
    student = student.cpu().to(memory_format=torch.contiguous_format).requires_grad_(False)
    made = {id(encoded[name]): latent.encoded(weight) for name, (latent, weight) in latents(student).items()}
    after = {name: made[id(found)] for name, found in encoded.items()}
    plain = plain_copy(student)
    layers = weight_layers(plain)
    keep_activations(layers)
    for name, layer in layers.items():
        # this gives the usual strides, because with other strides logits differ in their last bits
        put_filters(layer, after[name].weight())
    return plain, after
