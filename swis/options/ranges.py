"""Checks of numbers; each error is one line that gives the wrong value and the allowed range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from swis.errors import InputError


def require(holds: bool, message: str) -> None:
    """Raise ``InputError`` with this message unless the condition holds."""
    if not holds:
        raise InputError(message)


def named(group: str, settings: Any, *names: str) -> dict[str, Any]:
    """Return some fields of a group of options under their names on the command line."""
    return {f"{group}.{name}": getattr(settings, name) for name in names}


def at_least(least: float, **values: float | None) -> None:
    """Raise ``InputError`` if a value is below ``least`` or not finite; None is always allowed.

    >>> at_least(1, epochs=0)
    Traceback (most recent call last):
    swis.errors.InputError: epochs must be at least 1, not 0
    """
    for name, value in values.items():
        if value is not None and not least <= value < math.inf:
            finite = "finite and " if isinstance(value, float) else ""
            raise InputError(f"{name} must be {finite}at least {least:g}, not {_shown(value)}")


def above_zero(**values: float | None) -> None:
    """Raise ``InputError`` if a value is not above zero or not finite; None is always allowed.

    >>> above_zero(damping=float("nan"))
    Traceback (most recent call last):
    swis.errors.InputError: damping must be finite and above 0, not nan
    """
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name} must be finite and above 0, not {_shown(value)}")


def within(low: float, high: float, ends: str = "[]", /, **values: float | None) -> None:
    """Raise ``InputError`` if a value is not in the interval; None is always allowed.

    ``ends`` is "[]", "[)", "(]" or "()", with the usual meaning: a round bracket excludes that end.

    >>> within(0, 1, "[)", momentum=1)
    Traceback (most recent call last):
    swis.errors.InputError: momentum must be in [0, 1), not 1
    """
    opens, closes = ends[0], ends[1]
    for name, value in values.items():
        if value is None:
            continue
        above = low <= value if opens == "[" else low < value
        below = value <= high if closes == "]" else value < high
        if not (above and below):
            raise InputError(f"{name} must be in {opens}{low:g}, {high:g}{closes}, not {_shown(value)}")


def least_and_most(**values: Sequence[float]) -> None:
    """Raise ``InputError`` if a value is not a pair of numbers between 0 and 1 in ascending order.

    >>> least_and_most(momentum=(0.95, 0.85))
    Traceback (most recent call last):
    swis.errors.InputError: momentum must be [least, most] between 0 and 1, not [0.95, 0.85]
    """
    for name, value in values.items():
        if len(value) != 2 or not 0 < value[0] <= value[1] < 1:
            raise InputError(f"{name} must be [least, most] between 0 and 1, not {[*value]}")


def _shown(value: float) -> str:
    """Return the shortest text that gives the exact number."""
    return f"{value:g}" if float(f"{value:g}") == value or value != value else str(value)
