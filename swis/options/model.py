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
