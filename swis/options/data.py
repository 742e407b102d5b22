"""The options of image data sets, and of activation ranges."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from swis.options.choices import ActivationRange, ClassOrder, Damaged
from swis.options.option import option
from swis.options.ranges import at_least, named, require, within


@dataclass
class DataConfig:
    """The data set: ``split`` to measure accuracy on, ``calibration_split`` to take calibration images from.

    ``limit``: measure on at most this many images. ``class_order`` is only for data=image_folder. Raises
    ``InputError`` for a value out of range.
    """

    name: str = MISSING
    root: str | None = None
    download: bool = False
    split: str = MISSING
    calibration_split: str = MISSING
    limit: int | None = None
    damaged: Damaged = Damaged.refuse
    class_order: ClassOrder | None = None
    workers: int = 2

    def __post_init__(self) -> None:
        at_least(1, **named("data", self, "limit"))
        at_least(0, **named("data", self, "workers"))
        require(
            self.class_order is None or self.name == "image_folder",
            f"data.class_order is only for data=image_folder; {self.name} fixes the order of its classes",
        )


@dataclass
class ActivationConfig:
    """How the range of quantized activations is measured on the calibration set.

    ``percentile`` [%] is used with ``range`` "percentile". Raises ``InputError`` if it is not in (50, 100].
    """

    range: ActivationRange = ActivationRange.minmax
    percentile: float = option(99.9, counts=lambda own: own.range == ActivationRange.percentile)

    def __post_init__(self) -> None:
        within(50, 100, "(]", **named("activation", self, "percentile"))
