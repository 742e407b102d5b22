"""How well a network of few bits does, and which of its layers hurt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from swis.api.checks import check_format, check_network
from swis.api.quantize import base_network
from swis.api.quantized import Quantized
from swis.encoding.encode import approximate
from swis.encoding.metrics import sqnr_db
from swis.errors import InputError
from swis.evaluation.predict import Prediction, predict, score
from swis.formats.weight_format import WeightFormat
from swis.networks.apply import skipped_layers
from swis.networks.computed_weights import copied
from swis.networks.inputs import class_logits, gathered, labelled
from swis.networks.layers import filters_of, weight_layers
from swis.networks.macs import network_macs
from swis.options.ranges import require
from swis.runtime.devices import pick_device
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
    ``top1_low`` and ``top1_high`` (Wilson's interval of 95 %) and ``images``; with a
    ``reference``, such as the float network, ``agreement`` [%] (the same class), ``logit_sqnr_db`` [dB] and
    ``reference_top1``; of data without labels only what the reference tells. Of a ``Quantized`` network it
    has what that costs as well (``Quantized.cost``). Raises ``InputError`` for data without labels and no
    ``reference``.

    >>> images, labels = torch.eye(4), torch.tensor([0, 1, 2, 0])
    >>> float(evaluate(nn.Identity(), (images, labels)).top1)
    75.0
    """
    device = pick_device(device)
    networks = [network] if reference is None else [network, reference]
    # side by side on each batch, for a loader may give other batches when it is asked again
    whole = predict(_SideBySide(networks), _batches(data), device)
    parts = whole.logits.chunk(len(networks), 1)
    found, *wanted = (Prediction(part.flatten(0, -2), whole.labels, whole.seconds) for part in parts)
    result = _scores(found, wanted[0] if wanted else None)
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
    check_network(network)
    check_format(fmt, with_shifts=True)
    require(fmt.shifts == int(fmt.shifts), f"a layer alone has a whole number of shifts, not {fmt.shifts}")
    device = pick_device(device)
    inputs = gathered(calibration)
    base = base_network(network, inputs[:1])
    names = skipped_layers(list(weight_layers(base)), skip)
    found = layer_sensitivities(base, fmt, names, inputs.split(_BATCH), device)
    layers, macs = weight_layers(base.cpu()), network_macs(base, inputs[:1]).layers
    rows = []
    for name, divergence in found.items():
        filters = filters_of(layers[name]).detach()
        error = sqnr_db(filters, approximate(filters, fmt))
        rows.append([name, divergence, error, filters.numel(), macs[name]])
    table = pd.DataFrame(rows, columns=["layer", "kl_divergence", "sqnr_db", "weights", "macs"])
    return table.set_index("layer").sort_values("kl_divergence", ascending=False, kind="stable")


def _batches(data: Any) -> Any:
    """Return data as batches; raise ``InputError`` for what are none."""
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], Tensor):
        inputs, labels = labelled(data)
        return list(zip(inputs.split(_BATCH), labels.split(_BATCH), strict=True))
    if isinstance(data, Tensor):
        return list(data.split(_BATCH))
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise InputError(f"data are batches, or a pair of inputs and labels, not {type(data).__name__}")
    again = isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset)
    found = data if again else list(data)
    if len(found) == 0:
        raise InputError("data have no batches")
    return found


class _SideBySide(nn.Module):
    """Copies of networks, whose logits are put side by side: [inputs, networks x classes]."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        bare = [each.module if isinstance(each, Quantized) else each for each in networks]
        self.networks = nn.ModuleList(map(copied, bare))  # copies, for the caller's stay as they are

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        found = [class_logits(network(*args, **kwargs)) for network in self.networks]
        if len({logits.shape for logits in found}) > 1:
            shapes = " and ".join(str(list(logits.shape)) for logits in found)
            raise InputError(f"network and reference give logits of different shapes: {shapes}")
        return torch.cat(found, 1)


def _scores(found: Prediction, wanted: Prediction | None) -> dict[str, Any]:
    """Return the columns of a prediction, of which some need labels and some a reference."""
    labels = found.labels
    if labels is None and wanted is None:
        raise InputError("data have no labels; give labels, or reference=... to compare with")
    if labels is not None and (labels.is_floating_point() or labels.max() >= found.logits.shape[1]):
        raise InputError(f"labels are numbers of classes, below {found.logits.shape[1]}")
    if labels is None:
        found = replace(found, labels=torch.zeros(len(found.logits), dtype=torch.long))
    columns = score(found, found.logits if wanted is None else wanted.logits)
    without = {"correct", "images_per_second"}  # the speed of emulation is no result
    without |= {"agreement", "logit_sqnr_db"} if wanted is None else set()
    without |= {"top1", "top5", "top1_low", "top1_high"} if labels is None else set()
    if labels is not None and wanted is not None:
        columns["reference_top1"] = score(replace(wanted, labels=labels), wanted.logits)["top1"]
    return {name: value for name, value in columns.items() if name not in without}
