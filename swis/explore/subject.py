"""The network that is looked into: its layers, their weights and shapes, what is computed of them once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

from swis.api.quantize import base_network, quantize
from swis.api.quantized import Quantized
from swis.data.image_sets import open_split
from swis.encoding.encode import Encoded, approximate, encode
from swis.encoding.metrics import sqnr_db
from swis.errors import InputError
from swis.experiments.config import load
from swis.formats.int8 import Int8
from swis.formats.weight_format import WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.energy import Chip
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.operands import operands_of
from swis.hardware.simulate import simulate
from swis.networks.inputs import Inputs, gathered
from swis.networks.layers import filters_of, weight_layers
from swis.networks.models import load_network

MODELS = {
    "MobileNet-v2 (mobilenet_v2)": "mobilenet_v2",
    "ResNet-18 (resnet18)": "resnet18",
    "EfficientNet-Lite0 (efficientnet_lite0)": "efficientnet_lite0",
}

_IMAGES = 8

# Errors are measured on so many weights of a layer, or of all layers, each: a picture follows a slider.
_WEIGHTS, _OF_ALL = 1 << 15, 1 << 13


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
        it takes; a network of few bits; or one of those that come with the package, by name. Raises
        ``InputError`` for one whose inputs, or whose float weights, are not known.
        """
        if network is None or isinstance(network, str):
            return embedded(network or next(iter(MODELS.values())))
        if isinstance(network, Quantized):
            if network.reference is None:
                raise InputError("a network that was read from a file has no float weights to look into")
            return cls(network.reference, network.example, network)
        inputs = None if calibration is None else gathered(calibration, _IMAGES)
        float_and_codes = quantize(network, Int8(), example=None if inputs is None else inputs[:1])
        return cls(float_and_codes.reference, float_and_codes.example if inputs is None else inputs)

    @cached_property
    def calls(self) -> list[Layer]:
        """The shapes of the layers, in the order of their calls."""
        return workload(self.base, self.inputs[:1])

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The filters of every layer that is called, in the network's order."""
        called = {layer.name for layer in self.calls}
        layers = weight_layers(self.base)
        return {name: filters_of(layer).detach() for name, layer in layers.items() if name in called}

    @property
    def names(self) -> list[str]:
        return list(self.weights)

    def some(self, layer: str, most: int = _WEIGHTS) -> Tensor:
        """Return filters of a layer, spread over all of them, of ``most`` weights or a little more."""
        filters = self.weights[layer]
        every = -(-filters.numel() // max(most, filters[0].numel()))
        return filters[::every]

    def encoded(self, layer: str, fmt: WeightFormat) -> Encoded:
        """Return ``some`` filters of a layer in a format."""
        return self.kept((layer, fmt), lambda: encode(self.some(layer), fmt))

    def sqnr_db(self, layer: str, fmt: WeightFormat) -> float:
        """Return the SQNR [dB] of some filters of a layer in a format, fewer than ``some`` has."""

        def measured() -> float:
            filters = self.some(layer, _OF_ALL)
            return sqnr_db(filters, approximate(filters, fmt))

        return self.kept(("sqnr", layer, fmt), measured)

    def runs(self, fmts: Mapping[str, WeightFormat], array: Accelerator, chip: Chip) -> list[dict[str, Any]]:
        """Return what every call of a layer takes on an accelerator, its weights in the layer's format.

        The columns are those of ``swis.hardware.simulate``.
        """
        # layers of one shape take the same
        keys = [(replace(layer, name="layer"), fmts[layer.name], array) for layer in self.calls]
        new = [key for key in dict.fromkeys(keys) if key not in self._kept]
        if new:
            operands = [
                self.kept(
                    (shape, fmt), lambda shape=shape, fmt=fmt: operands_of(shape, fmt, None, codes=False)
                )
                for shape, fmt, _ in new
            ]
            found = simulate(array, [shape for shape, _, _ in new], operands, chip).to_dict("records")
            self._kept.update(zip(new, found, strict=True))
        kinds = ["first", *(layer.kind for layer in self.calls[1:])]
        return [
            self._kept[key] | {"layer": layer.name, "kind": kind}
            for key, layer, kind in zip(keys, self.calls, kinds, strict=True)
        ]

    def kept(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what was made for a key, made now if it was not."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


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
