"""The options of a run by name: their types, checks of values, and suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum, StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from omegaconf import BooleanNode, EnumNode, FloatNode, IntegerNode, StringNode
from omegaconf.errors import ValidationError

from swis.errors import InputError
from swis.options.conf_files import CONF
from swis.options.names import did_you_mean, nearest
from swis.options.option import former_names

_NODES = {float: FloatNode, int: IntegerNode, bool: BooleanNode, str: StringNode}
_WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "text", NoneType: "null"}
# Number of options that a suggestion names, at most.
_NAMED = 4


def hints(settings: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields by name.

    The type of an option that names a registered object is a choice among the names registered now.
    """
    found = dict(_written_types(settings))
    for each in fields(settings):
        if "names" in each.metadata:
            choice = _choice_of(each.name, tuple(each.metadata["names"]()))
            found[each.name] = list[choice] if get_origin(found[each.name]) is list else choice
    return found


@cache
def _written_types(settings: type) -> dict[str, Any]:
    return get_type_hints(settings)  # cached here, because Python evaluates them at every call


@cache
def _choice_of(option: str, names: tuple[str, ...]) -> type[StrEnum]:
    return StrEnum(option, {name: name for name in names})


@cache
def groups() -> set[str]:
    """Return the options that choose a file of conf/, such as model or data."""
    return {path.parent.name for path in CONF.glob("*/*.yaml")}


def option_names(settings: type, before: str = "") -> Iterator[str]:
    """Yield the dotted name of every option in a dataclass of settings; a list or mapping is one option."""
    for name, kind in hints(settings).items():
        inner = option_names(kind, f"{before}{name}.") if is_dataclass(kind) else [f"{before}{name}"]
        yield from inner


def with_present_names(texts: Sequence[str], settings: type) -> list[str]:
    """Return NAME=VALUE texts with the present names of options in place of older ones.

    >>> from swis.experiments.config import Config
    >>> with_present_names(["++retrain.mirror=false", "recipe.stages.0.erase=0.5", "bits=2"], Config)
    ['++retrain.hflip=false', 'recipe.stages.0.random_erasing=0.5', 'bits=2']
    """

    def present(text: str) -> str:
        name, equals, value = text.partition("=")
        added = "+" * (len(name) - len(name.lstrip("+")))
        parts, kind = name.lstrip("+").split("."), settings
        for place, part in enumerate(parts):
            if is_dataclass(kind) and not part.isdecimal():  # a decimal is the number of a list element
                parts[place] = part = former_names(kind).get(part, part)
                kind = hints(kind).get(part, Any)
            kind = next((inner for inner in get_args(kind) if is_dataclass(inner)), kind)
        return added + ".".join(parts) + equals + value

    return [present(text) for text in texts]


def option_type(name: str, settings: type, value: str = "VALUE") -> tuple[Any, bool]:
    """Return the type of an option by its dotted name, and whether it is in a mapping that takes any name.

    Raises ``InputError`` if there is no such option; the message suggests how to give its ``value``.

    >>> from swis.experiments.config import Config
    >>> option_type("retrain.epochs", Config)
    (<class 'int'>, False)
    """
    kind, free, parts = settings, False, name.split(".")
    for index, part in enumerate(parts):
        before, rest = ".".join(parts[:index]), ".".join(parts[index:])
        inner, is_null = _kinds(kind)[0], NoneType in _kinds(kind, null=True)
        if is_dataclass(inner):
            known = hints(inner)
            if part not in known:
                _refuse_name(name, index, known, settings)
            kind = known[part]
        elif get_origin(inner) is list and not part.isdecimal():
            _refuse_inside(before, rest, get_args(inner)[0], value)
        elif get_origin(inner) is list and is_null:  # it has no element that could be replaced
            raise InputError(f"{before} can only be set as a whole; write {before}=[...]")
        elif get_origin(inner) in (list, dict):
            kind, free = get_args(inner)[-1], free or get_origin(inner) is dict
        elif inner is Any:
            return Any, True
        else:
            raise InputError(f"{before} is a single value; it has no {rest}")
    return kind, free


def check_value(name: str, kind: Any, value: Any) -> None:
    """Raise ``InputError`` if a value does not have its option's type; ``Config`` checks the ranges.

    >>> check_value("bits", float, 2.5)
    """
    if _is_unknown(value):
        return
    kinds = _kinds(kind, null=True)
    several = len(_kinds(kind)) > 1  # a union with text would otherwise accept any value
    if not (type(value) in kinds if several else any(_fits(name, each, value) for each in kinds)):
        refuse_value(name, kind, value)


def check_values(name: str, kind: Any, values: Sequence[Any]) -> None:
    """Check each value of a sweep like ``check_value``; several values for a list may be its elements.

    >>> check_values("bits", float, [2, 2.5])
    """
    inner = _kinds(kind)[0]
    single = not any(isinstance(value, list | dict | None) or _is_unknown(value) for value in values)
    if len(values) > 1 and get_origin(inner) is list and single:
        refuse_value(name, kind, *values)
    for value in values:
        check_value(name, kind, value)


def refuse_value(name: str, kind: Any, *values: Any) -> NoReturn:
    """Raise ``InputError`` for a value, or several with commas, that does not have its option's type."""
    inner = _kinds(kind)[0]
    given = ",".join("null" if value is None else str(value) for value in values) or "empty"
    element = get_args(inner)[0] if get_origin(inner) is list else None
    if element is not None and "" not in values and all(_is_plain(element, value) for value in values):
        raise InputError(f"{name} must be {wanted(kind)}; write {name}=[{given}]")
    question = did_you_mean(given, inner.__members__) if _is_enum(inner) else ""
    raise InputError(f"{name} must be {wanted(kind)}, not {given}{question}")


def _is_unknown(value: Any) -> bool:
    """Return whether a value refers to another option, or is missing, so that it is not known yet."""
    return isinstance(value, str) and ("${" in value or value == "???")


def _is_plain(kind: Any, value: Any) -> bool:
    """Return whether a value has a type and is neither a list nor a mapping."""
    return isinstance(value, str | int | float) and not is_dataclass(kind) and _fits("", kind, value)


def wanted(kind: Any) -> str:
    """Return the allowed values of a type in words.

    >>> wanted(float), wanted(int | None), wanted(list[float]), wanted(list[str])
    ('a number', 'a whole number or null', 'a list of numbers', 'a list of names')
    """
    return " or ".join(map(_words, _kinds(kind, null=True)))


def _words(kind: Any) -> str:
    if kind in _WORDS:
        return _WORDS[kind]
    if get_origin(kind) is list:
        element = "a name" if get_args(kind)[0] is str else _words(get_args(kind)[0])
        return f"a list of {element[2:]}s" if element.startswith("a ") else f"a list, each {element}"
    if _is_enum(kind):
        return f"one of {', '.join(kind.__members__)}"
    return f"{{{', '.join(hints(kind)) if is_dataclass(kind) else 'NAME: VALUE'}}}"


def _kinds(kind: Any, null: bool = False) -> list[Any]:
    """Return the types of a union; with ``null`` the type of None is included, as the last one."""
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    some = [each for each in parts if each is not NoneType]
    return [*some, NoneType] if null and len(some) < len(parts) else some


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


def _fits(name: str, kind: Any, value: Any) -> bool:
    if kind is Any or kind is NoneType:
        return kind is Any or value is None
    if get_origin(kind) is list:
        if not isinstance(value, list):
            return False
        for index, element in enumerate(value):
            check_value(f"{name}.{index}", get_args(kind)[0], element)
        return True
    if get_origin(kind) is dict or is_dataclass(kind):
        if not isinstance(value, dict):
            return False
        for key, element in value.items():
            inner = get_args(kind)[-1] if get_origin(kind) is dict else hints(kind).get(key)
            if inner is None:
                now = former_names(kind).get(key)
                question = f"; its new name is {now}" if now else did_you_mean(str(key), hints(kind))
                raise InputError(f"there is no option {name}.{key}{question}")
            check_value(f"{name}.{key}", inner, element)
        return True
    if value is None or isinstance(value, list | dict):
        return False
    if kind is bool and type(value) in (int, float):
        return value in (0, 1)
    try:
        EnumNode(kind, value) if _is_enum(kind) else _NODES[kind](value)
    except ValidationError:
        return False
    return True


def _refuse_inside(name: str, rest: str, element: Any, value: str) -> NoReturn:
    """Raise ``InputError`` for a name within a list, whose elements have numbers instead of names."""
    if is_dataclass(element):
        first, dot, others = rest.partition(".")
        near = nearest(first, hints(element))
        if near and near != first:
            raise InputError(f"there is no option {name}.{rest}; did you mean {name}.0.{near}{dot}{others}?")
        spelling = f"{name}.0.{rest}={value}" if near else f"{name}.0.NAME=VALUE"
    else:
        fitting = [each for each in (rest, value) if _fits("", element, each)]
        spelling = f"{name}=[{fitting[0] if fitting else '...'}]"
    raise InputError(f"{name} is a list; write {spelling}")


def _refuse_name(name: str, index: int, known: Iterable[str], settings: type) -> NoReturn:
    """Raise ``InputError`` for an unknown part of a dotted name, with a suggestion."""
    parts = name.split(".")
    near = nearest(parts[index], [*known, *(groups() if index == 0 else ())])
    meant = [".".join([*parts[:index], near, *parts[index + 1 :]])] if near else []
    if not meant:  # the name may exist in another group
        meant = [each for each in option_names(settings) if each.split(".")[-1] == parts[-1].lower()]
    question = f"; did you mean {' or '.join(meant)}?" if 0 < len(meant) <= _NAMED else ""
    raise InputError(f"there is no option {name}{question}")
