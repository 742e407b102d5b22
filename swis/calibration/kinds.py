"""The kinds of calibration by their names on the command line (``swis.options.calibrations``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from swis.calibration.block_reconstruction import reconstruct
from swis.calibration.layerwise import LayerCalibration, calibrate
from swis.calibration.logit_losses import logit_prices
from swis.calibration.output_aware import walking
from swis.encoding.encode import Encoded
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.formats.weight_format import WeightFormat
from swis.networks.inputs import Inputs

Weights = dict[str, Encoded]
Refine = Callable[[nn.Module, nn.Module, Weights, Tensor, torch.device], Weights]


@dataclass(frozen=True)
class Kind:
    """A kind of calibration: the calibration of each layer, then an optional step for the whole network.

    ``logit_rate`` is the price of a bit per weight, for levels whose bits are weighed against their effect on
    the logits; None if they are not.
    """

    layer: LayerCalibration
    refine: Refine | None = None
    logit_rate: float | None = None

    def run(
        self,
        reference: nn.Module,
        network: nn.Module,
        fmt: WeightFormat,
        images: Tensor | Inputs,
        skip: set[str],
        schedules: dict[str, LayerSchedule] | None,
        device: torch.device,
    ) -> Weights:
        """Calibrate ``network`` in place; return its encoded weights. See ``layerwise.calibrate``."""
        layer = self.layer
        if self.logit_rate is not None:
            layer = replace(
                layer, prices=logit_prices(reference, fmt, self.logit_rate, skip, [images], device)
            )
        encoded = calibrate(reference, network, fmt, images, layer, skip, schedules, device)
        return encoded if self.refine is None else self.refine(reference, network, encoded, images, device)


BIAS, STATS = LayerCalibration(match_variance=False), LayerCalibration()


def _walked(run: Any, refine: Refine | None = None) -> Kind:
    return Kind(walking(run.calibration), refine, run.calibration.logit_rate)


def _reconstructed(run: Any) -> Kind:
    def refine(
        reference: nn.Module, network: nn.Module, encoded: Weights, images: Inputs, device: torch.device
    ) -> Weights:
        if not isinstance(images, Tensor):
            raise InputError("calibrate=reconstruct needs images as a tensor [N, C, H, W]")
        return reconstruct(reference, network, encoded, images, run.reconstruction, run.seed, device)

    return _walked(run, refine)


# Each function takes the options of a run and returns the kind of calibration.
KINDS: dict[str, Callable[[Any], Kind]] = {
    "bias": lambda run: Kind(BIAS),
    "stats": lambda run: Kind(STATS),
    "output_aware": _walked,
    "reconstruct": _reconstructed,
}
