"""Filters in a format: integers and scales, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from swis.encoding.cost import LayerCost, layer_cost, scheduled_cost
from swis.encoding.decompose import decompose, from_filters, to_filters
from swis.encoding.layer_schedule import LayerSchedule
from swis.encoding.metrics import filter_metrics
from swis.encoding.quantizer import quantize
from swis.formats.weight_format import WeightFormat


@dataclass(frozen=True)
class Encoded:
    """Filters in a format: integers and scales.

    ``codes`` [filters, weights] are laid out as groups are cut; ``shift_sets`` uint8 [filters, groups]
    where the format has them; ``scale`` broadcasts against filters of ``shape``;
    ``metrics`` float64 [filters] is what the approximation of the 8-bit quantizer's codes costs: M x MSE++,
    summed over a filter's groups, in squared steps of that quantizer; None for others.
    ``schedule`` says how many shifts each filter has, if not all have those of ``fmt``.
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
        """M x MSE++ summed over all groups; None for methods without groups, or if it was not measured."""
        measured = self.fmt.grouped and self.metrics is not None
        return float(self.metrics.sum()) if measured else None

    def weight(self) -> Tensor:
        """Return codes x scale as a float tensor of ``shape``, for ``swis.networks.layers.put_filters``."""
        weight = from_filters(self.codes, self.shape) * self.scale
        # with other strides other kernels run, and logits differ in their last bits
        return weight.clone(memory_format=torch.contiguous_format)


def encode(weight: Tensor, fmt: WeightFormat, schedule: LayerSchedule | None = None) -> Encoded:
    """Bring filters [out, in, kernel] or [out, in] into a format that is ``quantized``.

    A ``schedule`` gives every filter a number of shifts of its own.

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
    metrics = filter_metrics(*arrays, fmt.group_size, float(fmt.alpha))
    return Encoded(fmt, result.codes, result.shift_sets, quantized.scale, weight.shape, metrics)


def _by_filter(parts: dict[int, Encoded], schedule: LayerSchedule, fmt: WeightFormat) -> Encoded:
    """Take every filter from the part with its number of shifts."""
    any_part = next(iter(parts.values()))
    widest = max((part.codes for part in parts.values()), key=torch.Tensor.element_size)
    codes, metrics = torch.empty_like(widest), None
    shift_sets = None if any_part.shift_sets is None else torch.empty_like(any_part.shift_sets)
    scale = any_part.scale
    if fmt.own_quantizer:  # every number of bits has its own clip
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
    """Return filters [out, in, kernel] or [out, in] as the format can express them, in float.

    >>> from swis.formats.truncate import Truncate
    >>> approximate(torch.tensor([[1.27, 0.70]]), Truncate(shifts=1)).tolist()
    [[0.6399999856948853, 0.6399999856948853]]
    """
    return encode(weight, fmt).weight() if fmt.quantized else weight.detach()


def cost_of(
    fmt: WeightFormat, schedule: LayerSchedule | None, filters: int, filter_weights: int, macs: int
) -> LayerCost:
    """Return what a layer costs in a format, all filters with the same shifts or with those of a schedule."""
    if schedule is None:
        return layer_cost(fmt, filters, filter_weights, macs)
    cost = scheduled_cost(fmt, schedule, filter_weights, macs)
    return replace(cost, stored_bits=cost.stored_bits + schedule.stored_bits(fmt.magnitude_bits))
