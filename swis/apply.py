"""Approximate the weights of any torch network: which layers, with what, at what cost."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from torch.utils.flop_counter import FlopCounterMode

from swis.cost import LayerCost, layer_cost
from swis.decompose import METHODS, decompose, from_filters, to_filters
from swis.errors import InputError
from swis.quantizer import quantize

LAYER_KINDS = (nn.Conv2d, nn.Linear)


@dataclass(frozen=True)
class WeightFormat:
    """How weights are approximated.

    ``method`` is "float" (as they are), "base" (the 8-bit quantizer alone), a decomposition of
    ``swis.decompose.METHODS``, or "uniform": a symmetric (shifts + 1)-bit quantizer with the
    clip of least squared error, sign included.
    """

    method: str
    shifts: int = 2
    group_size: int = 4
    alpha: float = 1.0
    magnitude_bits: int = 7
    granularity: str = "channel"
    clip: str = "absmax"
    selection: str = "nearest"


def approximate(weight: Tensor, form: WeightFormat) -> Tensor:
    """Return the weight [out, in, kh, kw] or [out, in] as the format can express it, in float.

    >>> approximate(torch.tensor([[1.27, 0.70]]), WeightFormat("truncate", shifts=1)).tolist()
    [[0.6399999856948853, 0.6399999856948853]]
    """
    if form.method == "float":
        return weight.detach()
    if form.method == "uniform":
        return quantize(weight, form.shifts, form.granularity, "mse").dequantize()
    quantized = quantize(weight, form.magnitude_bits, form.granularity, form.clip)
    if form.method == "base":
        return quantized.dequantize()
    rows = to_filters(quantized.codes)
    settings = (form.shifts, form.group_size, form.alpha, form.magnitude_bits, form.selection)
    result = decompose(rows, form.method, *settings)
    return quantized.dequantize(from_filters(result.codes, weight.shape))


def weight_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the convolutions and linear layers by name, in the order of the module tree.

    >>> list(weight_layers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(2, 2))))
    ['0', '2']
    """
    return {name: module for name, module in model.named_modules() if isinstance(module, LAYER_KINDS)}


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


def layer_macs(model: nn.Module, input_size: Sequence[int]) -> dict[str, int]:
    """Count the multiply-accumulates of each weight layer for one image of ``input_size`` [C, H, W]."""
    device = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, *input_size, device=device))
    root = type(model).__name__
    counts = counter.get_flop_counts()
    return {name: sum(counts.get(f"{root}.{name}", {}).values()) // 2 for name in weight_layers(model)}


def with_weights(
    model: nn.Module, form: WeightFormat, macs: dict[str, int], skip: set[str] = frozenset()
) -> tuple[nn.Module, list[LayerCost]]:
    """Copy a network with every weight layer in ``form``; layers in ``skip`` stay in the base format.

    Returns the copy and each layer's cost. Only weights change: biases, normalisation and the
    layers' classes stay, so the copy runs as fast as the original.
    """
    changed = copy.deepcopy(model)
    costs = []
    shared: set[int] = set()
    for name, layer in weight_layers(changed).items():
        if is_parametrized(layer, "weight"):
            remove_parametrizations(layer, "weight")  # leaves the weight that it computes
        method = "base" if name in skip and form.method in (*METHODS, "uniform") else form.method
        filters = layer.weight.shape[0]
        cost = layer_cost(
            method,
            filters,
            layer.weight.numel() // filters,
            macs[name],
            form.shifts,
            form.group_size,
            form.magnitude_bits,
        )
        if id(layer.weight) in shared:  # stored once, used again
            cost = replace(cost, weights=0, stored_bits=0, weight_cycles=0)
        else:
            layer.weight.data = approximate(layer.weight, replace(form, method=method)).to(layer.weight.dtype)
            shared.add(id(layer.weight))
        costs.append(cost)
    return changed, costs
