"""Truncation: the top N bits of every code are kept, and the lower bits are dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swis.formats.powers_of_two import TopBits


@dataclass(frozen=True)
class Truncate(TopBits):
    """The top N of B bits, rounded down: the paper's baseline.

    >>> Truncate(shifts=1, magnitude_bits=3).level_table().tolist()
    [[0, 0, 0, 0, 4, 4, 4, 4]]
    """

    name: ClassVar[str] = "truncate"
    rounds_down: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return "truncation"
