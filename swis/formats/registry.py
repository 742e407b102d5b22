"""The weight formats by their names on the command line.

An installed package adds formats with entry points of the group ``swis.formats``; a notebook calls
``register``.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from importlib import import_module, metadata
from pkgutil import iter_modules
from typing import Any, TypeVar

import swis.formats
from swis.errors import InputError
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.formats.weight_format import WeightFormat
from swis.options.names import require_known

Kind = TypeVar("Kind", bound=type[WeightFormat])

_FORMATS: dict[str, type[WeightFormat]] = {}


def register(kind: Kind) -> Kind:
    """Add a format under its ``name``; use it as a class decorator.

    A class that is defined again, as in a notebook's cell, replaces its older definition. Raises
    ``ValueError`` if another format has the name, or if the name is not a Python identifier, and
    ``InputError`` for anything else than a format.

    >>> register(Swis) is Swis
    True
    """
    if not (isinstance(kind, type) and issubclass(kind, WeightFormat)):
        raise InputError(f"a format to register is a subclass of swis.WeightFormat, not {kind!r}")
    known = _FORMATS.get(kind.name, kind)
    same = (known.__module__, known.__qualname__) == (kind.__module__, kind.__qualname__)
    if not same or not kind.name.isidentifier():
        raise ValueError(f"a format's name must be an unused identifier, not {kind.name!r}")
    _FORMATS[kind.name] = kind
    return kind


def formats() -> dict[str, type[WeightFormat]]:
    """Return all formats by name: first those of this package, then those that were added.

    >>> list(formats())[:4]
    ['float', 'int8', 'swis', 'swis_c']
    """
    _load()
    return dict(_FORMATS)


def method_names() -> list[str]:
    """Return the names of the formats with a number of shifts: the methods that a run can compare.

    >>> method_names()[:5]
    ['swis', 'swis_c', 'truncate', 'round', 'uniform']
    """
    return [name for name, kind in formats().items() if kind.has_shifts]


def weight_format(name: str, *settings: Any, **named: Any) -> WeightFormat:
    """Return a format by its name or its older name.

    Raises ``InputError`` for an unknown name and for settings out of range.

    >>> weight_format("swis", shifts=3, group_size=8).weights_per_group
    8
    """
    known = formats()
    name = next((kind.name for kind in known.values() if name and name == kind.formerly), name)
    require_known("method", name, known)
    return known[name](*settings, **named)


def from_settings(settings: dict[str, Any]) -> WeightFormat:
    """Return the format that ``WeightFormat.settings`` describes; the inverse of that method.

    Raises ``InputError`` as ``weight_format`` does.

    >>> from_settings(Swis(shifts=3).settings()) == Swis(shifts=3)
    True
    """
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    return weight_format(given.pop("method"), **given)


def int8_of(fmt: WeightFormat) -> WeightFormat:
    """Return the 8-bit format with the settings of ``fmt`` that all formats share.

    >>> int8_of(Uniform(shifts=3)).code_bits
    7
    """
    return Int8(**{each.name: getattr(fmt, each.name) for each in fields(WeightFormat)})


@cache
def _load() -> None:
    for module in iter_modules(swis.formats.__path__, f"{swis.formats.__name__}."):
        import_module(module.name)
    for entry in metadata.entry_points(group=swis.formats.__name__):
        try:
            register(entry.load())
        except (ImportError, AttributeError, ValueError) as error:
            raise InputError(f"the installed format {entry.name} ({entry.value}): {error}") from error


for _kind in (Float, Int8, Swis, SwisC, Truncate, Round, Uniform):
    register(_kind)

# The methods that a run compares by default.
METHODS = [name for name, kind in _FORMATS.items() if kind.has_shifts]
