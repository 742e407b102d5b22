"""Networks with weights in a format: copies of any torch network, and the cost of each layer."""

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


def skipped_layers(names: Sequence[str], patterns: str | Sequence[str]) -> set[str]:
    """Return the names that match one of the patterns with wildcards; a text is one pattern.

    Raises ``InputError`` if a pattern matches no name.

    >>> sorted(skipped_layers(["stem", "blocks.0.pw", "head"], ["stem", "blocks.*"]))
    ['blocks.0.pw', 'stem']
    """
    patterns = [patterns] if isinstance(patterns, str) else patterns
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
    """Return the weights of every layer in the quantized format ``fmt``; layers in ``skip`` get 8 bits.

    Layers that share a weight share the result, with the schedule of the first one. Raises ``InputError`` if
    a convolution and a transposed convolution share a weight, because their filters differ.
    """
    encoded: dict[str, Encoded] = {}
    first: dict[int, str] = {}
    layers = weight_layers(model)
    for name, layer in layers.items():
        other = first.setdefault(id(layer.weight), name)
        if other == name:
            layer_format = int8_of(fmt) if name in skip else fmt
            encoded[name] = encode(filters_of(layer), layer_format, (schedules or {}).get(name))
        elif is_transposed(layer) != is_transposed(layers[other]):
            raise InputError(
                f"layers {other} and {name} share a weight, but one is a transposed convolution, whose "
                "filters differ"
            )
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
    """Return a copy of a network with its weights in ``fmt``, and the cost of each layer.

    ``macs``: the MACs of each layer. Layers in ``skip`` get the 8-bit format. ``schedules``: the shifts of
    each filter, by layer. Only the weights change, so the copy runs as fast as the original.
    """
    changed, encoded = in_format(model, fmt, skip, schedules) if fmt.quantized else (plain_copy(model), {})
    return changed, layer_costs(weight_layers(changed), encoded, fmt, macs)


def in_format(
    model: nn.Module,
    fmt: WeightFormat,
    skip: Collection[str] = frozenset(),
    schedules: Mapping[str, LayerSchedule] | None = None,
) -> tuple[nn.Module, dict[str, Encoded]]:
    """Return a copy of a network with its weights in ``fmt``, and these encoded weights."""
    changed = plain_copy(model)
    encoded = encode_layers(changed, fmt, skip, schedules)
    for name, layer in weight_layers(changed).items():
        put_filters(layer, encoded[name].weight())
    return changed, encoded


def layer_costs(
    layers: dict[str, nn.Module], encoded: dict[str, Encoded], fmt: WeightFormat, macs: dict[str, int]
) -> list[LayerCost]:
    """Return the cost of each layer; layers that are not in ``encoded`` have the cost of ``fmt``.

    A weight that several layers share is stored once.
    """
    costs = []
    stored: set[int] = set()
    for name, layer in layers.items():
        shape = (filter_shape(layer)[0], filter_shape(layer)[1:].numel())
        if name in encoded:
            found = encoded[name]
            cost = cost_of(found.fmt, found.schedule, *shape, macs[name])
            shared = id(layer.weight) in stored
            cost = replace(cost, stored_bits=0 if shared else found.stored_bits, metric=found.metric)
        else:
            cost = cost_of(fmt, None, *shape, macs[name])
        if id(layer.weight) in stored:
            cost = replace(cost, weights=0, stored_bits=0, weight_cycles=0, metric=None)
        stored.add(id(layer.weight))
        costs.append(cost)
    return costs
