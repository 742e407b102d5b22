"""Numbers that must be in a range: one line says what is wrong and what would be right."""

from __future__ import annotations

import math

from swis.errors import InputError


def at_least(least: float, **values: float | None) -> None:
    """Raise ``InputError`` if a value is less, or no finite number; None is not looked at.

    >>> at_least(1, epochs=0)
    Traceback (most recent call last):
    swis.errors.InputError: epochs must be at least 1, and finite, not 0
    """
    for name, value in values.items():
        if value is not None and not least <= value < math.inf:
            raise InputError(f"{name} must be at least {least:g}, and finite, not {value:g}")


def above_zero(**values: float) -> None:
    """Raise ``InputError`` if a value is zero or less, or no finite number.

    >>> above_zero(damping=float("nan"))
    Traceback (most recent call last):
    swis.errors.InputError: damping must be above 0, and finite, not nan
    """
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise InputError(f"{name} must be above 0, and finite, not {value:g}")


def within(low: float, high: float, **values: float) -> None:
    """Raise ``InputError`` if a value is not in [low, high].

    >>> within(0, 1, warmup=2)
    Traceback (most recent call last):
    swis.errors.InputError: warmup must be in [0, 1], not 2
    """
    for name, value in values.items():
        if not low <= value <= high:
            raise InputError(f"{name} must be in [{low:g}, {high:g}], not {value:g}")
