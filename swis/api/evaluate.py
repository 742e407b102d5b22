"""How well a network of few bits does, and which of its layers hurt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from swis.api.quantize import base_network
from swis.api.quantized import Quantized
from swis.encoding.encode import approximate
from swis.encoding.metrics import sqnr_db
from swis.errors import InputError
from swis.evaluation.predict import Prediction, predict, score
from swis.formats.weight_format import WeightFormat
from swis.networks.apply import skipped_layers
from swis.networks.computed_weights import copied
from swis.networks.inputs import gathered
from swis.networks.layers import filters_of, weight_layers
from swis.networks.macs import network_macs
from swis.scheduling.sensitivity import layer_sensitivities

_BATCH = 32


def evaluate(
    network: nn.Module,
    data: Any,
    *,
    reference: nn.Module | None = None,
    device: torch.device | str = "cpu",
) -> pd.Series:
    """Return what a network reaches on ``data``: batches of inputs and labels, such as a DataLoader's.

    ``data`` may be a pair (inputs, labels) of tensors as well. The result has ``top1`` and ``top5`` [%],
    ``top1_low`` and ``top1_high`` (Wilson's interval of 95 %), ``images`` and ``images_per_second``; with a
    ``reference``, such as the float network, ``agreement`` [%] (the same class), ``logit_sqnr_db`` [dB] and
    ``reference_top1``; of data without labels only what the reference tells. Of a ``Quantized`` network it
    has what that costs as well (``Quantized.cost``). Raises ``InputError`` for data without labels and no
    ``reference``.

    >>> images, labels = torch.eye(4), torch.tensor([0, 1, 2, 0])
    >>> float(evaluate(nn.Identity(), (images, labels)).top1)
    75.0
    """
    batches = _batches(data)
    device = torch.device(device)
    found = _predict(network, batches, device)
    wanted = None if reference is None else _predict(reference, batches, device)
    if found.labels is None and wanted is None:
        raise InputError("data have no labels; give labels, or reference=... to compare with")
    result = _scores(found, wanted)
    if isinstance(network, Quantized):
        result |= network.cost
    return pd.Series(result)


def sensitivity(
    network: nn.Module,
    fmt: WeightFormat,
    calibration: Any,
    *,
    skip: Sequence[str] = (),
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Return what each layer alone costs: a row per layer that is in ``fmt`` while all others are float.

    ``kl_divergence`` of the logits from the float network's [nats], the mean over ``calibration`` (inputs as
    ``swis.quantize`` takes them); ``sqnr_db`` of the layer's weights; its ``weights`` and ``macs``. Most
    sensitive layers first. The network is not changed.

    >>> from swis.formats.swis import Swis
    >>> network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    >>> list(sensitivity(network, Swis(shifts=1), torch.rand(16, 8)).columns)
    ['kl_divergence', 'sqnr_db', 'weights', 'macs']
    """
    if not fmt.has_shifts:
        raise InputError(f"the format {fmt.name} has no shifts whose cost could be asked for")
    inputs = gathered(calibration)
    base = base_network(network, inputs[:1])
    names = skipped_layers(list(weight_layers(base)), skip)
    found = layer_sensitivities(base, fmt, names, inputs.split(_BATCH), torch.device(device))
    layers, macs = weight_layers(base.cpu()), network_macs(base, inputs[:1]).layers
    rows = []
    for name, divergence in found.items():
        filters = filters_of(layers[name]).detach()
        error = sqnr_db(filters, approximate(filters, fmt))
        rows.append([name, divergence, error, filters.numel(), macs[name]])
    table = pd.DataFrame(rows, columns=["layer", "kl_divergence", "sqnr_db", "weights", "macs"])
    return table.set_index("layer").sort_values("kl_divergence", ascending=False, kind="stable")


def _batches(data: Any) -> list[Any] | Any:
    """Return data as batches that can be gone through twice."""
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        return list(zip(*(part.split(_BATCH) for part in data), strict=True))
    if isinstance(data, Tensor):
        return list(data.split(_BATCH))
    if not isinstance(data, Iterable):
        raise InputError(f"data are batches, or a pair of inputs and labels, not {type(data).__name__}")
    return data if hasattr(data, "__len__") else list(data)


def _predict(network: nn.Module, batches: Any, device: torch.device) -> Prediction:
    # a copy, for the caller's network is to stay in its mode and on its device
    return predict(copied(network.module if isinstance(network, Quantized) else network), batches, device)


def _scores(found: Prediction, wanted: Prediction | None) -> dict[str, Any]:
    """Return the columns of a prediction, of which some need labels and some a reference."""
    if found.labels is None:
        labels = torch.zeros(len(found.logits), dtype=torch.long)
        found = Prediction(found.logits, labels, found.seconds)
        known = ("agreement", "logit_sqnr_db", "images", "images_per_second")
        return {name: value for name, value in score(found, wanted.logits).items() if name in known}
    columns = score(found, found.logits if wanted is None else wanted.logits)
    del columns["correct"]
    if wanted is None:
        del columns["agreement"], columns["logit_sqnr_db"]
    else:
        columns["reference_top1"] = score(wanted, wanted.logits)["top1"]
    return columns
