"""Wrong values and names of options, made from the types of the configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from random import Random
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin

from swis.experiments.config import Config
from swis.experiments.known_options import hints as types_of

# Numbers that may be negative.
_SIGNED = ("model.mean", "recipe.mean")
# Mappings that accept any name; timm and the sweeper check the names.
_FREE = ("model.kwargs", "sweep")
# Elements of lists and mappings in conf/ whose options are tried as well.
_ELEMENTS = {"recipe.stages": "0", "energy.banks": "0", "energy.units": "swis_ss", "energy.nodes": "nm45"}

_NO_NUMBER = ("many", "1e", "12px", "[]", "[1]", "{a: 1}", "true", "")
_TOO_LARGE = "99999999999999999999"
SLIP, NAME, TYPE, RANGE = "a typing mistake", "a misspelt name", "a wrong type", "out of range"


class Mistake(NamedTuple):
    """A wrong NAME=VALUE, the option that was meant, and the kind of mistake."""

    kind: str
    option: str
    text: str


def mistakes(random: Random) -> Iterator[Mistake]:
    """Yield every kind of mistake in every option; typing mistakes are random at each call."""
    every = dict(options())
    for name, kind in every.items():
        slip = misspelt(name, every, random)
        yield Mistake(SLIP, name, f"{random.choice(['', '+', '++', '--'])}{slip}=2")
        for wrong in wrong_names(name, kind):
            yield Mistake(NAME, name, f"{wrong}=3")
        for value in of_wrong_type(kind):
            yield Mistake(TYPE, name, f"{name}={value}")
        for value in out_of_range(name, kind):
            yield Mistake(RANGE, name, f"{name}={value}")


def options(settings: type = Config, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (name, type) of every option; groups, lists and mappings come before their elements.

    >>> [name for name, _ in options() if name.startswith("activation.")]
    ['activation.range', 'activation.percentile']
    """
    hints = types_of(settings)
    for each in fields(settings):
        name, kind = f"{before}{each.name}", hints[each.name]
        yield name, kind
        if is_dataclass(kind):
            yield from options(kind, f"{name}.")
        if name in _ELEMENTS:
            yield from options(get_args(kind)[-1], f"{name}.{_ELEMENTS[name]}.")


def wrong_names(name: str, kind: Any) -> list[str]:
    """Return names that are similar to an option's name, but no options."""
    inside = [] if name in _FREE else [f"{name}.x"]
    elements = [f"{name}.99", f"{name}[99]"] if get_origin(_kinds(kind)[0]) is list else []
    return [f"{name}_", f"+{name}_", f"++{name}_", *inside, *elements]


def misspelt(name: str, known: Collection[str], random: Random) -> str:
    """Return a name with a typing mistake in its last part that is not a known name."""
    head, dot, last = name.rpartition(".")
    while True:
        place = random.randrange(len(last))
        slips = [
            last[:place] + last[place + 1 :],
            last[:place] + last[place] + last[place:],
            last[:place] + random.choice("abcdefghijklmnopqrstuvwxyz") + last[place + 1 :],
            last[:place] + last[place : place + 2][::-1] + last[place + 2 :],
        ]
        slip = f"{head}{dot}{random.choice(slips)}"
        if slip not in known and not slip.endswith(".") and slip:
            return slip


def of_wrong_type(kind: Any) -> list[str]:
    """Return values that do not have an option's type, as texts of the command line.

    >>> of_wrong_type(str)
    ['null', '[1]', '{a: 1}']
    """
    kinds = _kinds(kind)
    wrong = ["null"] if kinds == [kind] or NoneType not in get_args(kind) else []
    if len(kinds) > 1:  # such as retrain.set_update_interval
        return [*wrong, "[1]", "1.5", "nan", "nonsense"]
    (only,) = kinds
    inside = get_args(only)
    if is_dataclass(only):
        return [*wrong, "3", "[3]", "{nothing: 3}"]
    if get_origin(only) is list:
        return [*wrong, "3", "", "{a: 1}", *(f"[{value}]" for value in of_wrong_type(inside[0]) if value)]
    if get_origin(only) is dict:
        return [*wrong, "3", "[1]", "text", *(["{nothing: 3}"] if is_dataclass(inside[-1]) else [])]
    if issubclass(only, Enum):
        choice = next(iter(only.__members__))
        return [*wrong, f"{choice}_", choice[:-1], "nothing_such", "3", "3.5", "[1]", "{a: 1}", "nan", ""]
    if only is bool:
        return [*wrong, "2", "perhaps", "yess", "nan", "-1", "[true]", "{a: 1}", ""]
    if only is int:
        return [*wrong, *_NO_NUMBER, "2.5", "nan", "inf"]
    return [*wrong, *_NO_NUMBER] if only is float else [*wrong, "[1]", "{a: 1}"]


def out_of_range(name: str, kind: Any) -> list[str]:
    """Return numbers of an option's type that are outside its range.

    >>> out_of_range("recipe.std", list[float])
    ['[nan]', '[inf]', '[-inf]', '[-1]', '[-0.5]']
    """
    kinds = _kinds(kind)
    if get_origin(kinds[0]) is list:
        return [f"[{value}]" for value in out_of_range(name, get_args(kinds[0])[0])]
    if int in kinds:
        return ["-1", "-7", "-1000000", _TOO_LARGE]
    if float not in kinds:
        return []
    return ["nan", "inf", "-inf", *([] if name in _SIGNED else ["-1", "-0.5"])]


def _kinds(kind: Any) -> list[Any]:
    """Return the types of a union without the type of None."""
    parts = (kind,) if get_origin(kind) in (list, dict) else get_args(kind) or (kind,)
    return [each for each in parts if each is not NoneType]
