"""The schedule of a layer: a number of shifts for each filter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LayerSchedule:
    """The shifts of a layer's filters, and their order on the array.

    ``shifts`` [filters]. ``order`` [filters]: the filter at each position; a tile is ``filters_per_tile``
    consecutive positions. A tile runs in lockstep: it takes the most shifts of its filters, rounded up to a
    multiple of ``multiple``.
    """

    shifts: np.ndarray
    order: np.ndarray
    filters_per_tile: int = 1
    multiple: int = 1

    @property
    def cycles(self) -> np.ndarray:
        """The cycles of each filter's weights in a single-shift lane [filters], including waiting.

        >>> LayerSchedule(np.array([1, 3, 1]), np.array([0, 2, 1]), filters_per_tile=2).cycles.tolist()
        [1, 3, 1]
        """
        cycles = np.empty_like(self.shifts)
        cycles[self.order] = self._lockstep(self.shifts[self.order])
        return cycles

    @property
    def cycles_unordered(self) -> np.ndarray:
        """The ``cycles`` if the filters stay in their original order."""
        return self._lockstep(self.shifts)

    def _lockstep(self, shifts: np.ndarray) -> np.ndarray:
        starts = np.arange(0, len(shifts), self.filters_per_tile)
        slowest = np.maximum.reduceat(-(-shifts // self.multiple) * self.multiple, starts)
        return np.repeat(slowest, np.diff([*starts, len(shifts)]))

    @property
    def reordered(self) -> bool:
        """Whether the filters are in another than their original order."""
        return bool((np.diff(self.order) != 1).any())

    def stored_bits(self, magnitude_bits: int) -> int:
        """Return the bits that store each filter's shifts and, if the filters are reordered, its position."""
        filters = len(self.shifts)
        position_bits = (filters - 1).bit_length() if self.reordered else 0
        return filters * ((magnitude_bits - 1).bit_length() + position_bits)
