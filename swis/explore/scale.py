"""Numbers as people write them, and the scales of axes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNITS = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def readable(value: float, digits: int = 3) -> str:
    """Return a number with so many digits at most and a unit of thousands, as people write it.

    >>> [readable(value) for value in (1234567890, 20480, 7.0, 0.04567, 3e-7, float("nan"))]
    ['1.23 G', '20.5 k', '7', '0.0457', '3·10⁻⁷', '-']
    """
    if value is None or not math.isfinite(value):
        return "-"
    if 0 < abs(value) < 1e-4:
        exponent = math.floor(math.log10(abs(value)))
        return f"{_plain(value / 10.0**exponent, digits)}·{_power(exponent)}"
    size, unit = next((each for each in _UNITS if abs(value) >= each[0]), (1, ""))
    return _plain(value / size, digits) + unit


def _plain(value: float, digits: int) -> str:
    return np.format_float_positional(value, precision=digits, fractional=False, trim="-")


def raised(exponent: int) -> str:
    """Return an exponent as raised digits.

    >>> raised(-12)
    '⁻¹²'
    """
    return str(exponent).translate(_RAISED)


def _power(exponent: int) -> str:
    return f"10{raised(exponent)}"


@dataclass(frozen=True)
class Scale:
    """A span of values and where they lie on an axis, from 0 to 1.

    >>> Scale(1, 100, log=True).place(10)
    0.5
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], log: bool = False, zero: bool = False) -> Scale:
        """Return a scale with room for values and a margin; ``zero``: from 0, or from it downwards."""
        known = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        low, high = (min(known), max(known)) if known else (1.0, 10.0)
        if log:
            return cls(low / 1.3, high * 1.3, log=True)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        margin = 0.06 * (high - low) or 0.06 * abs(high) or 0.5
        return cls(low if zero and low == 0 else low - margin, high + margin)

    def place(self, value: float) -> float:
        if self.log:
            value = max(value, self.low)
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return some values with their labels."""
        if not self.log:
            step = _round_step((self.high - self.low) / 6.5)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            digits = max(3, 1 + math.floor(math.log10(max(abs(first), abs(last), 1))))
            values = [step * n for n in range(first, last + 1)]
            return [(value, readable(float(f"{value:.12g}"), digits)) for value in values]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = max(1, len(decades) // 5)
        fine = (1, 2, 5) if len(decades) <= 3 else (1,)
        values = [n * 10.0**decade for decade in decades if decade % every == 0 for n in fine]
        inside = [value for value in values if self.low <= value <= self.high]
        return [(value, _tick(value)) for value in inside]


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= least * (1 - 1e-9))


def _tick(value: float) -> str:
    exponent = math.log10(value)
    far = not 1e-2 <= value < 1e12
    return _power(round(exponent)) if far and abs(exponent - round(exponent)) < 1e-6 else readable(value)
