"""The weight formats by their names on the command line.

Every module of ``swis.formats`` is one or helps them. An installed package adds its own by entry points of
the group ``swis.formats``, a notebook by ``register``.
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
    """Add a format under its ``name``: a decorator. Raises ``ValueError`` for a name that is taken.

    A class that is defined again, as in a notebook's cell, takes the place of itself.

    >>> register(Swis) is Swis
    True
    """
    known = _FORMATS.get(kind.name, kind)
    same = (known.__module__, known.__qualname__) == (kind.__module__, kind.__qualname__)
    if not same or not kind.name.isidentifier():
        raise ValueError(f"a format's name is a word that no other format has, not {kind.name!r}")
    _FORMATS[kind.name] = kind
    return kind


def formats() -> dict[str, type[WeightFormat]]:
    """Return all formats by name: those of this package in their order, then those that were added.

    >>> list(formats())[:4]
    ['float', 'int8', 'swis', 'swis_c']
    """
    _load()
    return dict(_FORMATS)


def method_names() -> list[str]:
    """Return the names of the formats that have a number of shifts, which a run compares.

    >>> method_names()[:5]
    ['swis', 'swis_c', 'truncate', 'round', 'uniform']
    """
    return [name for name, kind in formats().items() if kind.has_shifts]


def weight_format(name: str, *settings: Any, **named: Any) -> WeightFormat:
    """Return a format by its name, or its older one.

    Raises ``InputError`` for an unknown name or settings out of range.

    >>> weight_format("swis", shifts=3, group_size=8).weights_per_group
    8
    """
    known = formats()
    name = next((kind.name for kind in known.values() if name and name == kind.formerly), name)
    require_known("method", name, known)
    return known[name](*settings, **named)


def from_settings(settings: dict[str, Any]) -> WeightFormat:
    """Return the format that ``WeightFormat.settings`` describes; raises as ``weight_format``."""
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    return weight_format(given.pop("method"), **given)


def int8_of(fmt: WeightFormat) -> WeightFormat:
    """Return the 8-bit format with the settings that all formats have.

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

# What a run compares unless it says otherwise.
METHODS = [name for name, kind in _FORMATS.items() if kind.has_shifts]
