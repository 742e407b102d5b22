"""The options of a network and of its input images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from swis.options.choices import CropMode, Interpolation
from swis.options.ranges import named, require, within


@dataclass
class ModelConfig:
    """The network and its weights; the weights' own description fills in the fields that are null.

    ``name`` is the name in timm. For your own network, ``factory`` names the function that returns it, as
    PACKAGE.MODULE:FUNCTION. ``input_size`` is [channels, height, width]; ``mean`` and ``std`` have one value
    per channel. Raises ``InputError`` for a value out of range.
    """

    label: str = MISSING
    name: str = MISSING
    factory: str | None = None
    weights: str = "timm"
    kwargs: dict[str, Any] = field(default_factory=dict)
    input_size: list[int] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    interpolation: Interpolation | None = None
    crop_pct: float | None = None
    crop_mode: CropMode | None = None

    def __post_init__(self) -> None:
        check_inputs("model", self)
        require(
            self.factory is None or self.weights != "timm",
            "model.weights=timm cannot be used with model.factory; use model.weights=factory or a file",
        )
        within(0, 1, "(]", **named("model", self, "crop_pct"))


def check_inputs(group: str, settings: Any) -> None:
    """Raise ``InputError`` if the size, mean or standard deviation of images is not valid."""
    size, mean, std = settings.input_size, settings.mean, settings.std
    require(
        size is None or (len(size) == 3 and min(size) > 0),
        f"{group}.input_size must be [channels, height, width], all positive, not {size}",
    )
    require(
        mean is None or (len(mean) > 0 and all(map(math.isfinite, mean))),
        f"{group}.mean must be finite numbers, one per channel, not {mean}",
    )
    require(
        std is None or (len(std) > 0 and all(0 < value < math.inf for value in std)),
        f"{group}.std must be finite numbers above 0, one per channel, not {std}",
    )
