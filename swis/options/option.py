"""An option: a field of a settings dataclass, with facts about it beyond its type and its default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, field, fields, is_dataclass
from enum import StrEnum
from typing import Any


class Part(StrEnum):
    """What an option of a run affects."""

    everything = "everything"
    run = "run"  # how and where a run computes; no result depends on it
    table = "table"  # which rows a table holds
    hardware = "hardware"  # the simulation of a row
    file = "file"  # how a packed file is written
    weights = "weights"  # rows with quantized weights
    shifts = "shifts"  # rows with a number of shifts
    groups = "groups"  # rows with groups of weights


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

    ``formerly``: an older name. Commands and tables may still use it, and the keys of rows always do.
    ``younger``: the option was added after rows existed, so it is part of a key only if it differs from its
    default; the keys of older rows stay valid. ``counts``: whether results depend on the option; a bool, or a
    function of the option's group. ``names``: a function that returns the allowed values, for a choice that
    packages can extend.

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
    """Return the options of a group that results depend on, under the names in row keys.

    Every field counts unless ``option`` says otherwise, so that a new option is part of the key by itself.
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
    """Return the options that older rows lack, with the values that those rows were computed with."""
    return {each.name: default_of(each) for each in fields(settings) if each.metadata.get("younger")}


def of_part(settings: Any, *parts: Part) -> set[str]:
    """Return the names of the options that affect any of these parts."""
    return {each.name for each in fields(settings) if each.metadata.get("part", Part.everything) in parts}


def default_of(known: Field[Any]) -> Any:
    """Return the default value of a field."""
    return known.default if known.default_factory is MISSING else known.default_factory()


def former_names(settings: Any) -> dict[str, str]:
    """Return a mapping from the older names of a group's options to their present names."""
    about = ((each.metadata.get("formerly"), each.name) for each in fields(settings))
    return {old: new for old, new in about if old is not None}


def renamed(written: dict[str, Any], settings: Any) -> dict[str, Any]:
    """Return settings that use older names under the present names of their options.

    ``settings`` is the dataclass of these options, or a value of it; nested groups are renamed too.
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
