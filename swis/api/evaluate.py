"""The accuracy of a network, and the sensitivity of its layers to quantization."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from swis.api.checks import check_format, check_labels, check_network, run_checked
from swis.api.quantize import base_network
from swis.api.quantized import Quantized
from swis.api.show import Scores
from swis.encoding.encode import approximate
from swis.encoding.metrics import sqnr_db
from swis.errors import InputError
from swis.evaluation.predict import Prediction, predict, score
from swis.formats.weight_format import WeightFormat
from swis.networks.apply import skipped_layers
from swis.networks.computed_weights import copied
from swis.networks.inputs import Inputs, class_logits, gathered, is_pair, kind_of, labelled
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
) -> Scores:
    """Return the accuracy of a network on ``data``, and its agreement with a reference network.

    ``data`` are batches of (inputs, labels), such as those of a DataLoader, or a pair (inputs [N, ...],
    labels [N]) of tensors. Labels may be missing if there is a ``reference``. The result has:

    * with labels: ``top1`` and ``top5`` [%], and ``top1_low`` and ``top1_high`` [%], the ends of Wilson's
      95 % interval;
    * with a ``reference``, such as the float network: ``agreement`` [%] (share of inputs with the same top-1
      class), ``kl`` [nats] (mean KL divergence of the softmax) and ``logit_sqnr_db`` [dB]; with labels also
      ``reference_top1`` [%];
    * always: ``images``, the number of inputs;
    * for a ``Quantized`` network: its cost (``Quantized.cost``).

    The result is a ``pandas.Series``. Networks of other types are computed in float32. Raises
    ``InputError`` for data without labels if there is no ``reference``, for labels that are no classes,
    and for logits that are not finite.

    >>> images, labels = torch.eye(4), torch.tensor([0, 1, 2, 0])
    >>> float(evaluate(nn.Identity(), (images, labels)).top1)
    75.0
    """
    device = pick_device(device)
    networks = [network] if reference is None else [network, reference]
    for each in networks:
        if not isinstance(each, nn.Module):
            raise InputError(f"network and reference must be torch modules, not {type(each).__name__}")
    # both networks run on the same batch, because a loader may shuffle and give other batches the next time
    try:
        whole = predict(_SideBySide(networks), _batches(data), device)
    except FloatingPointError as error:
        raise InputError(str(error)) from error
    parts = whole.logits.chunk(len(networks), 1)
    found, *wanted = (Prediction(part.flatten(0, -2), whole.labels, whole.seconds) for part in parts)
    result = _scores(found, wanted[0] if wanted else None)
    if isinstance(network, Quantized):
        result |= network.cost
    return Scores(result)


def sensitivity(
    network: nn.Module,
    fmt: WeightFormat,
    calibration: Any,
    *,
    skip: str | Sequence[str] = (),
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Return the effect of quantizing one layer alone, with a row per layer and the most sensitive one first.

    In each row one layer is in ``fmt`` and all others are float. ``kl_divergence`` [nats] is the mean KL
    divergence of the logits from those of the float network over ``calibration``, inputs as ``swis.quantize``
    takes them. ``sqnr_db`` [dB] is that of the layer's weights; ``weights`` and ``macs`` are their numbers.
    The network is not changed. Raises ``InputError`` for a format without a whole number of shifts.

    >>> from swis.formats.swis import Swis
    >>> network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    >>> list(sensitivity(network, Swis(shifts=1), torch.rand(16, 8)).columns)
    ['kl_divergence', 'sqnr_db', 'weights', 'macs']
    """
    check_network(network)
    check_format(fmt, with_shifts=True)
    require(fmt.shifts == int(fmt.shifts), f"sensitivity needs a whole number of shifts, not {fmt.shifts}")
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
    """Return data as batches; raise ``InputError`` if they cannot be read as batches."""
    two = isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor) for part in data)
    if two or is_pair(data):
        inputs, labels = labelled(data)
        require(len(inputs) > 0, "data has no inputs")
        if labels is None:
            return inputs.split(_BATCH)
        return list(zip(inputs.split(_BATCH), labels.split(_BATCH), strict=True))
    if isinstance(data, Tensor):
        require(len(data) > 0, "data has no inputs")
        return list(data.split(_BATCH))
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise InputError(f"data must be batches, or a pair of inputs and labels, not {kind_of(data)}")
    again = isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset)
    found = data if again else list(data)
    if len(found) == 0:
        raise InputError("data has no batches")
    return found


class _SideBySide(nn.Module):
    """Copies of several networks in one module; their logits are joined: [inputs, networks x classes]."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        bare = [each.module if isinstance(each, Quantized) else each for each in networks]
        # copies, so that the caller's are not changed
        self.networks = nn.ModuleList([copied(each).float() for each in bare])

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        inputs = Inputs(args, kwargs).float()
        found = [class_logits(run_checked(network, inputs)) for network in self.networks]
        if len({logits.shape for logits in found}) > 1:
            shapes = " and ".join(str(list(logits.shape)) for logits in found)
            raise InputError(f"network and reference give logits of different shapes: {shapes}")
        return torch.cat(found, 1)


def _scores(found: Prediction, wanted: Prediction | None) -> dict[str, Any]:
    """Return the accuracy columns that the prediction's labels and the reference ``wanted`` allow."""
    labels = found.labels
    if labels is None and wanted is None:
        raise InputError("data has no labels; give labels, or a network to compare with: reference=...")
    if labels is not None:
        count, classes = found.logits.shape
        require(len(labels) == count, f"there are {len(labels)} labels for {count} outputs of the network")
        check_labels(labels, classes)
    if labels is None:
        found = replace(found, labels=torch.zeros(len(found.logits), dtype=torch.long))
    columns = score(found, found.logits if wanted is None else wanted.logits)
    without = {"correct", "images_per_second"}  # the speed is that of the emulation, not of an accelerator
    without |= {"agreement", "kl", "logit_sqnr_db"} if wanted is None else set()
    without |= {"top1", "top5", "top1_low", "top1_high"} if labels is None else set()
    if labels is not None and wanted is not None:
        columns["reference_top1"] = score(replace(wanted, labels=labels), wanted.logits)["top1"]
    return {name: value for name, value in columns.items() if name not in without}
