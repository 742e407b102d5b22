"""The shifts of a layer's filters, where each filter has a number of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LayerSchedule:
    """The shifts of a layer's filters, and how the filters share the array.

    ``shifts`` [filters]; ``order`` [filters] lists the filters tile by tile: position -> filter.
    """

    shifts: np.ndarray
    order: np.ndarray
    filters_per_tile: int = 1
    multiple: int = 1

    @property
    def cycles(self) -> np.ndarray:
        """The cycles [filters] that each filter's weights take in a single-shift lane, waiting included.

        >>> LayerSchedule(np.array([1, 3, 1]), np.array([0, 2, 1]), filters_per_tile=2).cycles.tolist()
        [1, 3, 1]
        """
        cycles = np.empty_like(self.shifts)
        cycles[self.order] = self._lockstep(self.shifts[self.order])
        return cycles

    @property
    def cycles_unordered(self) -> np.ndarray:
        """The ``cycles`` if the same filters filled the tiles in their own order."""
        return self._lockstep(self.shifts)

    def _lockstep(self, shifts: np.ndarray) -> np.ndarray:
        starts = np.arange(0, len(shifts), self.filters_per_tile)
        slowest = np.maximum.reduceat(-(-shifts // self.multiple) * self.multiple, starts)
        return np.repeat(slowest, np.diff([*starts, len(shifts)]))

    @property
    def reordered(self) -> bool:
        return bool((np.diff(self.order) != 1).any())

    def stored_bits(self, magnitude_bits: int) -> int:
        """Return the bits that say each filter's shifts and, if it is not its own, its place."""
        filters = len(self.shifts)
        place = (filters - 1).bit_length() if self.reordered else 0
        return filters * ((magnitude_bits - 1).bit_length() + place)
