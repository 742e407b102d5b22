"""What sweeps give undisturbed, and how what is in a folder is compared with it."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

from swis.results import hardware_results, rows
from tools.soak.copies import run_py, start

# What a row says of when and how fast it was made.
_OF_THE_MOMENT = ["seconds", "images_per_second", "created"]

COMMON = (
    *("model=mobilenet_v2", "data.limit=16", "calibration.images=8", "data.workers=0"),
    *("threads=1", "device=cpu", "results_dir=runs"),
)


@dataclass(frozen=True)
class Job:
    """Command lines that share a results folder: any of them is what one process runs."""

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
    """Return what is in a folder by name, as text with every digit, and what is wrong with files there."""
    found, problems = {}, []
    results = folder / "runs"
    if results.is_dir():
        table, found_rows = rows.all_rows(results)
        hardware, found_hardware = hardware_results.all_hardware(results)
        damaged = found_rows.damaged | found_hardware.damaged
        problems += [f"{path.name} {reason}" for path, reason in damaged.items()]
        if not table["key"].is_unique:
            problems.append("a row is there twice")
        for row in table.drop(columns=_OF_THE_MOMENT).to_dict("records"):
            found[f"row {row['key']}"] = repr(row)
        for result in [] if hardware is None else hardware.astype({"hardware": str}).to_dict("records"):
            found[f"hardware of {result['key']}"] = repr(result)
    for path in (folder / "packed.safetensors", folder / "table.parquet"):
        if path.is_file():
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found, problems


class Warned(logging.Handler):
    """What is logged meanwhile, in lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Reference:
    """What every command line of a job gives undisturbed, and how long it takes [s]."""

    job: Job
    results: list[dict[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def make(self, folder: Path) -> Reference:
        """Run every line of the job in a copy; raise ``RuntimeError`` if one fails."""
        for number, line in enumerate(self.job.lines):
            inside = folder / f"{self.job.name}{number}"
            inside.mkdir(parents=True)
            copy = start(run_py(line), inside, folder / f"{self.job.name}{number}.run")
            if copy.wait_until() != 0:
                raise RuntimeError(f"run.py {' '.join(line)} failed undisturbed: {copy.err}")
            self.seconds.append(time.monotonic() - copy.started)
            self.results.append(numbers(inside)[0])
        return self

    @property
    def whole(self) -> dict[str, str]:
        return {name: value for result in self.results for name, value in result.items()}
