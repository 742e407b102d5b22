"""The options of a network, and of the images that it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from swis.options.choices import CropMode, Interpolation
from swis.options.ranges import named, require, within


@dataclass
class ModelConfig:
    """Which network, with which weights; the fields that are null come from the weights.

    ``name`` is timm's; of an own network ``factory`` names the function that makes it, as
    PACKAGE.MODULE:FUNCTION.
    """

    label: str = MISSING  # what tables call the network
    name: str = MISSING  # name of the architecture in timm
    # the function that returns your own network, as PACKAGE.MODULE:FUNCTION
    factory: str | None = None
    weights: str = "timm"  # embedded, timm (fetched), factory (as your own network has them), or a file
    kwargs: dict[str, Any] = field(default_factory=dict)  # arguments of the architecture
    input_size: list[int] | None = None  # [channels, height, width] of an image; null: as the weights say
    mean: list[float] | None = None  # mean of each channel; null: as the weights say
    std: list[float] | None = None  # standard deviation of each channel; null: as the weights say
    interpolation: Interpolation | None = None  # how images are resized; null: as the weights say
    crop_pct: float | None = None  # side of the crop over that of the image; null: as the weights say
    crop_mode: CropMode | None = None  # how images are cropped; null: as the weights say

    def __post_init__(self) -> None:
        check_inputs("model", self)
        require(
            self.factory is None or self.weights != "timm",
            "model.weights=timm is not for a network of your own; use model.weights=factory or a file",
        )
        within(0, 1, "(]", **named("model", self, "crop_pct"))


def check_inputs(group: str, settings: Any) -> None:
    """Raise ``InputError`` if the size, mean and standard deviation of images cannot be right."""
    size, mean, std = settings.input_size, settings.mean, settings.std
    require(
        size is None or (len(size) == 3 and min(size) > 0),
        f"{group}.input_size must be [channels, height, width], all positive, not {size}",
    )
    require(
        mean is None or (len(mean) > 0 and all(map(math.isfinite, mean))),
        f"{group}.mean must be finite numbers, one of each channel, not {mean}",
    )
    require(
        std is None or (len(std) > 0 and all(0 < value < math.inf for value in std)),
        f"{group}.std must be above 0, and finite, one of each channel, not {std}",
    )
