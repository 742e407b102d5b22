"""The results of undisturbed sweeps, and the results in a folder to compare with them."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from swis.results import hardware_results, rows
from tools.soak.copies import run_py, start

# Columns of a row about the time and speed of its computation.
_OF_THE_MOMENT = ["seconds", "images_per_second", "created"]

COMMON = (
    *("model=mobilenet_v2", "data.limit=16", "calibration.images=8", "data.workers=0"),
    *("threads=1", "device=cpu", "results_dir=runs"),
)


@dataclass(frozen=True)
class Job:
    """Command lines that share a results folder; each of them runs in one process."""

    name: str
    lines: tuple[tuple[str, ...], ...]


JOBS = (
    Job(
        "methods",
        tuple(
            ("--multirun", *COMMON, "model=resnet18", "methods=[swis]", f"bits={bits}", "versus=[stripes]")
            for bits in ("2,3", "3,4")
        ),
    ),
    Job(
        "schedules",
        tuple(
            ("--multirun", *COMMON, "methods=[truncate]", f"bits={bits}", "schedule=greedy", "versus=[]")
            for bits in ("2.5,3.5", "3.5")
        ),
    ),
    Job(
        "retraining",
        (
            (
                *(*COMMON, "task=retrain", "methods=[round]", "versus=[]", "retrain.split=train"),
                *("retrain.images=16", "retrain.batch_size=8", "retrain.epochs=2"),
            ),
        ),
    ),
    Job(
        "files",
        (
            (*COMMON, "task=pack", "methods=[swis]", "bits=3", "out=packed.safetensors", "force=true"),
            (
                *("--multirun", *COMMON, "task=simulate", "methods=[round]", "bits=2", "versus=[]"),
                "out=table.parquet",
            ),
        ),
    ),
)


def numbers(folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return the results in a folder as exact texts by name, and the problems with its files."""
    found, problems = {}, []
    results = folder / "runs"
    if results.is_dir():
        table, found_rows = rows.all_rows(results)
        hardware, found_hardware = hardware_results.all_hardware(results)
        damaged = found_rows.damaged | found_hardware.damaged
        problems += [f"{path.name} {reason}" for path, reason in damaged.items()]
        if not table["key"].is_unique:
            problems.append("a row exists twice")
        for row in table.drop(columns=_OF_THE_MOMENT).to_dict("records"):
            found[f"row {row['key']}"] = repr(row)
        for result in [] if hardware is None else hardware.astype({"hardware": str}).to_dict("records"):
            found[f"hardware of {result['key']}"] = repr(result)
    for path in (folder / "packed.safetensors", folder / "table.parquet"):
        if path.is_file():
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found, problems


class Warned(logging.Handler):
    """A handler that collects the logged lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Reference:
    """The results of every command line of a job without disturbance, and the durations [s]."""

    job: Job
    results: list[dict[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def make(self, folder: Path) -> Reference:
        """Run every command line of the job in a fork; raise ``RuntimeError`` if one fails."""
        for number, line in enumerate(self.job.lines):
            inside = folder / f"{self.job.name}{number}"
            inside.mkdir(parents=True)
            copy = start(run_py(line), inside, folder / f"{self.job.name}{number}.run")
            if copy.wait_until() != 0:
                raise RuntimeError(f"run.py {' '.join(line)} failed without disturbance: {copy.err}")
            self.seconds.append(time.monotonic() - copy.started)
            self.results.append(numbers(inside)[0])
        return self

    @property
    def whole(self) -> dict[str, str]:
        return {name: value for result in self.results for name, value in result.items()}
