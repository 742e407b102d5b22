"""The operands of a network for the simulation of accelerators: its own weights and inputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import numpy as np
from torch import nn

from swis.encoding.encode import Encoded
from swis.errors import InputError
from swis.formats.registry import int8_of
from swis.formats.weight_format import WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.operands import operands_of
from swis.networks.activations import ActivationRange, observe_codes
from swis.networks.inputs import Inputs
from swis.networks.layers import weight_layers


class NetworkOperands(ABC):
    """The operands of a network's layers; a subclass provides its weights and inputs.

    ``layers`` are in the order of their calls; those in ``skip`` have 8 bits. ``unsimulated_macs`` counts the
    multiply-accumulates per input that no accelerator runs: those with float weights, and those between
    activations.
    """

    layers: list[Layer]
    skip: Collection[str]
    unsimulated_macs: int

    @abstractmethod
    def weights(self, fmt: WeightFormat, codes: bool) -> Mapping[str, Encoded]:
        """Return the layers' weights in a format; the result may be empty if ``codes`` is false."""

    @abstractmethod
    def inputs(self) -> Mapping[str, list[np.ndarray]]:
        """Return the inputs of every layer, one per call, like ``observe_codes``."""

    def of(self, fmt: WeightFormat, accelerator: Accelerator) -> list[Operands]:
        """Return the operands of every layer in a format; raise ``InputError`` for missing inputs."""
        encoded = self.weights(fmt, accelerator.needs_codes)
        known = self.inputs() if accelerator.needs_inputs else {}
        calls = {name: iter(values) for name, values in known.items()}
        found = []
        for layer in self.layers:
            mine = int8_of(fmt) if layer.name in self.skip else fmt
            inputs = next(calls.get(layer.name, iter(())), None)
            if accelerator.needs_inputs and inputs is None:
                raise InputError(
                    f"{accelerator.name} needs the inputs of layer {layer.name}, which is not called"
                )
            found.append(operands_of(layer, mine, encoded.get(layer.name), accelerator.needs_codes, inputs))
        return found


def inputs_of(
    module: nn.Module, example: Inputs, ranges: Mapping[str, ActivationRange], bits: int
) -> dict[str, list[np.ndarray]]:
    """Return the inputs of a float network's layers for one input, rounded to ``bits`` over their ranges.

    Raises ``InputError`` for a layer with another padding than zeros.
    """
    for name, layer in weight_layers(module).items():
        mode = getattr(layer, "padding_mode", "zeros")
        if mode != "zeros":
            raise InputError(f"layer {name} has padding_mode={mode}; only padding with zeros is modelled")
    return observe_codes(module, weight_layers(module), example, ranges, bits)
