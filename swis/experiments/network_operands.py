"""What the layers of a study give hardware: the network's own weights and inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from swis.encoding.encode import Encoded
from swis.errors import InputError
from swis.experiments.study import Study
from swis.formats.registry import int8_of
from swis.formats.weight_format import WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.operands import last_encoded, operands_of
from swis.networks.activations import observe_codes
from swis.networks.apply import encode_layers
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import weight_layers


@dataclass(frozen=True)
class NetworkOperands:
    """Operands of the layers of a study's network, before any calibration; inputs are of its first image."""

    study: Study
    _kept: dict[WeightFormat, dict[str, Encoded]] = field(default_factory=dict)

    @cached_property
    def layers(self) -> list[Layer]:
        return workload(self.study.base_module, self.study.network.inputs["input_size"])

    @property
    def unsimulated_macs(self) -> int:
        """The multiply-accumulates per image that no accelerator is given.

        They are those of weights that stay float, and of activations with each other.
        """
        return self.study.unsimulated_macs

    @cached_property
    def _inputs(self) -> dict[str, list[np.ndarray]]:
        module = self.study.base_module
        for name, layer in weight_layers(module).items():
            mode = getattr(layer, "padding_mode", "zeros")
            if mode != "zeros":
                raise InputError(f"layer {name} pads with padding_mode={mode}; values are modelled for zeros")
        image = self.study.calibration_images[:1].to(self.study.device)
        bits = self.study.config.activation_bits
        return observe_codes(module, weight_layers(module), image, self.study.ranges, bits)

    def of(self, fmt: WeightFormat, accelerator: Accelerator) -> list[Operands]:
        """Return the operands of every layer in a format; layers in ``skip`` have the 8-bit format."""
        study, schedule, encoded = self.study, self.study.schedule(fmt), {}
        if accelerator.needs_codes or schedule is not None:
            schedules = schedule.layers if schedule else None
            encoded = last_encoded(
                self._kept,
                fmt,
                lambda: encode_layers(plain_copy(study.base_module), fmt, study.skip, schedules),
            )
        kept = self._inputs if accelerator.needs_inputs else {}
        calls = {name: iter(values) for name, values in kept.items()}
        found = []
        for layer in self.layers:
            mine = int8_of(fmt) if layer.name in study.skip else fmt
            inputs = next(calls.get(layer.name, iter(())), None)
            if accelerator.needs_inputs and inputs is None:
                raise InputError(
                    f"{accelerator.name} needs the inputs of layer {layer.name}, which is not called"
                )
            found.append(operands_of(layer, mine, encoded.get(layer.name), accelerator.needs_codes, inputs))
        return found
