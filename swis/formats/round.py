"""Rounding: every code takes the nearest number that its top N bits can express."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from swis.formats.powers_of_two import TopBits


@dataclass(frozen=True)
class Round(TopBits):
    """The top N of B bits, rounded; halves to even, as the quantizer before it rounds.

    Halves downwards would shrink the weights and weaken the baseline.

    >>> Round(shifts=1, magnitude_bits=3).level_table().tolist()
    [[0, 0, 0, 4, 4, 4, 4, 4]]
    """

    name: ClassVar[str] = "round"

    def level_table(self) -> np.ndarray:
        return _rounded(self)


@cache
def _rounded(fmt: Round) -> np.ndarray:
    step = 2 ** (fmt.magnitude_bits - fmt.shifts)
    levels = (np.arange(2**fmt.magnitude_bits) / step).round() * step
    return levels.clip(max=2**fmt.magnitude_bits - step).astype(np.int16)[None]
