"""Truncation: the top N bits of every code are kept, all below are dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swis.formats.powers_of_two import PowersOfTwo, ShiftSet


@dataclass(frozen=True)
class Truncate(PowersOfTwo):
    """The top N of B bits; what the paper compares with.

    >>> Truncate(shifts=1, magnitude_bits=3).level_table().tolist()
    [[0, 0, 0, 0, 4, 4, 4, 4]]
    """

    name: ClassVar[str] = "truncate"
    rounds_down: ClassVar[bool] = True

    def shift_sets(self) -> list[ShiftSet]:
        return [tuple(range(self.magnitude_bits - self.shifts, self.magnitude_bits))]

    @property
    def plain_bits(self) -> int:
        return self.shifts
