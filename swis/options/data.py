"""The options of sets of images, and of activations."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import MISSING

from swis.options.choices import ActivationRange, ClassOrder, Damaged
from swis.options.option import option
from swis.options.ranges import at_least, named, require, within


@dataclass
class DataConfig:
    """Which images: a split to measure on and a split to calibrate on."""

    name: str = MISSING  # name of the data set
    root: str | None = None  # folder of the images; null: the embedded ones
    download: bool = False  # true: a public data set is fetched if it is not there
    split: str = MISSING  # images to measure on: a folder below root, or a part of the set
    calibration_split: str = MISSING  # images to calibrate and to train on
    limit: int | None = None  # images to measure on, at most, chosen by seed; null: all
    # a file that cannot be decoded ends the run (refuse), or is left out (skip)
    damaged: Damaged = Damaged.refuse
    # order of folders named 0, 1, ..., 10: index (as numbers), or alphabetical (10 before 2)
    class_order: ClassOrder | None = None
    workers: int = 2  # processes that decode images

    def __post_init__(self) -> None:
        at_least(1, **named("data", self, "limit"))
        at_least(0, **named("data", self, "workers"))
        require(
            self.class_order is None or self.name == "image_folder",
            f"data.class_order is for data=image_folder; {self.name} has an order of its own",
        )


@dataclass
class ActivationConfig:
    """How the range of 8-bit activations is found on the calibration images."""

    range: ActivationRange = ActivationRange.minmax
    percentile: float = option(99.9, counts=lambda own: own.range == ActivationRange.percentile)

    def __post_init__(self) -> None:
        within(50, 100, "(]", **named("activation", self, "percentile"))
