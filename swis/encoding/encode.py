"""Filters in a format: integers and scales, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from swis.encoding.cost import LayerCost, layer_cost, scheduled_cost
from swis.encoding.decompose import decompose, from_filters, to_filters
from swis.encoding.layer_plan import LayerPlan
from swis.encoding.metrics import filter_metrics
from swis.encoding.quantizer import quantize
from swis.formats.weight_format import WeightFormat


@dataclass(frozen=True)
class Encoded:
    """Filters in a format: integers and scales.

    ``codes`` [filters, weights] are laid out as groups are cut; ``shift_sets`` uint8 [filters, groups]
    where the format has them; ``scale`` broadcasts against filters of ``shape``;
    ``metrics`` float64 [filters] is what the approximation of the base quantizer's codes costs: M x MSE++,
    summed over a filter's groups, in squared steps of that quantizer; None for others.
    ``plan`` says how many shifts each filter has, if not all have those of ``form``.
    """

    form: WeightFormat
    codes: Tensor
    shift_sets: Tensor | None
    scale: Tensor
    shape: torch.Size
    metrics: np.ndarray | None = None
    plan: LayerPlan | None = None

    @property
    def metric(self) -> float | None:
        """M x MSE++ summed over all groups; None for methods without groups, or if it was not measured."""
        measured = self.form.grouped and self.metrics is not None
        return float(self.metrics.sum()) if measured else None

    def weight(self) -> Tensor:
        """Return codes x scale as a float tensor of ``shape``, for ``swis.networks.layers.put_filters``."""
        weight = from_filters(self.codes, self.shape) * self.scale
        # with other strides other kernels run, and logits differ in their last bits
        return weight.clone(memory_format=torch.contiguous_format)


def encode(weight: Tensor, form: WeightFormat, plan: LayerPlan | None = None) -> Encoded:
    """Bring filters [out, in, kernel] or [out, in] into a format that is ``quantized``.

    A ``plan`` gives every filter a number of shifts of its own.

    >>> from swis.formats.truncate import Truncate
    >>> encode(torch.tensor([[1.27, 0.70]]), Truncate(shifts=1)).codes.tolist()
    [[64, 64]]
    """
    if plan is not None and form.has_shifts:
        parts = {n: encode(weight, form.with_shifts(n)) for n in np.unique(plan.shifts).tolist()}
        return _by_filter(parts, plan, form)
    form.check()
    quantized = quantize(weight, form.code_bits, form.granularity, form.code_clip)
    rows = to_filters(quantized.codes)
    if not form.on_codes:
        return Encoded(form, rows, None, quantized.scale, weight.shape)
    result = decompose(rows, form)
    arrays = (rows.cpu().numpy(), result.codes.cpu().numpy())
    metrics = filter_metrics(*arrays, form.group_size, float(form.alpha))
    return Encoded(form, result.codes, result.shift_sets, quantized.scale, weight.shape, metrics)


def _by_filter(parts: dict[int, Encoded], plan: LayerPlan, form: WeightFormat) -> Encoded:
    """Take every filter from the part with its number of shifts."""
    any_part = next(iter(parts.values()))
    widest = max((part.codes for part in parts.values()), key=torch.Tensor.element_size)
    codes, metrics = torch.empty_like(widest), None
    shift_sets = None if any_part.shift_sets is None else torch.empty_like(any_part.shift_sets)
    scale = any_part.scale
    if form.own_quantizer:  # every number of bits has its own clip
        scale = scale.new_empty(len(codes), *scale.shape[1:])
    if any_part.metrics is not None:
        metrics = np.empty(len(codes))
    for n, part in parts.items():
        mine = torch.from_numpy(plan.shifts == n)
        codes[mine] = part.codes[mine].to(codes)
        if shift_sets is not None:
            shift_sets[mine] = part.shift_sets[mine]
        if form.own_quantizer:
            scale[mine] = part.scale.expand(len(codes), *scale.shape[1:])[mine]
        if metrics is not None:
            metrics[mine.numpy()] = part.metrics[mine.numpy()]
    return Encoded(form, codes, shift_sets, scale, any_part.shape, metrics, plan)


def approximate(weight: Tensor, form: WeightFormat) -> Tensor:
    """Return filters [out, in, kernel] or [out, in] as the format can express them, in float.

    >>> from swis.formats.truncate import Truncate
    >>> approximate(torch.tensor([[1.27, 0.70]]), Truncate(shifts=1)).tolist()
    [[0.6399999856948853, 0.6399999856948853]]
    """
    return encode(weight, form).weight() if form.quantized else weight.detach()


def cost_of(
    form: WeightFormat, plan: LayerPlan | None, filters: int, filter_weights: int, macs: int
) -> LayerCost:
    """Return what a layer costs in a format, all filters with the same shifts or with those of a plan."""
    if plan is None:
        return layer_cost(form, filters, filter_weights, macs)
    cost = scheduled_cost(form, plan, filter_weights, macs)
    return replace(cost, stored_bits=cost.stored_bits + plan.stored_bits(form.magnitude_bits))
