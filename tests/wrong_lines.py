"""Command lines that are wrong, made from the schema: a misspelt name, a wrong type, a value out of range."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from swis.config import Config

# Numbers of which less than zero is right.
_SIGNED = {"model.mean", "recipe.mean"}
# What is in them is free: timm and the names of swept options judge it.
_FREE = {"model.kwargs", "sweep"}
# Elements that conf/ has in lists and mappings, whose own options are tried as well.
_ELEMENTS = {"recipe.stages": "0", "energy.banks": "0", "energy.units": "swis_ss", "energy.nodes": "nm45"}


def wrong_lines() -> Iterator[tuple[str, str]]:
    """Yield (option, NAME=VALUE) for every option, with each kind of mistake that it can have."""
    for name, kind in options(Config):
        for misspelt in (f"{name}_", f"+{name}_", f"++{name}_", f"{name}.x"):
            if name not in _FREE:
                yield name, f"{misspelt}=3"
        for value in wrong_values(name, kind):
            yield name, f"{name}={value}"


def options(settings: type, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, type) of every option, those of groups, lists and mappings in their place."""
    hints = get_type_hints(settings)
    for each in fields(settings):
        name, kind = f"{before}{each.name}", hints[each.name]
        if is_dataclass(kind):
            yield from options(kind, f"{name}.")
            continue
        yield name, kind
        if name in _ELEMENTS:
            yield from options(get_args(kind)[-1], f"{name}.{_ELEMENTS[name]}.")


def wrong_values(name: str, kind: Any) -> Iterator[str]:
    """Yield values, as a command line has them, that an option of this type must refuse."""
    kinds = [each for each in get_args(kind) or (kind,) if each is not NoneType]
    if get_origin(kind) in (list, dict):
        kinds = [kind]
    if NoneType not in get_args(kind):
        yield "null"
    if len(kinds) > 1:  # of several types, such as retrain.refresh
        yield from ("[1]", "-1", "1.5", "nan", "nonsense")
        return
    (only,) = kinds
    if get_origin(only) is list:
        yield from ("3", "{a: 1}")
        element = get_args(only)[0]
        yield from (f"[{value}]" for value in wrong_values(name, element) if not is_dataclass(element))
    elif get_origin(only) is dict:
        yield from ("3", "[1]", "text")
    elif issubclass(only, Enum):
        choice = next(iter(only.__members__))
        yield from (f"{choice}_", f"{choice[:-1]}", "3", "[1]", "nan")
    elif only is bool:
        yield from ("2", "perhaps", "nan", "-1", "[true]")
    elif only is int:
        yield from ("many", "1.5", "nan", "inf", "-1", "[1]", "true")
    elif only is float:
        yield from ("many", "nan", "inf", "-inf", "[1]", "true")
        yield from () if name in _SIGNED else ("-1",)
    elif only is str:
        yield from ("[1]", "{a: 1}")
