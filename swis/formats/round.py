"""Rounding: every code becomes the nearest number that uses only its top N bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from swis.formats.powers_of_two import TopBits


@dataclass(frozen=True)
class Round(TopBits):
    """The top N of B bits, rounded to nearest; halves to even, as in the 8-bit quantizer.

    Rounding halves down would shrink the weights and weaken this baseline.

    >>> Round(shifts=1, magnitude_bits=3).level_table().tolist()
    [[0, 0, 0, 4, 4, 4, 4, 4]]
    """

    name: ClassVar[str] = "round"

    @property
    def label(self) -> str:
        return "rounding"

    def level_table(self) -> np.ndarray:
        return _rounded(self)


@cache
def _rounded(fmt: Round) -> np.ndarray:
    step = 2 ** (fmt.magnitude_bits - fmt.shifts)
    levels = (np.arange(2**fmt.magnitude_bits) / step).round() * step
    return levels.clip(max=2**fmt.magnitude_bits - step).astype(np.int16)[None]
