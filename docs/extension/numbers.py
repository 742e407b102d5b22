"""How numbers are shown, in all tables alike: the unit in a column's name decides."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

MISSING = "-"
# Decimals by unit; numbers without a unit, or with another one, have three digits that count.
DECIMALS = {
    "%": 1,
    "points": 1,
    "bits": 2,
    "bits/weight": 2,
    "cycles/weight": 2,
    "cycles/MAC": 2,
    "shifts": 2,
    "x": 2,
    "ms": 1,
    "µJ": 0,
    "mm²": 3,
    "dB": 1,
    "steps²": 2,
    "million weights/s": 1,
    "MB": 2,
    "minutes": 0,
}


@dataclass(frozen=True)
class Numbers:
    """The texts of a table's values, with decimals of its own for some columns."""

    decimals: Mapping[str, int]

    def text(self, value: Any, column: str) -> str:
        """Return a value as it is shown below a column's name.

        >>> [Numbers({}).text(value, "top-1 [%]") for value in (85.234, 85, float("nan"))]
        ['85.2', '85.0', '-']
        >>> [Numbers({}).text(value, "images") for value in (10000, 2.0, 0.123456, True, "swis")]
        ['10,000', '2', '0.123', 'yes', 'swis']
        """
        if isinstance(value, bool):
            return "yes" if value else "no"
        if value is None or (isinstance(value, Real) and math.isnan(value)):
            return MISSING
        if not isinstance(value, Real):
            return str(value)
        decimals = self._decimals(column)
        if decimals is not None:
            return f"{value:,.{decimals}f}"
        return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"

    def _decimals(self, column: str) -> int | None:
        if column in self.decimals:
            return self.decimals[column]
        units = re.findall(r"\[(.+?)\]", column)
        return DECIMALS.get(units[-1]) if units else None
