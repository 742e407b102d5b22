"""Approximate the weights of any torch network: which layers, with what, at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
import torch
from torch import Tensor, nn

from swis.cost import LayerCost, layer_cost, scheduled_cost
from swis.decompose import GROUPED, METHODS, SELECTIONS, decompose, from_filters, to_filters
from swis.errors import InputError
from swis.layers import filter_shape, filters_of, is_transposed, put_filters, weight_layers
from swis.metrics import filter_metrics
from swis.names import require_known
from swis.plain import plain_copy
from swis.quantizer import CLIPS, GRANULARITIES, quantize
from swis.ranges import at_least, within
from swis.schedule import LayerPlan


@dataclass(frozen=True)
class WeightFormat:
    """How weights are approximated.

    ``method`` is "float" (as they are), "base" (the 8-bit quantizer alone), a decomposition of
    ``swis.decompose.METHODS``, or "uniform": a symmetric (shifts + 1)-bit quantizer with the
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
        """Return codes x scale as a float tensor of ``shape``, for ``swis.layers.put_filters``."""
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


def skipped_layers(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """Return the names that match a pattern with wildcards; a pattern must match something.

    >>> sorted(skipped_layers(["stem", "blocks.0.pw", "head"], ["stem", "blocks.*"]))
    ['blocks.0.pw', 'stem']
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(
                f"skip: {pattern!r} matches no layer; the first layers are {', '.join(names[:5])}"
            )
    return {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}


def encode_layers(
    model: nn.Module,
    form: WeightFormat,
    skip: set[str] = frozenset(),
    plans: dict[str, LayerPlan] | None = None,
) -> dict[str, Encoded]:
    """Bring every weight layer into a format, layers in ``skip`` into the base format.

    Layers that share a parameter share the result, and the plan of the first. ``form`` is not "float". Raises
    ``InputError`` if a convolution and a transposed one share it, whose filters are others.
    """
    encoded: dict[str, Encoded] = {}
    first: dict[int, str] = {}
    layers = weight_layers(model)
    for name, layer in layers.items():
        other = first.setdefault(id(layer.weight), name)
        if other == name:
            form_here = replace(form, method="base") if name in skip else form
            encoded[name] = encode(filters_of(layer), form_here, (plans or {}).get(name))
        elif is_transposed(layer) != is_transposed(layers[other]):
            raise InputError(f"layers {other} and {name} share a weight, but not its filters")
        else:
            encoded[name] = encoded[other]
    return encoded


def with_weights(
    model: nn.Module,
    form: WeightFormat,
    macs: dict[str, int],
    skip: set[str] = frozenset(),
    plans: dict[str, LayerPlan] | None = None,
) -> tuple[nn.Module, list[LayerCost]]:
    """Copy a network with every weight layer in ``form``; layers in ``skip`` stay in the base format.

    ``plans`` gives filters shifts of their own. Returns the copy and each layer's cost. Only weights change:
    biases, normalisation and the layers' classes stay, so the copy runs as fast as the original.
    """
    changed = plain_copy(model)
    layers = weight_layers(changed)
    if form.method == "float":
        return changed, layer_costs(layers, {}, form, macs)
    encoded = encode_layers(changed, form, skip, plans)
    costs = layer_costs(layers, encoded, form, macs)
    for name, layer in layers.items():
        put_filters(layer, encoded[name].weight())
    return changed, costs


def layer_costs(
    layers: dict[str, nn.Module], encoded: dict[str, Encoded], form: WeightFormat, macs: dict[str, int]
) -> list[LayerCost]:
    """Return what each layer costs; those that are not encoded are float, as ``form`` says.

    A weight that several layers share is stored once.
    """
    costs = []
    stored: set[int] = set()
    for name, layer in layers.items():
        shape = (filter_shape(layer)[0], filter_shape(layer)[1:].numel())
        if name in encoded:
            found = encoded[name]
            cost = replace(cost_of(found.form, found.plan, *shape, macs[name]), metric=found.metric)
        else:
            cost = cost_of(form, None, *shape, macs[name])
        if id(layer.weight) in stored:
            cost = replace(cost, weights=0, stored_bits=0, weight_cycles=0, metric=None)
        stored.add(id(layer.weight))
        costs.append(cost)
    return costs


def cost_of(
    form: WeightFormat, plan: LayerPlan | None, filters: int, filter_weights: int, macs: int
) -> LayerCost:
    """Return what a layer costs in a format, all filters with the same shifts or with those of a plan."""
    settings = (form.group_size, form.magnitude_bits)
    if plan is None:
        return layer_cost(form.method, filters, filter_weights, macs, form.shifts, *settings)
    cost = scheduled_cost(form.method, plan.shifts, plan.cycles, filter_weights, macs, *settings)
    return replace(cost, stored_bits=cost.stored_bits + plan.stored_bits(form.magnitude_bits))
