"""Approximate the weights of any torch network: which layers, with what, at what cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from torch import nn

from swis.encoding.cost import LayerCost
from swis.encoding.encode import Encoded, cost_of, encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.formats.registry import int8_of
from swis.formats.weight_format import WeightFormat
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import filter_shape, filters_of, is_transposed, put_filters, weight_layers


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
    fmt: WeightFormat,
    skip: Collection[str] = frozenset(),
    schedules: Mapping[str, LayerSchedule] | None = None,
) -> dict[str, Encoded]:
    """Bring every weight layer into a format, layers in ``skip`` into the 8-bit format.

    Layers that share a parameter share the result, and the schedule of the first. ``fmt`` is ``quantized``.
    Raises ``InputError`` if a convolution and a transposed one share it, whose filters are others.
    """
    encoded: dict[str, Encoded] = {}
    first: dict[int, str] = {}
    layers = weight_layers(model)
    for name, layer in layers.items():
        other = first.setdefault(id(layer.weight), name)
        if other == name:
            form_here = int8_of(fmt) if name in skip else fmt
            encoded[name] = encode(filters_of(layer), form_here, (schedules or {}).get(name))
        elif is_transposed(layer) != is_transposed(layers[other]):
            raise InputError(f"layers {other} and {name} share a weight, but not its filters")
        else:
            encoded[name] = encoded[other]
    return encoded


def with_weights(
    model: nn.Module,
    fmt: WeightFormat,
    macs: dict[str, int],
    skip: set[str] = frozenset(),
    schedules: dict[str, LayerSchedule] | None = None,
) -> tuple[nn.Module, list[LayerCost]]:
    """Copy a network with every weight layer in ``fmt``; layers in ``skip`` stay in the 8-bit format.

    ``schedules`` gives filters shifts of their own. Returns the copy and each layer's cost. Only weights
    change: biases, normalisation and the layers' classes stay, so the copy runs as fast as the original.
    """
    changed, encoded = in_format(model, fmt, skip, schedules) if fmt.quantized else (plain_copy(model), {})
    return changed, layer_costs(weight_layers(changed), encoded, fmt, macs)


def in_format(
    model: nn.Module,
    fmt: WeightFormat,
    skip: Collection[str] = frozenset(),
    schedules: Mapping[str, LayerSchedule] | None = None,
) -> tuple[nn.Module, dict[str, Encoded]]:
    """Copy a network with every weight layer in ``fmt``, as ``with_weights`` does; return its weights too."""
    changed = plain_copy(model)
    encoded = encode_layers(changed, fmt, skip, schedules)
    for name, layer in weight_layers(changed).items():
        put_filters(layer, encoded[name].weight())
    return changed, encoded


def layer_costs(
    layers: dict[str, nn.Module], encoded: dict[str, Encoded], fmt: WeightFormat, macs: dict[str, int]
) -> list[LayerCost]:
    """Return what each layer costs; those that are not encoded are float, as ``fmt`` says.

    A weight that several layers share is stored once.
    """
    costs = []
    stored: set[int] = set()
    for name, layer in layers.items():
        shape = (filter_shape(layer)[0], filter_shape(layer)[1:].numel())
        if name in encoded:
            found = encoded[name]
            cost = replace(cost_of(found.fmt, found.schedule, *shape, macs[name]), metric=found.metric)
        else:
            cost = cost_of(fmt, None, *shape, macs[name])
        if id(layer.weight) in stored:
            cost = replace(cost, weights=0, stored_bits=0, weight_cycles=0, metric=None)
        stored.add(id(layer.weight))
        costs.append(cost)
    return costs
