"""The kinds of calibration by name, and their options.

Calibration uses a calibration set: images without labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from swis.options.choices import Order, Weighed
from swis.options.names import require_known
from swis.options.option import option
from swis.options.ranges import above_zero, at_least, named, require, within


@dataclass(frozen=True)
class Calibration:
    """What the options must know about a kind of calibration; its code is in swis/calibration/kinds.py.

    ``looks_at_images``: it needs a calibration set. ``chooses_levels``: a weight may get a level that is not
    its nearest one. ``learns_rounding``: levels are trained after the GPTQ pass. ``settings`` lists the
    groups of options that change the result; each key is the group's name in a row's identity. The result
    also depends on the run's seed for the keys in ``seeded``. ``summary``: one line that a run prints.
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
    "bias": Calibration(summary="the mean of every channel is matched to the float network"),
    "stats": Calibration(
        summary="the mean and the variance of every channel are matched to the float network"
    ),
    "output_aware": Calibration(
        chooses_levels=True,
        settings=_WALK,
        summary="levels are chosen for the output of each layer, then means and variances are matched",
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
    """Return the names of all kinds of calibration, including "none".

    >>> calibration_names()
    ['none', 'bias', 'stats', 'output_aware', 'reconstruct']
    """
    return list(CALIBRATIONS)


@dataclass
class OutputAware:
    """Options of output-aware calibration: levels are chosen to keep each layer's output (GPTQ).

    H is the second moment of a layer's inputs, summed over at most ``positions`` output positions of all
    images. ``damping`` x (weights per filter / images) x (mean diagonal of H) is added to the diagonal of H.
    ``rounds`` is the number of rounds of coordinate descent after the GPTQ pass. ``order`` of the groups in
    that pass: "filter" (as stored) or "variance" (groups with the most varying inputs first).
    ``asymmetric``: the target is the output of the float layer on the float network's inputs, so that a layer
    corrects the errors of the layers before it. Otherwise both outputs are computed from the same inputs.
    ``scales``: factors on the quantizer's scale; each filter keeps the one of least error. They are not used
    with one scale per tensor. ``rate``: the price of a bit per weight; sets and levels are chosen for the
    least error + rate x bits of the entropy coder. ``rate_against``: the error is that of each filter's
    "output", as a share of its power, or what it does to the "logits", as a share of their power; the bits
    are then per weight of the whole network, so that they go where the logits need them. ``codebook``:
    how many candidate sets each layer keeps for each number of shifts, those of least output error; None for
    all. Learned rounding and retraining do not weigh bits. Raises ``InputError`` for a value out of range.

    >>> OutputAware(damping=0.0)
    Traceback (most recent call last):
    swis.errors.InputError: calibration.damping must be finite and above 0, not 0
    """

    damping: float = 0.1
    positions: int = 65536
    rounds: int = 3
    order: Order = Order.filter
    asymmetric: bool = True
    scales: list[float] = field(default_factory=lambda: [0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5])
    rate: float = option(0.0, younger=True)
    rate_against: Weighed = option(Weighed.output, younger=True)
    codebook: int | None = option(None, younger=True)

    def __post_init__(self) -> None:
        require_known("calibration.order", self.order, Order)
        require_known("calibration.rate_against", self.rate_against, Weighed)
        require(
            self.rate > 0 or self.rate_against == Weighed.output,
            f"calibration.rate_against={self.rate_against} needs calibration.rate above 0",
        )
        at_least(1, **named("calibration", self, "positions"))
        at_least(0, **named("calibration", self, "rounds", "rate"))
        at_least(1, **named("calibration", self, "codebook"))
        require(
            self.codebook is None or self.codebook == int(self.codebook),
            f"calibration.codebook must be a whole number, not {self.codebook}",
        )
        above_zero(**named("calibration", self, "damping"))
        require(len(self.scales) > 0, "calibration.scales is empty; use [1.0] to keep the quantizer's scale")
        for scale in self.scales:
            above_zero(**{"calibration.scales": scale})

    @property
    def logit_rate(self) -> float | None:
        """The rate, if bits are weighed against effects on the logits; otherwise None."""
        return self.rate if self.rate_against == Weighed.logits else None


@dataclass
class CalibrationConfig(OutputAware):
    """The size of the calibration set [images], and the options of output-aware calibration."""

    images: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, **named("calibration", self, "images"))


@dataclass
class Reconstruction:
    """Options of block reconstruction, which learns the rounding after the GPTQ pass.

    ``steps``: steps of Adam, with 32 images each. ``rate``: Adam's learning rate, in units of the distance
    between two neighbouring levels.
    """

    steps: int = 200
    rate: float = 0.003

    def __post_init__(self) -> None:
        at_least(1, **named("reconstruction", self, "steps"))
        within(0, 1, "(]", **named("reconstruction", self, "rate"))
