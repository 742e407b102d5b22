"""A command line: form and options, checked before Hydra sees them, and Hydra's errors in plain words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, NoReturn, get_args

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Sweep
from hydra.errors import HydraException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from swis.errors import InputError
from swis.names import did_you_mean
from swis.options import check_value, choices, groups, hints, option_names, option_type, refuse_value

# Groups of which a run takes several choices, or none.
_SEVERAL = ("experiment",)
_OR_NONE = ("experiment", "recipe")

_OVERRIDE = re.compile(r"(\+\+|\+)?[^=\s]+=|~")
# What Hydra adds to its messages, and what is not for its users.
_NOISE = ("full_key:", "object_type=", "reference_type=", "See https:", "To append to your")


def command_line(arguments: Sequence[str], settings: type) -> list[str]:
    """Return the arguments of a command line, flags first; raise ``InputError`` if one is wrong.

    Hydra's parser takes NAME=VALUE on one side of a flag alone. ``settings`` is the dataclass of all options.

    >>> from swis.config import Config
    >>> command_line(["bits=3", "--multirun", "seed=0,1"], Config)
    ['--multirun', 'bits=3', 'seed=0,1']
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')}; see python run.py --help")

    parser.error = refuse
    known, others = parser.parse_known_args([*arguments])
    for text in others:
        if text.startswith("-"):
            _refuse_flag(text, arguments, [*parser._option_string_actions], settings)
    texts = [*known.overrides, *others]
    if not (known.help or known.hydra_help or known.shell_completion):
        check_options(texts, settings)
    left, flags = [*texts], []
    for argument in arguments:
        if argument in left:
            left.remove(argument)
        else:
            flags.append(argument)
    return [*flags, *texts]


def check_options(texts: Sequence[str], settings: type) -> None:
    """Raise ``InputError`` if a NAME=VALUE cannot be read, names no option, or has a value of another type.

    >>> from swis.config import Config
    >>> check_options(["bit=3"], Config)
    Traceback (most recent call last):
    swis.errors.InputError: there is no option bit; did you mean bits?
    """
    for index, text in enumerate(texts):
        override = _parsed(text)
        after = texts[index + 1 : index + 2]
        if override is None or (text.endswith("=") and after and "=" not in after[0]):
            _refuse_form(texts[index:], settings)
        name = override.key_or_group
        if name.partition(".")[0].partition("/")[0] == "hydra":
            continue
        if override.package is not None:
            raise InputError(f"{text}: an option is written NAME=VALUE, without @")
        values = _values(override)
        if name in groups():
            kind, free = Any, False
            _check_choice(name, values)
        else:
            kind, free = option_type(name, settings)
            if override.is_delete():
                raise InputError(f"{text}: an option cannot be taken away; without it, it has its default")
        if override.is_add() and not override.is_force_add() and not free:
            raise InputError(f"{name} is there already; write {text.removeprefix('+')}")
        for value in values:
            check_value(name, kind, value)


def explain(error: Exception) -> str:
    """Say in one line what an exception of Hydra or OmegaConf means for whoever wrote the option."""
    if (file := getattr(error, "missing_cfg_file", None)) is not None:
        group, _, name = str(file).rpartition("/")
        known = getattr(error, "options", None) or choices(group)
        question = did_you_mean(name, known) or ";"
        return f"there is no {group}{group and '='}{name}{question} there are {', '.join(known)}"
    if match := re.match(r"Ambiguous value for argument '(([^=]+)=(.*))'", str(error)):
        text, name, value = match.groups()
        return f"{text} are several values: --multirun tries each; a list is written {name}=[{value}]"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    name = getattr(cause, "full_key", None)
    if isinstance(cause, InterpolationToMissingValueError | MissingMandatoryValue):
        missing = name if isinstance(cause, MissingMandatoryValue) else None
        missing = missing or str(cause).splitlines()[0].rpartition(" ")[2]
        return f"{missing} has no value; write {missing}=VALUE"
    if not name:
        return _one_line(error)
    if isinstance(cause, InterpolationResolutionError):
        return f"{name}: {str(cause).splitlines()[0]}"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return f"there is no option {name}{did_you_mean(str(cause.key), _beside(cause))}"
    if isinstance(cause, ValidationError) and (kind := _type_of(cause)) is not Any:
        try:
            refuse_value(name, kind, cause.value)
        except InputError as refused:
            return str(refused)
    return _one_line(error)


def _one_line(error: Exception) -> str:
    """Squeeze an exception of Hydra or OmegaConf, and what caused it, into one line."""
    text = f"{error}\n{error.__cause__ or ''}"
    lines = [line.strip() for line in text.splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith(_NOISE))


def _type_of(error: ValidationError) -> Any:
    """Return the type of the option that a value does not fit, as far as OmegaConf says."""
    if is_dataclass(error.object_type):
        return hints(error.object_type).get(error.key, Any)
    inner = [each for each in (error.ref_type, *get_args(error.ref_type)) if get_args(each)]
    return get_args(inner[-1])[-1] if inner else Any


def _beside(error: OmegaConfBaseException) -> list[str]:
    """Return the names that are known where one is not."""
    if is_dataclass(error.object_type):
        return [*hints(error.object_type)]
    return [str(key) for key in error.parent_node or ()]


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _parsed(text: str) -> Override | None:
    try:
        return _parser().parse_overrides([text])[0] if _OVERRIDE.match(text) else None
    except HydraException:
        return None


def _values(override: Override) -> list[Any]:
    """Return the values of an override, all of a sweep's that are written out."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return [Override._convert_value(each) for each in value.list]
    return [] if isinstance(value, Sweep) or override.is_sweep_override() else [value]


def _check_choice(group: str, values: Sequence[Any]) -> None:
    for value in values:
        if value in (None, "") and group not in _OR_NONE:
            raise InputError(f"{group} must be one of {', '.join(choices(group))}")
        if isinstance(value, list) and group not in _SEVERAL:
            raise InputError(f"{group} is one choice, not a list; a sweep: --multirun {group}=A,B")
        for name in value if isinstance(value, list) else [value]:
            if not isinstance(name, str | None):
                raise InputError(f"{group} must be one of {', '.join(choices(group))}, not {name}")


def _refuse_flag(text: str, arguments: Sequence[str], flags: Sequence[str], settings: type) -> NoReturn:
    """Raise ``InputError`` for a flag that is none, such as an option with dashes."""
    name, equals, value = text.lstrip("-").partition("=")
    after = arguments[arguments.index(text) + 1 :][:1]
    if not equals and after and not after[0].startswith("-") and "=" not in after[0]:
        value = after[0]
    name, names = name.replace("-", "_"), [*option_names(settings), *groups()]
    if name in names:
        raise InputError(f"{text}: options have no dashes; write {name}={value or 'VALUE'}")
    question = did_you_mean(f"--{name}", flags) or did_you_mean(name, names)
    raise InputError(f"there is no flag {text}{question}")


def _refuse_form(texts: Sequence[str], settings: type) -> NoReturn:
    """Raise ``InputError`` for words that are no NAME=VALUE, with how they are written if that shows."""
    words = [texts[0]]
    for text in texts[1:]:
        if _OVERRIDE.match(text) and words[-1][-1:] not in ("=", ","):
            break
        words.append(text)
    said = " ".join(words)
    chosen = [f"{group}={said}" for group in sorted(groups()) if said in choices(group)]
    for form in (*chosen, _apart(said), _squeezed(said), _quoted(said)):
        if form and all(_is_right(text, settings) for text in shlex.split(form)):
            raise InputError(f"{said!r} is not NAME=VALUE; write {form}")
    raise InputError(f"{said!r} is not NAME=VALUE")


def _apart(said: str) -> str:
    """Return several NAME=VALUE that came as one word, or with commas; nothing if it is something else."""
    words = [word.rstrip(",") for word in said.split()]
    return " ".join(words) if all(map(_OVERRIDE.match, words)) else ""


def _squeezed(said: str) -> str:
    """Put words together as one NAME=VALUE.

    >>> _squeezed("methods = [swis, truncate]"), _squeezed("bits 3")
    ('methods=[swis,truncate]', 'bits=3')
    """
    text = re.sub(r"\s*[=:]+\s*", "=", said, count=1)
    text = text if "=" in text else re.sub(r"\s+", "=", text, count=1)
    text = re.sub(r"\s*([\[\],])\s*", r"\1", text)
    return re.sub(r"[,\s]+", ",", text) if "[" in text else text


def _quoted(said: str) -> str:
    """Put quotes around a value that Hydra's grammar cannot take without, and around all for the shell."""
    name, equals, value = said.partition("=")
    return f"'{name}=\"{value}\"'" if equals and not set(value) & set("\"'$\\") else ""


def _is_right(text: str, settings: type) -> bool:
    try:
        return _parsed(text) is not None and check_options([text], settings) is None
    except InputError:
        return False
