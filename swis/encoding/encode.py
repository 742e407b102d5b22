"""Encoding of filters in a format: integer codes, shift sets and scales."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from swis.coding.bitstream import Layout, pack
from swis.encoding.cost import LayerCost, layer_cost, scheduled_cost
from swis.encoding.decompose import decompose, from_filters, to_filters
from swis.encoding.layer_schedule import LayerSchedule
from swis.encoding.metrics import filter_metrics
from swis.encoding.quantizer import quantize
from swis.formats.weight_format import CODINGS, WeightFormat


@dataclass(frozen=True)
class Encoded:
    """Filters of a layer in a format.

    ``codes`` [filters, weights]: in the order of ``to_filters``. ``shift_sets`` uint8 [filters, groups]: None
    for formats that do not approximate codes. ``scale`` broadcasts against filters of ``shape``. ``metrics``
    float64 [filters]: M x MSE++ summed over a filter's groups, in squared steps of the 8-bit quantizer; None
    if it was not measured. ``schedule``: each filter's shifts; None if all filters have ``fmt.shifts``.
    """

    fmt: WeightFormat
    codes: Tensor
    shift_sets: Tensor | None
    scale: Tensor
    shape: torch.Size
    metrics: np.ndarray | None = None
    schedule: LayerSchedule | None = None

    @property
    def metric(self) -> float | None:
        """M x MSE++ summed over all groups; None if the format has no groups or it was not measured."""
        measured = self.fmt.grouped and self.metrics is not None
        return float(self.metrics.sum()) if measured else None

    @property
    def stored_bits(self) -> int:
        """The bits that store the weights and the schedule in the format's coding, without scales."""
        filters, weights = self.codes.shape
        if self.fmt.coding == CODINGS[0]:  # its bits do not depend on the weights
            return cost_of(self.fmt, self.schedule, filters, weights, macs=0).stored_bits
        codes, sets = self.codes.cpu().numpy(), None
        if self.fmt.grouped:
            sets = self.shift_sets.cpu().numpy()
        parts = [(self.fmt, np.arange(filters))]
        bits = 0
        if self.schedule is not None:
            shifts = self.schedule.shifts
            parts = [
                (self.fmt.with_shifts(n), np.flatnonzero(shifts == n)) for n in np.unique(shifts).tolist()
            ]
            bits = 8 * -(-self.schedule.stored_bits(self.fmt.magnitude_bits) // 8)
        for fmt, members in parts:
            layout = Layout(fmt, len(members), weights, fmt.coding)
            payload, _ = pack(codes[members], None if sets is None else sets[members], layout)
            bits += 8 * len(payload)
        return bits

    def weight(self) -> Tensor:
        """Return codes x scale, float of ``shape``; ``swis.networks.layers.put_filters`` takes it."""
        weight = from_filters(self.codes, self.shape) * self.scale
        # other strides select other kernels, which changes the last bits of the logits
        return weight.clone(memory_format=torch.contiguous_format)


def encode(weight: Tensor, fmt: WeightFormat, schedule: LayerSchedule | None = None) -> Encoded:
    """Encode filters [out, in, kernel] or [out, in] in a quantized format.

    ``schedule``: a number of shifts for each filter. Raises ``InputError`` as ``fmt.check`` does.

    >>> from swis.formats.truncate import Truncate
    >>> encode(torch.tensor([[1.27, 0.70]]), Truncate(shifts=1)).codes.tolist()
    [[64, 64]]
    """
    if schedule is not None and fmt.has_shifts:
        parts = {n: encode(weight, fmt.with_shifts(n)) for n in np.unique(schedule.shifts).tolist()}
        return _by_filter(parts, schedule, fmt)
    fmt.check()
    quantized = quantize(weight, fmt.code_bits, fmt.granularity, fmt.code_clip)
    rows = to_filters(quantized.codes)
    if not fmt.on_codes:
        return Encoded(fmt, rows, None, quantized.scale, weight.shape)
    result = decompose(rows, fmt)
    arrays = (rows.cpu().numpy(), result.codes.cpu().numpy())
    metrics = filter_metrics(*arrays, fmt.metric_weights, float(fmt.alpha))
    return Encoded(fmt, result.codes, result.shift_sets, quantized.scale, weight.shape, metrics)


def _by_filter(parts: dict[int, Encoded], schedule: LayerSchedule, fmt: WeightFormat) -> Encoded:
    """Return each filter from the encoding with its number of shifts."""
    any_part = next(iter(parts.values()))
    widest = max((part.codes for part in parts.values()), key=torch.Tensor.element_size)
    codes, metrics = torch.empty_like(widest), None
    shift_sets = None if any_part.shift_sets is None else torch.empty_like(any_part.shift_sets)
    scale = any_part.scale
    if fmt.own_quantizer:  # its clip depends on the number of bits
        scale = scale.new_empty(len(codes), *scale.shape[1:])
    if any_part.metrics is not None:
        metrics = np.empty(len(codes))
    for n, part in parts.items():
        mine = torch.from_numpy(schedule.shifts == n)
        codes[mine] = part.codes[mine].to(codes)
        if shift_sets is not None:
            shift_sets[mine] = part.shift_sets[mine]
        if fmt.own_quantizer:
            scale[mine] = part.scale.expand(len(codes), *scale.shape[1:])[mine]
        if metrics is not None:
            metrics[mine.numpy()] = part.metrics[mine.numpy()]
    return Encoded(fmt, codes, shift_sets, scale, any_part.shape, metrics, schedule)


def approximate(weight: Tensor, fmt: WeightFormat) -> Tensor:
    """Return filters [out, in, kernel] or [out, in] rounded to the format, in float.

    >>> from swis.formats.truncate import Truncate
    >>> approximate(torch.tensor([[1.27, 0.70]]), Truncate(shifts=1)).tolist()
    [[0.6399999856948853, 0.6399999856948853]]
    """
    return encode(weight, fmt).weight() if fmt.quantized else weight.detach()


def cost_of(
    fmt: WeightFormat, schedule: LayerSchedule | None, filters: int, filter_weights: int, macs: int
) -> LayerCost:
    """Return the cost of a layer in a format; without a schedule all filters have ``fmt.shifts``.

    >>> from swis.formats.swis import Swis
    >>> cost_of(Swis(shifts=2), None, filters=1, filter_weights=4, macs=4).lane_cycles
    8
    """
    if schedule is None:
        return layer_cost(fmt, filters, filter_weights, macs)
    cost = scheduled_cost(fmt, schedule, filter_weights, macs)
    return replace(cost, stored_bits=cost.stored_bits + schedule.stored_bits(fmt.magnitude_bits))
