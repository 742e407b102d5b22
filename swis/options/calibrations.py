"""Ways to calibrate a network on images without labels, and which options change what they do."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Calibration:
    """What the configuration must know of a way to calibrate; swis/calibration/kinds.py has them by name.

    ``settings`` are groups of options that change its result, by what a row's identity calls them; those in
    ``seeded`` depend on the run's seed as well. ``chooses_levels``: levels are not the nearest ones.
    """

    looks_at_images: bool = True
    chooses_levels: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    seeded: tuple[str, ...] = ()


_WALK = {"output_aware": "calibration"}
CALIBRATIONS = {
    "none": Calibration(looks_at_images=False),
    "bias": Calibration(),
    "stats": Calibration(),
    "output_aware": Calibration(chooses_levels=True, settings=_WALK),
    "reconstruct": Calibration(
        chooses_levels=True, settings=_WALK | {"reconstruction": "reconstruction"}, seeded=("reconstruction",)
    ),
}


def calibration_names() -> list[str]:
    """Return the names of all ways to calibrate, "none" among them."""
    return list(CALIBRATIONS)
