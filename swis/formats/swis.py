"""SWIS: every group of weights has its own shift set of N exponents."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

from swis.formats.powers_of_two import PowersOfTwo, ShiftSet


@dataclass(frozen=True)
class Swis(PowersOfTwo):
    """A shift set of any N exponents for each group of M weights; each weight has a sign and N mask bits.

    A group takes M (1 + N) + N p bits, with p = ceil(log2 B) (reconstructed).

    >>> Swis(shifts=2, magnitude_bits=3).shift_sets()
    [(0, 1), (0, 2), (1, 2)]
    >>> Swis(shifts=1, group_size=16).stored_bits(filters=1, filter_weights=16)
    35
    """

    name: ClassVar[str] = "swis"
    grouped: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return "SWIS"

    def shift_sets(self) -> list[ShiftSet]:
        return list(combinations(range(self.magnitude_bits), self.shifts))

    def set_codes(self) -> tuple[list[int], int]:
        width = self.position_bits
        codes = [sum(s << (k * width) for k, s in enumerate(chosen)) for chosen in self.shift_sets()]
        return codes, width * self.shifts
