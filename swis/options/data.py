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

    ``limit``: measure on at most this many images. ``held_out``: compare with the float network also on the
    images of ``calibration_split`` that are not in the calibration set, without labels. ``class_order`` is
    only for data=image_folder. Raises ``InputError`` for a value out of range.
    """

    name: str = MISSING  # name of the data set
    root: str | None = None  # folder of the images; null: the embedded ones
    download: bool = False  # true: a public data set is fetched if it is not there
    split: str = MISSING  # images to measure on: a folder below root, or a part of the set
    calibration_split: str = MISSING  # images to calibrate and to train on
    limit: int | None = None  # images to measure on, at most, chosen by seed; null: all
    # true: agreement and KL divergence also over all images of calibration_split that nothing is learned from
    held_out: bool = option(False, younger=True)
    # a file that cannot be decoded ends the run (refuse), or is left out (skip)
    damaged: Damaged = Damaged.refuse
    # order of folders named 0, 1, ..., 10: index (as numbers), or alphabetical (10 before 2)
    class_order: ClassOrder | None = None
    workers: int = 2  # processes that decode images

    def __post_init__(self) -> None:
        at_least(1, **named("data", self, "limit"))
        at_least(0, **named("data", self, "workers"))
        require(
            not self.held_out or self.calibration_split != self.split,
            f"data.held_out=true needs other images than those of data.split={self.split}; choose another "
            "data.calibration_split",
        )
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
