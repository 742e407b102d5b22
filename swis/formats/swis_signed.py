"""SWIS with signed digits: every weight adds, skips or subtracts each power of two of its group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from typing import ClassVar

import numpy as np

from swis.formats.powers_of_two import ShiftSet
from swis.formats.registry import register
from swis.formats.weight_format import WeightFormat
from swis.options.ranges import within


def digit_fields(digits: int) -> list[tuple[int, int]]:
    """Return the fields that hold so many signed digits: of each, its number of digits and its bits.

    Three digits take 5 bits, two that are left take 4, and one takes 2.

    >>> digit_fields(8)
    [(3, 5), (3, 5), (2, 4)]
    """
    left = digits % 3
    return [(3, 5)] * (digits // 3) + [(left, 2 * left)] * (left > 0)


@register
@dataclass(frozen=True)
class SwisSigned(WeightFormat):
    """N exponents for a group of M weights; each weight has a digit -1, 0 or 1 for each exponent.

    N = 2 gives up to 9 values, a and b, a + b, a - b and their negatives, where SWIS gives 7. From two shifts
    on, exponents reach B, one more than in SWIS, for differences such as 2^7 - 2^3; no value exceeds 2^B - 1.
    A group is stored in 5 bits for every three digits and the index of its set. Ours; the nearest published
    idea, without shared sets, is Term Quantization (Kung et al., SC 2020).

    >>> SwisSigned(shifts=2, magnitude_bits=3).shift_sets()
    [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    >>> SwisSigned(shifts=2, magnitude_bits=3).level_sets()[2]
    (0, 1, 7)
    >>> SwisSigned(shifts=2).stored_bits(filters=1, filter_weights=4)
    19
    """

    name: ClassVar[str] = "swis_signed"
    grouped: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        within(1, self.magnitude_bits, shifts=self.shifts)

    @property
    def label(self) -> str:
        return "SWIS signed"

    def shift_sets(self) -> list[ShiftSet]:
        """Return the sets of exponents that a group may take, each ascending, in lexicographic order."""
        alone = self.shifts == 1  # nothing to subtract from: 2^B itself is no value
        return list(combinations(range(self.magnitude_bits + (not alone)), self.shifts))

    def level_sets(self) -> tuple[tuple[int, ...], ...]:
        return _level_sets(self)

    def digit_exponents(self) -> np.ndarray:
        return np.array(self.shift_sets(), np.int64)

    def stored_bits(self, filters: int, filter_weights: int) -> int:
        """Return the bits of weights in storage: three digits in five bits, and a number for the set."""
        groups = filters * -(-filter_weights // self.group_size)
        digit_bits = sum(bits for _, bits in digit_fields(self.group_size * self.shifts))
        return groups * (digit_bits + self.set_ranks()[1])


@cache
def _level_sets(fmt: SwisSigned) -> tuple[tuple[int, ...], ...]:
    digits = list(product((-1, 0, 1), repeat=fmt.shifts))
    top = 2**fmt.magnitude_bits
    sets = []
    for exponents in fmt.shift_sets():
        values = {abs(sum(d << s for d, s in zip(each, exponents, strict=True))) for each in digits}
        sets.append(tuple(sorted(value for value in values if value < top)))
    return tuple(sets)
