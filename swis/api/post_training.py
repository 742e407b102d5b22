"""Quantizing a float network without training: weights are rounded, or calibrated on images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from swis.calibration.kinds import Kind
from swis.encoding.encode import Encoded
from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.weight_format import WeightFormat
from swis.networks.activations import ActivationRange, quantize_activations
from swis.networks.apply import in_format
from swis.networks.batch_norm import fused
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Example, Inputs
from swis.networks.layers import weight_layers


@dataclass(frozen=True)
class PostTraining:
    """The settings of quantizing a float network, for every calibration method.

    ``example`` is the size [C, H, W] of an image, or example inputs. Layers in ``skip`` have 8 bits. Layers
    in ``schedules`` have a number of shifts per filter. The inputs of layers are rounded to
    ``activation_bits`` over their ``ranges``; with None they stay float.
    """

    fmt: WeightFormat
    example: Example
    skip: Collection[str] = frozenset()
    schedules: Mapping[str, LayerSchedule] | None = None
    activation_bits: int | None = None
    ranges: Mapping[str, ActivationRange] = field(default_factory=dict)

    def rounded(self, base: nn.Module) -> tuple[nn.Module, dict[str, Encoded]]:
        """Return a copy of ``base`` with weights rounded to the nearest levels, and the encoded layers.

        Batch normalisation is folded afterwards where possible, so that the copy runs faster.
        """
        module, encoded = in_format(base, self.fmt, self.skip, self.schedules)
        return self.round_activations(fused(module, self.example)), encoded

    def calibrated(
        self, base: nn.Module, kind: Kind, images: Tensor | Inputs, device: torch.device
    ) -> tuple[nn.Module, dict[str, Encoded]]:
        """Return a calibrated copy of ``base`` with folded batch normalisation, and the encoded layers."""
        reference = fused(base, self.example)
        module = self.round_activations(plain_copy(reference))
        return module, kind.run(reference, module, self.fmt, images, self.skip, self.schedules, device)

    def round_activations(self, module: nn.Module) -> nn.Module:
        """Make a network round the inputs of its layers, in place; return it."""
        if self.activation_bits is not None:
            quantize_activations(weight_layers(module), self.ranges, self.activation_bits)
        return module
