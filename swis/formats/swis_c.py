"""SWIS-C: SWIS with consecutive exponents, so that only the lowest one is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swis.formats.powers_of_two import PowersOfTwo, ShiftSet


@dataclass(frozen=True)
class SwisC(PowersOfTwo):
    """A shift set of N consecutive exponents for each group of M weights.

    A group takes M (1 + N) + p bits, with p = ceil(log2 B) (reconstructed).

    >>> SwisC(shifts=2, magnitude_bits=3).shift_sets()
    [(0, 1), (1, 2)]
    """

    name: ClassVar[str] = "swis_c"
    grouped: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return "SWIS-C"

    def shift_sets(self) -> list[ShiftSet]:
        lowest = range(self.magnitude_bits - self.shifts + 1)
        return [tuple(range(low, low + self.shifts)) for low in lowest]

    def set_codes(self) -> tuple[list[int], int]:
        return [chosen[0] for chosen in self.shift_sets()], self.position_bits
