"""The options of calibration on images without labels, and the ways to calibrate by name."""

from __future__ import annotations

from dataclasses import dataclass, field

from swis.options.choices import Order
from swis.options.names import require_known
from swis.options.ranges import above_zero, at_least, named, require, within


@dataclass(frozen=True)
class Calibration:
    """What the configuration must know of a way to calibrate; swis/calibration/kinds.py has them by name.

    ``settings`` are groups of options that change its result, by what a row's identity calls them; those in
    ``seeded`` depend on the run's seed as well. ``chooses_levels``: levels are not the nearest ones;
    ``learns_rounding``: they are found by training, after the walk. ``summary`` says what it does, in a line
    that a run prints.
    """

    looks_at_images: bool = True
    chooses_levels: bool = False
    learns_rounding: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    seeded: tuple[str, ...] = ()
    summary: str = ""


_WALK = {"output_aware": "calibration"}
CALIBRATIONS = {
    "none": Calibration(looks_at_images=False, summary="every weight takes its nearest level"),
    "bias": Calibration(summary="the mean of every channel is set to that of the float network"),
    "stats": Calibration(
        summary="the mean and variance of every channel are set to those of the float network"
    ),
    "output_aware": Calibration(
        chooses_levels=True,
        settings=_WALK,
        summary="levels are chosen for the output of each layer, then means and variances are set",
    ),
    "reconstruct": Calibration(
        chooses_levels=True,
        learns_rounding=True,
        settings=_WALK | {"reconstruction": "reconstruction"},
        seeded=("reconstruction",),
        summary="levels are chosen as by output_aware, then rounding is trained block by block",
    ),
}


def calibration_names() -> list[str]:
    """Return the names of all ways to calibrate, "none" among them."""
    return list(CALIBRATIONS)


@dataclass
class OutputAware:
    """How to choose weights for their layer's output.

    ``damping`` times a filter's weights per image is added to H, relative to its mean diagonal; H sums
    ``positions`` output positions of all images, at most; ``rounds`` of coordinate descent follow the walk.
    The walk takes groups in the order of the filter, or those whose inputs vary most first. ``asymmetric``
    aims at what the float layer makes of its own inputs, and so makes up for errors in front of it, not at
    what it would make of those at hand. Every filter takes the scale of least error among ``scales`` times
    that of the quantizer; where a tensor has one scale, it is the quantizer's.
    """

    damping: float = 0.1
    positions: int = 65536
    rounds: int = 3
    order: Order = Order.filter
    asymmetric: bool = True
    scales: list[float] = field(default_factory=lambda: [0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5])

    def __post_init__(self) -> None:
        require_known("calibration.order", self.order, Order)
        at_least(1, **named("calibration", self, "positions"))
        at_least(0, **named("calibration", self, "rounds"))
        above_zero(**named("calibration", self, "damping"))
        require(len(self.scales) > 0, "calibration.scales is empty; [1.0] keeps the scale of the quantizer")
        for scale in self.scales:
            above_zero(**{"calibration.scales": scale})


@dataclass
class CalibrationConfig(OutputAware):
    """How many unlabelled images to calibrate on, and how weights are chosen on them."""

    images: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **named("calibration", self, "images"))


@dataclass
class Reconstruction:
    """How rounding is learned after the walk: how long and how fast.

    ``steps`` of Adam, 32 images each, with a learning ``rate`` in parts of the way from level to level.
    """

    steps: int = 200
    rate: float = 0.003

    def __post_init__(self) -> None:
        at_least(1, **named("reconstruction", self, "steps"))
        within(0, 1, "(]", **named("reconstruction", self, "rate"))
