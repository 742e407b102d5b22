"""Formats whose levels are sums of powers of two from a shift set."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from swis.formats.weight_format import WeightFormat
from swis.options.ranges import within

ShiftSet = tuple[int, ...]


def sums(shift_set: ShiftSet) -> tuple[int, ...]:
    """Return all sums of powers of two with exponents from a shift set, in ascending order.

    >>> sums((0, 2))
    (0, 1, 4, 5)
    """
    chosen = [part for n in range(len(shift_set) + 1) for part in combinations(shift_set, n)]
    return tuple(sorted(sum(1 << s for s in part) for part in chosen))


@dataclass(frozen=True)
class PowersOfTwo(WeightFormat):
    """A format whose candidate sets are shift sets; the id of a set S has bit s set for every s in S."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.on_codes:
            within(1, self.magnitude_bits, shifts=self.shifts)

    @abstractmethod
    def shift_sets(self) -> list[ShiftSet]:
        """Return the candidate shift sets, each in ascending order, sorted lexicographically."""

    def level_sets(self) -> tuple[tuple[int, ...], ...]:
        return _level_sets(self)

    def set_ids(self) -> tuple[int, ...]:
        return tuple(sum(1 << s for s in chosen) for chosen in self.shift_sets())

    @property
    def position_bits(self) -> int:
        """The bits that store one exponent: ceil(log2 B)."""
        return (self.magnitude_bits - 1).bit_length()

    @property
    def consecutive(self) -> bool:
        return all(s[-1] - s[0] == len(s) - 1 for s in self.shift_sets())


@dataclass(frozen=True)
class TopBits(PowersOfTwo):
    """A format with one shift set for all weights: the top N of B magnitude bits."""

    def shift_sets(self) -> list[ShiftSet]:
        return [tuple(range(self.magnitude_bits - self.shifts, self.magnitude_bits))]

    @property
    def plain_bits(self) -> int:
        return self.shifts


@cache
def _level_sets(fmt: PowersOfTwo) -> tuple[tuple[int, ...], ...]:
    return tuple(map(sums, fmt.shift_sets()))
