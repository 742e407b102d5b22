"""The command line: its options are checked before Hydra reads them, and Hydra's errors are explained."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from signal import SIGPIPE
from traceback import walk_tb
from typing import Any, NoReturn, get_args

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Sweep
from hydra.errors import HydraException
from omegaconf import ListConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from swis.errors import CannotWrite, InputError
from swis.experiments import spellings
from swis.experiments.known_options import (
    check_values,
    groups,
    hints,
    option_names,
    option_type,
    refuse_value,
    with_present_names,
)
from swis.options.conf_files import CONF, choices
from swis.options.names import did_you_mean

# Groups of which a run may take several choices, and groups of which it may take none.
_SEVERAL = ("experiment",)
_OR_NONE = ("experiment", "recipe")

# Functions of Hydra that print the output of a flag.
_PRINTERS = {"app_help", "hydra_help", "show_cfg", "show_info"}
# Starts of lines in Hydra's messages that do not help users.
_NOISE = ("full_key:", "object_type=", "reference_type=", "See https:", "To append to your")


def command_line(arguments: Sequence[str], settings: type, program: str = "python run.py") -> list[str]:
    """Return the arguments of a command line with the flags first; raise ``InputError`` if one is wrong.

    The flags go first because Hydra's parser takes NAME=VALUE only on one side of a flag. ``settings`` is the
    dataclass of all options, ``program`` the command that users type.

    >>> from swis.experiments.config import Config
    >>> command_line(["bits=3", "--multirun", "seed=0,1"], Config)
    ['--multirun', 'bits=3', 'seed=0,1']
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')}; see {program} --help")

    parser.error = refuse
    known, others = parser.parse_known_args([*arguments])
    for text in others:
        if text.startswith("-"):
            _refuse_flag(text, arguments, [*parser._option_string_actions], settings)
    texts = with_present_names([*known.overrides, *others], settings)
    if not (known.help or known.hydra_help or known.shell_completion):
        check_options(texts, settings)
    left, flags = [*known.overrides, *others], []
    for argument in arguments:
        if argument in left:
            left.remove(argument)
        else:
            flags.append(argument)
    if known.config_dir:
        _check_config_dir(Path(known.config_dir))
    if known.config_path and not known.config_path.startswith("pkg://"):  # relative to run.py's folder
        flags += ["--config-path", os.path.normpath(CONF.parent / known.config_path)]
    return [*flags, *texts]


def check_options(texts: Sequence[str], settings: type) -> None:
    """Raise ``InputError`` if a NAME=VALUE cannot be read, names no option, or has a value of a wrong type.

    >>> from swis.experiments.config import Config
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
        if name == "hydra":
            raise InputError(f"{text}: an option of Hydra is written hydra.NAME=VALUE")
        if name.partition(".")[0].partition("/")[0] == "hydra":
            continue
        if override.package is not None:
            raise InputError(f"{text}: an option is written NAME=VALUE, without @")
        values = _values(override)
        if name in groups():
            kind, free = Any, False
            if override.is_delete():
                _check_without(name, text)
            else:
                _check_choice(name, values)
        else:
            kind, free = option_type(name, settings, text.partition("=")[2])
            if override.is_delete():
                raise InputError(f"{text}: an option cannot be removed; leave it out to use its default")
        added = override.is_add() or (override.is_force_add() and name in groups())
        if added and not free:
            raise InputError(f"{name} exists already; write {text.lstrip('+')}")
        check_values(name, kind, values)


def _check_config_dir(folder: Path) -> None:
    """Raise ``InputError`` for a file with the name of one in conf/, which Hydra would read instead."""
    for group in sorted(groups()):
        if twins := sorted({path.stem for path in (folder / group).glob("*.yaml")} & {*choices(group)}):
            raise InputError(
                f"{folder / group / twins[0]}.yaml would not be read, because conf/ has {group}={twins[0]}; "
                "give the file another name"
            )


def explain(error: Exception) -> str:
    """Return a message of one line that explains an exception of Hydra's composition to the user."""
    if (file := getattr(error, "missing_cfg_file", None)) is not None:
        group, _, name = str(file).rpartition("/")
        known = getattr(error, "options", None) or choices(group)
        if not group:
            return f"--config-name must be {' or '.join(known)}, not {name}"
        question = did_you_mean(name, known) or ";"
        return f"there is no {group}={name}{question} choose one of {', '.join(known)}"
    if match := re.match(r"(?:Ambiguous value for argument|Sweep parameters) '(.*)'", str(error)):
        return f"{match[1]} has several values; add --multirun to run each"
    if match := re.match(r"Could not append to config.*\n.*prefix: '(([^=]+)=.*)'\n", str(error)):
        return f"{match[2]} exists already; write {match[1]}"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    name = re.sub(r"\[(\d+)\]", r".\1", getattr(cause, "full_key", None) or "")
    if isinstance(cause, InterpolationToMissingValueError | MissingMandatoryValue):
        missing = name if isinstance(cause, MissingMandatoryValue) else None
        missing = missing or str(cause).splitlines()[0].rpartition(" ")[2]
        return f"{missing} has no value; write {missing}=VALUE"
    if not name:
        return _one_line(error)
    elements = cause.parent_node
    if isinstance(elements, ListConfig) and isinstance(cause.key, int) and cause.key >= len(elements):
        before = name.rpartition(".")[0]
        last = f"the last is {before}.{len(elements) - 1}" if elements else f"{before} is empty"
        return f"there is no {before}.{cause.key}; {last}"
    if isinstance(cause, InterpolationResolutionError):
        first = str(cause).splitlines()[0]
        if match := re.match(r"Interpolation key '(.*)' not found", first):
            return f"{name}: there is no option {match[1]}"
        return f"{name}: ${{...}} has no value: {first}"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        return f"there is no option {name}{did_you_mean(str(cause.key), _beside(cause))}"
    if isinstance(cause, ValidationError) and (kind := _type_of(cause)) is not Any:
        try:
            refuse_value(name, kind, cause.value)
        except InputError as refused:
            return str(refused)
    return _one_line(error)


def is_of_options(error: Exception) -> bool:
    """Return whether an exception was raised while Hydra composed the options."""
    return isinstance(error, HydraException | OmegaConfBaseException) or "compose_config" in _called(error)


def show(*texts: str) -> None:
    """Print texts and flush; end quietly if the reader closed the pipe, else raise ``CannotWrite``."""
    try:
        print(*texts, sep="\n", end="\n" if texts else "", flush=True)
    except OSError as error:
        _stop_printing(error)


@contextmanager
def hydra_prints() -> Iterator[None]:
    """Handle errors while Hydra prints, such as for --help, like ``show`` does."""
    try:
        yield
        show()
    except SystemExit:  # Hydra exits after --help
        show()
        raise
    except OSError as error:
        if _called(error) & _PRINTERS:
            _stop_printing(error)
        raise


def _stop_printing(error: OSError) -> NoReturn:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # Python flushes stdout at exit, which would fail again
    if isinstance(error, BrokenPipeError):
        sys.exit(128 + SIGPIPE)
    raise CannotWrite(f"the table cannot be printed: {error.strerror}; the rows are stored") from error


def _called(error: Exception) -> set[str]:
    """Return the names of the functions in an exception's traceback."""
    return {frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)}


def _one_line(error: Exception) -> str:
    """Return the messages of an exception and its cause in one line."""
    text = f"{error}\n{error.__cause__ or ''}"
    lines = [line.strip() for line in text.splitlines()]
    message = "; ".join(line for line in lines if line and not line.startswith(_NOISE))
    if isinstance(error, HydraException | OmegaConfBaseException):
        return message
    return f"the options cannot be read: {type(error).__name__}: {message}"


def _type_of(error: ValidationError) -> Any:
    """Return the type of the option that a value does not fit; ``Any`` if OmegaConf does not name it."""
    if is_dataclass(error.object_type):
        return hints(error.object_type).get(error.key, Any)
    inner = [each for each in (error.ref_type, *get_args(error.ref_type)) if get_args(each)]
    return get_args(inner[-1])[-1] if inner else Any


def _beside(error: OmegaConfBaseException) -> list[str]:
    """Return the known names beside the unknown name of an error."""
    if is_dataclass(error.object_type):
        return [*hints(error.object_type)]
    return [str(key) for key in error.parent_node or ()]


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()


def _parsed(text: str) -> Override | None:
    try:
        return _parser().parse_overrides([text])[0] if spellings.OVERRIDE.match(text) else None
    except (HydraException, ValueError, RecursionError):  # such as a number with thousands of digits
        return None


def _values(override: Override) -> list[Any]:
    """Return the values of an override; of a sweep, those that are listed with commas."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return [Override._convert_value(each) for each in value.list]
    return [] if isinstance(value, Sweep) or override.is_sweep_override() else [value]


def _check_choice(group: str, values: Sequence[Any]) -> None:
    for value in values:
        if value in (None, ""):
            without = f"; ~{group} selects none" if group in _OR_NONE else ""
            raise InputError(f"{group} must be one of {', '.join(choices(group))}{without}")
        if isinstance(value, list) and group not in _SEVERAL:
            raise InputError(f"{group} must be one choice, not a list; a sweep is --multirun {group}=A,B")
        for name in value if isinstance(value, list) else [value]:
            if not isinstance(name, str):
                given = "null" if name is None else name
                raise InputError(f"{group} must be one of {', '.join(choices(group))}, not {given}")


def _check_without(group: str, text: str) -> None:
    if group not in _OR_NONE:
        raise InputError(f"{text}: {group} must be one of {', '.join(choices(group))}")
    if text != f"~{group}":
        raise InputError(f"{text}: write ~{group} without a value to select none")


def _refuse_flag(text: str, arguments: Sequence[str], flags: Sequence[str], settings: type) -> NoReturn:
    """Raise ``InputError`` for an unknown flag, such as an option with dashes."""
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
    """Raise ``InputError`` for words that are no NAME=VALUE, with the right spelling if it can be guessed."""
    words = [texts[0]]
    for text in texts[1:]:
        if spellings.OVERRIDE.match(text) and words[-1][-1:] not in ("=", ","):
            break
        words.append(text)
    given = " ".join(words)
    chosen = [f"{group}={given}" for group in sorted(groups()) if given in choices(group)]
    guesses = (
        spellings.split(given),
        spellings.joined(given),
        spellings.dotted(given),
        spellings.unquoted(given),
        spellings.quoted(given),
    )
    for spelling in (*chosen, *guesses):
        if spelling and _is_valid(spelling, settings):
            raise InputError(f"{given!r} is not NAME=VALUE; write {spelling}")
    if _parsed(spellings.dotted(given)) is not None:
        check_options([spellings.dotted(given)], settings)
    name, equals, value = given.partition("=")
    quotes = [quote for quote in "'\"" if equals and value.count(quote) % 2]
    why = f", because a {quotes[0]} is not closed; write {name}=VALUE" if quotes else ""
    raise InputError(f"{given!r} is not NAME=VALUE{why}")


def _is_valid(spelling: str, settings: type) -> bool:
    """Return whether a proposed spelling, as typed in a shell, is valid."""
    try:
        texts = shlex.split(spelling)
        readable = texts and all(_parsed(text) is not None for text in texts)
        return bool(readable) and check_options(texts, settings) is None
    except ValueError:  # an option is wrong, or a quote is not closed
        return False
