"""The network that is looked into: its layers, their weights and shapes, what is computed of them once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from swis.api.quantize import base_network, quantize
from swis.api.quantized import Quantized
from swis.data.image_sets import open_split
from swis.encoding.decompose import to_filters
from swis.encoding.encode import Encoded, cost_of, encode
from swis.encoding.metrics import sqnr_db
from swis.encoding.quantizer import quantize as quantize_weights
from swis.errors import InputError
from swis.experiments.config import load
from swis.explore.words import layer_words
from swis.formats.int8 import Int8
from swis.formats.registry import weight_format
from swis.formats.swis import Swis
from swis.formats.weight_format import WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.energy import Chip
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.network_operands import inputs_of
from swis.hardware.operands import operands_of
from swis.hardware.simulate import simulate
from swis.networks.activations import observe_ranges
from swis.networks.inputs import Inputs, gathered
from swis.networks.layers import count_float_weights, filters_of, weight_layers
from swis.networks.macs import Macs, network_macs
from swis.networks.models import load_network
from swis.plots.names import NETWORKS, label_of

# The networks of the package, by what they are called.
MODELS = {NETWORKS[name]: name for name in ("mobilenet_v2", "resnet18", "efficientnet_lite0")}

MADE = "as in this network"  # in place of a format: the weights of a network of few bits as they are

# A layer's weights: a format that they are rounded to, or as they are in a network of few bits.
Given = WeightFormat | Encoded

_IMAGES = 8

# Errors are measured on so many weights: a picture follows a slider.
_WEIGHTS = 5_000_000
_SLOW_WEIGHTS = 1 << 18  # of formats that fit a quantizer of their own


@dataclass(frozen=True, eq=False)
class Subject:
    """A float network with some inputs; ``quantized`` is the network of few bits that it came with, if any.

    ``model`` is the name of one that comes with the package.

    >>> network = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> Subject.of(network, torch.rand(2, 8)).names
    ['0', '2']
    """

    base: nn.Module
    inputs: Inputs
    quantized: Quantized | None = None
    model: str = ""
    _kept: dict[Hashable, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, network: str | nn.Module | None = None, calibration: Any = None) -> Subject:
        """Return a network ready to be looked into.

        ``network`` is any module, with inputs as ``swis.quantize`` takes them where timm does not know what
        it takes; a network of few bits; or the name of one that comes with the package, or None for the first
        of these. Raises ``InputError`` for a network whose inputs, or whose float weights, are not known.
        """
        if network is None or isinstance(network, str):
            if calibration is not None:
                raise InputError("networks of the package have images of their own: leave out calibration")
            return embedded(network or next(iter(MODELS.values())))
        inputs = None if calibration is None else gathered(calibration, _IMAGES)
        if isinstance(network, Quantized):
            if network.reference is None:
                raise InputError("a network that was read from a file has no float weights to look into")
            return cls(network.reference, network.example if inputs is None else inputs, network)
        float_and_codes = quantize(network, Int8(), example=None if inputs is None else inputs[:1])
        return cls(float_and_codes.reference, float_and_codes.example if inputs is None else inputs)

    @cached_property
    def calls(self) -> list[Layer]:
        """The shapes of the layers, in the order of their calls."""
        return workload(self.base, self.example)

    @property
    def example(self) -> Inputs:
        """The input that accelerators are given: that of the network of few bits, or the first."""
        return self.inputs[:1] if self.quantized is None else self.quantized.example

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The filters of every layer, in the network's order."""
        return {name: filters_of(layer).detach() for name, layer in weight_layers(self.base).items()}

    @property
    def names(self) -> list[str]:
        return list(self.weights)

    @cached_property
    def shared(self) -> frozenset[str]:
        """The layers whose weights are those of an earlier layer, and are stored with it."""
        first: dict[int, str] = {}
        layers = weight_layers(self.base)
        return frozenset(name for name in layers if first.setdefault(id(layers[name].weight), name) != name)

    @cached_property
    def macs(self) -> Macs:
        """The multiply-accumulates of one input."""
        return network_macs(self.base, self.example)

    @cached_property
    def float_weights(self) -> int:
        """How many weights are of no layer, and stay float."""
        return count_float_weights(self.base)

    @property
    def activation_bits(self) -> int:
        """The bits of layers' inputs: 8 where the network's are float."""
        return (self.quantized and self.quantized.activation_bits) or 8

    @cached_property
    def remarks(self) -> list[str]:
        """What is to be known of the network, where not all of it is layers with weights of few bits."""
        found, macs = [], self.macs
        if self.float_weights:
            found.append(
                f"{self.float_weights:,} weights belong to no layer that has a format: they stay float, and "
                "count as 32 bits each."
            )
        if left := macs.float_weights + macs.between_activations:
            found.append(
                f"{left:,} multiply-accumulates are with float weights, or of activations with each other: "
                f"accelerators are given the {sum(macs.layers.values()):,} of the layers alone."
            )
        if idle := [name for name, count in macs.layers.items() if count == 0]:
            found.append(f"Layers that are not called take no cycles: {', '.join(idle)}.")
        if self.shared:
            found.append(f"Layers with the weights of an earlier one: {', '.join(sorted(self.shared))}.")
        if self.quantized is not None and self.quantized.activation_bits is None:
            found.append("Activations of this network are float; accelerators are given them in 8 bits.")
        return found

    def made(self, layer: str) -> Encoded:
        """Return a layer's weights as they are in the network of few bits."""
        return self.quantized.encoded[layer]

    def given(self, layer: str, name: str, shifts: int, group_size: int = 4) -> Given:
        """Return a layer's weights in a format by its name, or as they are ``MADE``."""
        return self.made(layer) if name == MADE else weight_format(name, shifts, group_size)

    def format_options(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return formats for a control: what they are called, and their names; ``MADE`` if it is one."""
        made = [] if self.quantized is None else [(MADE, MADE)]
        return made + [(label_of(name), name) for name in names]

    @property
    def layer_options(self) -> list[tuple[str, str]]:
        """The layers for a control: what they are called, and their names."""
        return [(layer_words(name), name) for name in self.names]

    @property
    def first_format(self) -> str:
        """The format that is shown first."""
        return Swis.name if self.quantized is None else MADE

    def stored_bits(self, layer: str, given: Given) -> int:
        """Return the bits in which a layer's weights are stored, by themselves if they are ``shared``."""
        filters, schedule = self.weights[layer], given.schedule if isinstance(given, Encoded) else None
        return cost_of(format_of(given), schedule, len(filters), filters[0].numel(), macs=0).stored_bits

    def every(self, layer: str, fmt: WeightFormat) -> int:
        """Return n if errors of a layer are measured on one filter in n: more than 1 of a large one."""
        filters = self.weights[layer]
        most = _SLOW_WEIGHTS // len(self.weights) if fmt.own_quantizer else self._most
        return -(-filters.numel() // max(most, filters[0].numel()))

    @cached_property
    def _most(self) -> int:
        """How many weights of a layer are measured, so that those of all layers are not too many."""
        sizes, most = [filters.numel() for filters in self.weights.values()], 1 << 30
        while most > 1 and sum(min(size, most) for size in sizes) > _WEIGHTS:
            most //= 2
        return most

    def _some(self, layer: str, given: Given) -> tuple[Tensor, Encoded]:
        """Return the filters of a layer that are measured, float and as they are given."""
        every = self.every(layer, format_of(given))
        filters = self.weights[layer][::every]
        if not isinstance(given, Encoded):
            if given.granularity == "channel":  # a filter does not depend on others
                return filters, encode(filters, given)
            given = encode(self.weights[layer], given)
        scale = given.scale.expand(len(given.codes), *given.scale.shape[1:])[::every]
        return filters, Encoded(given.fmt, given.codes[::every], None, scale, filters.shape)

    def sqnr_db(self, layer: str, given: Given) -> float:
        """Return the SQNR [dB] of a layer's weights to the float ones."""

        def measured() -> float:
            filters, encoded = self._some(layer, given)
            return sqnr_db(filters, encoded.weight())

        return self.kept(("sqnr", layer, _key(given)), measured)

    def codes(self, layer: str, fmt: WeightFormat) -> Tensor:
        """Return the 8-bit codes [filters, weights] that a format approximates, of what is measured."""
        filters, every = self.weights[layer], self.every(layer, fmt)
        if fmt.granularity == "channel":  # a filter's codes do not depend on others
            filters, every = filters[::every], 1
        codes = quantize_weights(filters, fmt.magnitude_bits, fmt.granularity, fmt.clip).codes[::every]
        return to_filters(codes)

    def errors(self, layer: str, given: Given) -> tuple[np.ndarray, np.ndarray]:
        """Return errors of weights of a layer [steps of the 8-bit quantizer], and how many have each."""

        def measured() -> tuple[np.ndarray, np.ndarray]:
            kept = self._some(layer, given)[1].codes
            off = (kept.int() - self.codes(layer, format_of(given)).int()).flatten().numpy()
            counts = np.bincount(off - off.min())
            return np.arange(len(counts)) + off.min(), counts

        return self.kept(("errors", layer, _key(given)), measured)

    @cached_property
    def _input_codes(self) -> dict[str, list[np.ndarray]]:
        ranges = {} if self.quantized is None else self.quantized.ranges
        if not ranges:
            ranges = observe_ranges(self.base, weight_layers(self.base), [self.inputs])
        return inputs_of(self.base, self.example, ranges, self.activation_bits)

    def runs(
        self, given: Mapping[str, Given], array: Accelerator, chip: Chip, compute: bool = True
    ) -> list[dict[str, Any]] | None:
        """Return what every call of a layer takes on a design: the columns of ``swis.hardware.simulate``.

        Without ``compute`` it returns None if that is not known yet. Raises ``InputError`` for SRAMs that
        hold no tile, and for layers whose inputs a design looks at and that are not known.
        """
        keys, calls = [], dict.fromkeys(self.names, 0)
        for layer in self.calls:
            values = (layer.name, calls[layer.name]) if array.needs_codes else None
            # layers of one shape take the same, unless their values are looked at
            keys.append((replace(layer, name="layer"), _key(given[layer.name]), values, array))
            calls[layer.name] += 1
        new = {key: layer for key, layer in zip(keys, self.calls, strict=True) if key not in self._kept}
        if new and not compute:
            return None
        if new:
            operands = [
                self._operands(layer, given[layer.name], array, values)
                for (_, _, values, _), layer in new.items()
            ]
            shapes = [shape for shape, _, _, _ in new]
            found = simulate(array, shapes, operands, chip, self.activation_bits).to_dict("records")
            self._kept.update(zip(new, found, strict=True))
        kinds = ["first", *(layer.kind for layer in self.calls[1:])]
        return [
            self._kept[key] | {"layer": layer.name, "kind": kind}
            for key, layer, kind in zip(keys, self.calls, kinds, strict=True)
        ]

    def _operands(
        self, layer: Layer, given: Given, array: Accelerator, values: tuple[str, int] | None
    ) -> Any:
        fmt, encoded = format_of(given), given if isinstance(given, Encoded) else None
        if values is None:
            key = ("operands", replace(layer, name="layer"), _key(given))
            return self.kept(key, lambda: operands_of(layer, fmt, encoded, codes=False))
        if encoded is None:
            encoded = encode(self.weights[layer.name], fmt)
        inputs = None
        if array.needs_inputs:
            known = self._input_codes.get(layer.name, [])
            if values[1] >= len(known):
                raise InputError(f"the inputs of layer {layer.name} are not known, for it is not called")
            inputs = known[values[1]]
        return operands_of(layer, fmt, encoded, codes=True, inputs=inputs)

    def kept(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what was made for a key, made now if it was not."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def format_of(given: Given) -> WeightFormat:
    """Return the format of a layer's weights."""
    return given.fmt if isinstance(given, Encoded) else given


def _key(given: Given) -> Hashable:
    # what is encoded stays as long as its network, which the subject holds
    return id(given) if isinstance(given, Encoded) else given


@cache
def embedded(model: str) -> Subject:
    """Return a network of the configuration, with images of Fashion-MNIST, which come with the package.

    >>> embedded("resnet18").weights["conv1"].shape[-1]
    7
    """
    config = load([f"model={model}"])
    network = load_network(config.model)
    split = open_split(config.data, "test").sample(_IMAGES, seed=0)
    prepared = split.prepared(network.transform(), channels=network.channels)
    images = Inputs.of(torch.stack([prepared[index][0] for index in range(len(prepared))]))
    return Subject(base_network(network.module, images[:1]), images, model=model)
