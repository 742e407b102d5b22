"""Wrong command lines, made from the configuration's own types: each ends with status 2 and one line."""

from __future__ import annotations

import shutil
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from random import Random

from swis.config import Config
from tools.soak.copies import run_py, start
from tools.soak.reference import COMMON
from tools.soak.tally import Tally

_PATIENCE = 300  # [s]

# What names something that must be there, with a name of nothing, and what makes the option be looked at.
_NOWHERE = {
    "device": ["device=tpu"],
    "versus": ["versus=[nothing]"],
    "skip": ["skip=[nothing.*]"],
    "weights": ["weights=nowhere.safetensors"],
    "workload": ["workload=nowhere", "task=simulate"],
    "model.name": ["model.name=nothing"],
    "model.weights": ["model.weights=nowhere.safetensors"],
    "data.split": ["data.split=nowhere"],
    "data.calibration_split": ["data.calibration_split=nowhere"],
    "retrain.split": ["retrain.split=nowhere", "task=retrain"],
    "results_dir": ["results_dir=/dev/null/runs"],
    "model": ["model=nothing"],
    "data": ["data=nothing"],
    "schedule": ["schedule=nothing"],
    "accelerator": ["accelerator=nothing"],
    "energy": ["energy=nothing"],
    "experiment": ["experiment=nothing"],
}
# May be below zero, though never no number.
_SIGNED = ("model.mean", "recipe.mean")
# That of a sweep that goes on, which sets it itself.
_OWN = ("sweep_started",)


@dataclass(frozen=True)
class Option:
    """A value of the configuration: its name, its type, and whether it may be null."""

    name: str
    type: type | types.GenericAlias
    nullable: bool


def options(of: type = Config, prefix: str = "") -> Iterator[Option]:
    """Yield every option of a configuration, groups before what is in them.

    >>> [option.name for option in options() if option.name.startswith("activation.")]
    ['activation.range', 'activation.percentile']
    """
    hints = typing.get_type_hints(of)
    for known in fields(of):
        kinds = typing.get_args(hints[known.name])
        nullable = type(None) in kinds
        kind = next(one for one in kinds if one is not type(None)) if nullable else hints[known.name]
        yield Option(f"{prefix}{known.name}", kind, nullable)
        if is_dataclass(kind):
            yield from options(kind, f"{prefix}{known.name}.")


def of_wrong_type(option: Option) -> list[str]:
    """Return values that are not of an option's type, as the command line has them."""
    kind, inside = option.type, typing.get_args(option.type)
    wrong = [] if option.nullable else ["null"]
    if is_dataclass(kind):
        return [*wrong, "3"]
    if typing.get_origin(kind) is list:
        wrong += ["{a: 1}"]
        if inside[0] in (int, float):
            wrong += ["[much]", "[[1]]", "[null]"]
        elif isinstance(inside[0], type) and issubclass(inside[0], Enum):
            wrong += ["[nothing_such]", "[1]", "[null]"]
        elif is_dataclass(inside[0]):
            wrong += ["[3]", "[{nothing: 3}]"]
        return wrong
    if typing.get_origin(kind) is dict:
        return [*wrong, "[1]", "3"]
    wrong += ["[1]", "{a: 1}"]
    if kind in (int, float):
        wrong += ["many", "1e", "[]", "12px"]
    if kind is int:
        wrong += ["2.5"]
    if kind is bool:
        wrong += ["perhaps", "yess"]
    if isinstance(kind, type) and issubclass(kind, Enum):
        wrong += ["nothing_such", "3.5"]
    return wrong


def out_of_range(option: Option) -> list[str]:
    """Return numbers of an option's type that no option takes."""
    kind, inside = option.type, typing.get_args(option.type)
    if option.name in _OWN:
        return []
    if typing.get_origin(kind) is list and inside[0] in (int, float):
        some = [] if option.name in _SIGNED else ["[-1]", "[-3,-3,-3]"]
        return some + (["[nan]", "[inf]", "[.inf,nan,1]"] if inside[0] is float else [])
    if kind not in (int, float):
        return []
    return ["-1", "-7"] + (["nan", "inf", "-inf", "-0.5"] if kind is float else ["-1000000"])


def misspelt(name: str, known: set[str], random: Random) -> str:
    """Return a name with a slip of the finger in its last part, which is none of those that are known."""
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


def wrong_lines(random: Random) -> Iterator[tuple[str, list[str]]]:
    """Yield what is wrong and a command line, for ever: every option, then every option anew."""
    every = [*options()]
    known = {option.name for option in every} | set(_NOWHERE) | {"experiment", "launch", "hydra"}
    while True:
        lines = [("a name of nothing", [*line]) for line in _NOWHERE.values()]
        for option in every:
            for kind, values in (
                ("a wrong type", of_wrong_type(option)),
                ("out of range", out_of_range(option)),
            ):
                if values:
                    lines.append((kind, [f"{option.name}={random.choice(values)}"]))
            if option.name.startswith("model.kwargs.") or option.name.startswith("sweep."):
                continue
            plus = random.choice(["", "", "+", "++", "--"])
            lines.append(("a misspelt name", [f"{plus}{misspelt(option.name, known, random)}=2"]))
        random.shuffle(lines)
        for kind, line in lines:
            yield kind, [*line, "--multirun"] if random.random() < 0.1 else line


def try_lines(folder: Path, random: Random, tally: Tally, enough: Callable[[], bool]) -> None:
    """Try wrong command lines until it is ``enough``."""
    lines = wrong_lines(random)
    number = 0
    while not enough():
        wrong, line = next(lines)
        kind = f"command lines: {wrong}"
        inside = folder / f"line{number}"
        inside.mkdir(parents=True)
        copy = start(run_py([*COMMON, *line]), inside, folder / "line")
        if copy.wait_until(copy.started + _PATIENCE) is None:
            copy.process.kill()
            copy.process.join()
        tally.count(kind)
        shown, status, said = f"run.py {' '.join(line)}", copy.process.exitcode, copy.err.splitlines()
        made = [path.name for path in inside.rglob("*.parquet")]
        if status == 0 or made:
            tally.count(kind, "wrong", f"{shown} was taken: {copy.out[:200]!r}")
        elif status != 2 or len(said) != 1 or not said[0].startswith("error: "):
            tally.count(kind, "unclear", f"{shown}: status {status}: {copy.err[-1500:]}")
        shutil.rmtree(inside)
        number += 1
