"""Wrong command lines: each must end with status 2 and one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from tools.soak.copies import run_py, start
from tools.soak.mistakes import mistakes
from tools.soak.reference import COMMON
from tools.soak.tally import Tally

_PATIENCE = 300  # [s]

# Options that must name an existing thing, with an unknown name, and what makes the run read the option.
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


def wrong_lines(random: Random) -> Iterator[tuple[str, list[str]]]:
    """Yield mistakes and wrong command lines without end: every option, then every option again."""
    while True:
        texts: dict[tuple[str, str], list[str]] = {}
        for wrong in mistakes(random):
            texts.setdefault((wrong.kind, wrong.option), []).append(wrong.text)
        lines = [("an unknown name", [*line]) for line in _NOWHERE.values()]
        lines += [(kind, [random.choice(some)]) for (kind, _), some in texts.items()]
        random.shuffle(lines)
        for kind, line in lines:
            yield kind, [*line, "--multirun"] if random.random() < 0.1 else line


def try_lines(folder: Path, random: Random, tally: Tally, enough: Callable[[], bool]) -> None:
    """Try wrong command lines until ``enough`` returns true."""
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
        shown, status, errors = f"run.py {' '.join(line)}", copy.process.exitcode, copy.err.splitlines()
        made = [path.name for path in inside.rglob("*.parquet")]
        if status == 0 or made:
            tally.count(kind, "wrong", f"{shown} was accepted: {copy.out[:200]!r}")
        elif status != 2 or len(errors) != 1 or not errors[0].startswith("error: "):
            tally.count(kind, "unclear", f"{shown}: status {status}: {copy.err[-1500:]}")
        shutil.rmtree(inside)
        number += 1
