"""How weights are approximated: a format, filters in it, what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from swis.formats.cost import LayerCost, layer_cost, scheduled_cost
from swis.formats.decompose import GROUPED, METHODS, SELECTIONS, decompose, from_filters, to_filters
from swis.formats.layer_plan import LayerPlan
from swis.formats.metrics import filter_metrics
from swis.formats.quantizer import CLIPS, GRANULARITIES, quantize
from swis.options.names import require_known
from swis.options.ranges import at_least, within


@dataclass(frozen=True)
class WeightFormat:
    """How weights are approximated.

    ``method`` is "float" (as they are), "base" (the 8-bit quantizer alone), a decomposition of
    ``swis.formats.decompose.METHODS``, or "uniform": a symmetric (shifts + 1)-bit quantizer with the
    clip of least squared error, sign included. Raises ``InputError`` for unknown names and numbers out of
    range.
    """

    method: str
    shifts: int = 2
    group_size: int = 4
    alpha: float = 1.0
    magnitude_bits: int = 7
    granularity: str = "channel"
    clip: str = "absmax"
    selection: str = "nearest"

    def __post_init__(self) -> None:
        require_known("method", self.method, ("float", "base", *METHODS, "uniform"))
        require_known("granularity", self.granularity, GRANULARITIES)
        require_known("clip", self.clip, CLIPS)
        require_known("selection", self.selection, SELECTIONS)
        within(1, 8, magnitude_bits=self.magnitude_bits)
        within(1, 8, shifts=self.shifts)
        at_least(1, group_size=self.group_size)
        at_least(0, alpha=self.alpha)


@dataclass(frozen=True)
class Encoded:
    """Filters in a format: integers and scales.

    ``codes`` [filters, weights] are laid out as groups are cut; ``shift_sets`` uint8 [filters, groups]
    (bit fields) where the method has them; ``scale`` broadcasts against filters of ``shape``;
    ``metrics`` float64 [filters] is what the approximation of the base quantizer's codes costs: M x MSE++,
    summed over a filter's groups, in squared steps of that quantizer (None for the base and "uniform").
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
        measured = self.form.method in GROUPED and self.metrics is not None
        return float(self.metrics.sum()) if measured else None

    def weight(self) -> Tensor:
        """Return codes x scale as a float tensor of ``shape``, for ``swis.networks.layers.put_filters``."""
        weight = from_filters(self.codes, self.shape) * self.scale
        # with other strides other kernels run, and logits differ in their last bits
        return weight.clone(memory_format=torch.contiguous_format)


def encode(weight: Tensor, form: WeightFormat, plan: LayerPlan | None = None) -> Encoded:
    """Bring filters [out, in, kernel] or [out, in] into a format other than "float".

    A ``plan`` gives every filter a number of shifts of its own.

    >>> encode(torch.tensor([[1.27, 0.70]]), WeightFormat("truncate", shifts=1)).codes.tolist()
    [[64, 64]]
    """
    if plan is not None and form.method != "base":
        parts = {n: encode(weight, replace(form, shifts=n)) for n in np.unique(plan.shifts).tolist()}
        return _by_filter(parts, plan, form)
    if form.method == "uniform":
        quantized = quantize(weight, form.shifts, form.granularity, "mse")
    else:
        quantized = quantize(weight, form.magnitude_bits, form.granularity, form.clip)
    rows = to_filters(quantized.codes)
    if form.method not in METHODS:
        return Encoded(form, rows, None, quantized.scale, weight.shape)
    settings = (form.shifts, form.group_size, form.alpha, form.magnitude_bits, form.selection)
    result = decompose(rows, form.method, *settings)
    arrays = (rows.cpu().numpy(), result.codes.cpu().numpy())
    metrics = filter_metrics(*arrays, form.group_size, float(form.alpha))
    return Encoded(form, result.codes, result.shift_sets, quantized.scale, weight.shape, metrics)


def _by_filter(parts: dict[int, Encoded], plan: LayerPlan, form: WeightFormat) -> Encoded:
    """Take every filter from the part with its number of shifts."""
    any_part = next(iter(parts.values()))
    codes, metrics = torch.empty_like(any_part.codes), None
    shift_sets = None if any_part.shift_sets is None else torch.empty_like(any_part.shift_sets)
    scale = any_part.scale
    if form.method == "uniform":  # every number of bits has its own clip
        scale = scale.new_empty(len(codes), *scale.shape[1:])
    if any_part.metrics is not None:
        metrics = np.empty(len(codes))
    for n, part in parts.items():
        mine = torch.from_numpy(plan.shifts == n)
        codes[mine] = part.codes[mine]
        if shift_sets is not None:
            shift_sets[mine] = part.shift_sets[mine]
        if form.method == "uniform":
            scale[mine] = part.scale.expand(len(codes), *scale.shape[1:])[mine]
        if metrics is not None:
            metrics[mine.numpy()] = part.metrics[mine.numpy()]
    return Encoded(form, codes, shift_sets, scale, any_part.shape, metrics, plan)


def approximate(weight: Tensor, form: WeightFormat) -> Tensor:
    """Return filters [out, in, kernel] or [out, in] as the format can express them, in float.

    >>> approximate(torch.tensor([[1.27, 0.70]]), WeightFormat("truncate", shifts=1)).tolist()
    [[0.6399999856948853, 0.6399999856948853]]
    """
    return weight.detach() if form.method == "float" else encode(weight, form).weight()


def cost_of(
    form: WeightFormat, plan: LayerPlan | None, filters: int, filter_weights: int, macs: int
) -> LayerCost:
    """Return what a layer costs in a format, all filters with the same shifts or with those of a plan."""
    settings = (form.group_size, form.magnitude_bits)
    if plan is None:
        return layer_cost(form.method, filters, filter_weights, macs, form.shifts, *settings)
    cost = scheduled_cost(form.method, plan.shifts, plan.cycles, filter_weights, macs, *settings)
    return replace(cost, stored_bits=cost.stored_bits + plan.stored_bits(form.magnitude_bits))
