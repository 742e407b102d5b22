"""An option: a field of a settings dataclass, and what is known of it beside its type and its default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields, is_dataclass
from enum import StrEnum
from typing import Any


class Part(StrEnum):
    """What an option of a run has a part in."""

    everything = "everything"
    run = "run"  # how and where things are computed; no number depends on it
    table = "table"  # which rows a run has, and what a table holds
    hardware = "hardware"  # what is simulated for a row
    file = "file"  # how a packed file is written
    weights = "weights"  # rows of quantized weights
    shifts = "shifts"  # rows of a number of shifts
    groups = "groups"  # rows of groups of weights


def option(
    default: Any = MISSING,
    *,
    factory: Any = MISSING,
    part: Part = Part.everything,
    formerly: str | None = None,
    younger: bool = False,
    counts: bool | Callable[[Any], bool] = True,
    names: Callable[[], list[str]] | None = None,
) -> Any:
    """Return a dataclass field for an option.

    ``formerly`` is an older name: commands and tables may still have it, and keys of rows have it for ever.
    A ``younger`` option than its group is part of a key only where it differs from its default, so that older
    rows are found. ``counts`` says whether numbers depend on it, for a group of options with such settings.
    ``names`` returns the values of a choice that is open to additions.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Training:
    ...     hflip: bool = option(True, formerly="mirror")
    >>> identity(Training(hflip=False)), renamed({"mirror": False}, Training)
    ({'mirror': False}, {'hflip': False})
    """
    about: dict[str, Any] = {"part": part, "formerly": formerly, "younger": younger, "counts": counts}
    if names is not None:
        about["names"] = names
    given = {"default": default} if factory is MISSING else {"default_factory": factory}
    return field(**given, metadata=about)


def identity(settings: Any) -> dict[str, Any]:
    """Return those options of a group that numbers depend on, by the names that keys have.

    All fields count unless ``option`` says otherwise: a new option is in the key without being named here.
    """
    found = {}
    for each in fields(settings):
        value, counts = getattr(settings, each.name), each.metadata.get("counts", True)
        if not (counts(settings) if callable(counts) else counts):
            continue
        if each.metadata.get("younger") and value == default_of(each):
            continue
        found[each.metadata.get("formerly") or each.name] = value
    return found


def younger(settings: Any) -> dict[str, Any]:
    """Return the options of a group that older rows do not say, as they were for these: by default."""
    return {each.name: default_of(each) for each in fields(settings) if each.metadata.get("younger")}


def of_part(settings: Any, *parts: Part) -> set[str]:
    """Return the names of the options that have a part in any of these."""
    return {each.name for each in fields(settings) if each.metadata.get("part", Part.everything) in parts}


def default_of(known: Field[Any]) -> Any:
    """Return the value of a field that is not given."""
    return known.default if known.default_factory is MISSING else known.default_factory()


def former_names(settings: Any) -> dict[str, str]:
    """Return the present names of a group's options by their older ones."""
    about = ((each.metadata.get("formerly"), each.name) for each in fields(settings))
    return {old: new for old, new in about if old is not None}


def renamed(written: dict[str, Any], settings: Any) -> dict[str, Any]:
    """Return settings as they were once written, by the names that options have now.

    ``settings`` is the dataclass, or the values, that they are for; groups inside are renamed alike.
    """
    names, inner = former_names(settings), {}
    for each in fields(settings):
        inner[each.name] = default_of(each) if isinstance(settings, type) else getattr(settings, each.name)
    now = {names.get(name, name): value for name, value in written.items()}
    return {name: _renamed_inside(value, inner.get(name)) for name, value in now.items()}


def _renamed_inside(written: Any, settings: Any) -> Any:
    if is_dataclass(settings) and isinstance(written, dict):
        return renamed(written, settings)
    if isinstance(settings, list) and settings and isinstance(written, list):
        return [_renamed_inside(each, settings[0]) for each in written]
    return written
