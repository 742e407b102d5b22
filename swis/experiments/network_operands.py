"""The operands of a study's network for the simulation of accelerators."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from swis.encoding.encode import Encoded
from swis.experiments.study import Study
from swis.formats.weight_format import WeightFormat
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.network_operands import NetworkOperands, inputs_of
from swis.hardware.operands import last_encoded
from swis.networks.apply import encode_layers
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Inputs


@dataclass(frozen=True)
class StudyOperands(NetworkOperands):
    """The weights of a study's network before any calibration, and its inputs for one calibration image."""

    study: Study
    _cache: dict[WeightFormat, dict[str, Encoded]] = field(default_factory=dict)

    @cached_property
    def layers(self) -> list[Layer]:
        return workload(self.study.base_module, self.study.network.inputs["input_size"])

    @property
    def skip(self) -> Collection[str]:
        return self.study.skip

    @property
    def unsimulated_macs(self) -> int:
        return self.study.unsimulated_macs

    def weights(self, fmt: WeightFormat, codes: bool) -> Mapping[str, Encoded]:
        study, schedule = self.study, self.study.schedule(fmt)
        if not codes and schedule is None:
            return {}
        schedules = schedule.layers if schedule else None
        return last_encoded(
            self._cache, fmt, lambda: encode_layers(plain_copy(study.base_module), fmt, study.skip, schedules)
        )

    def inputs(self) -> dict[str, list[np.ndarray]]:
        return self._inputs

    @cached_property
    def _inputs(self) -> dict[str, list[np.ndarray]]:
        study = self.study
        image = Inputs.of(study.calibration_images[:1].to(study.device))
        return inputs_of(study.base_module, image, study.ranges, study.config.activation_bits)
