"""python -m tools.soak (make soak): kills, damaged files and wrong command lines."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded, because forks do not have its threads

from swis.runtime.files import write_atomically
from tools.soak import corruption, kills, lines
from tools.soak.copies import warm_up
from tools.soak.reference import JOBS, Reference
from tools.soak.tally import Tally
from tools.soak.targets import Target

_DEFAULTS = {"MINUTES": 30.0, "SEED": 0, "KILLS": None, "CORRUPTIONS": None, "LINES": None}
# The option with the number of each kind of trial, and the share of the minutes that it takes without a
# number.
_NUMBERS = {"kills": "KILLS", "corruptions": "CORRUPTIONS", "command lines": "LINES"}
_SHARES = {"kills": 0.6, "corruptions": 0.2, "command lines": 0.2}
_SHORT = 5  # with fewer minutes than this only few kinds of results are prepared
_PROCESSES = os.cpu_count() or 1
_EVERY = 30  # [s] between two lines with counts
_FORK = multiprocessing.get_context("fork")


def main(arguments: Sequence[str]) -> int:
    """Run all trials for the given minutes or numbers, print counts, and return 1 if anything went wrong."""
    chosen = options(arguments)
    given = {name: value for name, value in chosen.items() if value is not None}
    if all(chosen[name] is not None for name in _NUMBERS.values()):
        del given["MINUTES"]
    texts = (f"{value:g}" if isinstance(value, float) else value for value in given.values())
    command = " ".join(["make soak", *(f"{name}={text}" for name, text in zip(given, texts, strict=True))])
    print(command, flush=True)
    folder, began, tally = Path(tempfile.mkdtemp(prefix="soak")), time.monotonic(), Tally()
    wanted = [name for name, option in _NUMBERS.items() if chosen[option] != 0]
    try:
        references, targets = prepared(folder, wanted, short=chosen["MINUTES"] < _SHORT)
        print(f"prepared in {time.monotonic() - began:.0f} s", flush=True)
        works = {
            "kills": partial(kills.kill, references),
            "corruptions": partial(corruption.corrupt, targets, references),
            "command lines": lines.try_lines,
        }
        for name in wanted:
            number, seconds = chosen[_NUMBERS[name]], 60 * chosen["MINUTES"] * _SHARES[name]
            tally = spread(works[name], name, folder, number, seconds, chosen["SEED"], tally)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"\n{tally.table()}\n\n{tally.in_a_line()}\n{command}; {(time.monotonic() - began) / 60:.0f} minutes"
    )
    return 0 if tally.sound else 1


def options(arguments: Sequence[str]) -> dict[str, Any]:
    """Read NAME=VALUE; exit with status 2 and one line for an unknown name, or a value that is no number.

    >>> options(["KILLS=10"])["KILLS"]
    10
    """
    chosen = dict(_DEFAULTS)
    for argument in arguments:
        name, _, value = argument.partition("=")
        try:
            chosen[name] = (float if name == "MINUTES" else int)(value)
        except ValueError:
            name = None
        if name not in _DEFAULTS or chosen[name] < 0:
            print(f"error: {argument} must be one of {', '.join(_DEFAULTS)} with a number", file=sys.stderr)
            sys.exit(2)
    return chosen


def prepared(folder: Path, wanted: Sequence[str], short: bool) -> tuple[list[Reference], list[Target]]:
    """Load and compile everything in this process, and make the references and targets; few if ``short``."""
    (folder / "warm").mkdir()
    jobs = JOBS[:1] if short or wanted == ["command lines"] else JOBS
    warm_up([job.lines[0] for job in jobs], folder / "warm")
    targets = corruption.make_targets(folder / "targets", short) if "corruptions" in wanted else []
    kills.compact_early()
    references = (
        [] if wanted == ["command lines"] else [Reference(job).make(folder / "reference") for job in jobs]
    )
    return references, targets


def spread(
    work: Callable, name: str, folder: Path, number: int | None, seconds: float, seed: int, before: Tally
) -> Tally:
    """Run the work in several forks at once; print and return their counts, added to those ``before``."""
    share = None if number is None else -(-number // _PROCESSES)
    until, places = time.monotonic() + seconds, range(_PROCESSES)

    def one(place: int) -> None:
        tally, told = Tally(), 0.0

        def tell() -> None:
            write_atomically(files[place], lambda partial: Path(partial).write_bytes(pickle.dumps(tally)))

        def enough() -> bool:
            nonlocal told
            if time.monotonic() - told > _EVERY / 3:
                tell()
                told = time.monotonic()
            tried = sum(count for kind, count in tally.tried.items() if kind.startswith(name))
            return time.monotonic() > until if share is None else tried >= share

        work(folder / f"{name}{place}", Random(f"{seed} {name} {place}"), tally, enough)
        tell()

    files = [folder / f"{name}{place}.tally" for place in places]
    processes = [_FORK.Process(target=one, args=(place,)) for place in places]
    for process in processes:
        process.start()
    told = time.monotonic()
    while any(process.is_alive() for process in processes):
        time.sleep(0.2)
        if time.monotonic() - told > _EVERY:
            print(f"{time.strftime('%H:%M:%S')} {_sum(before, files).in_a_line()}", flush=True)
            told = time.monotonic()
    whole = _sum(before, files)
    for process in processes:
        if process.exitcode != 0:
            whole.count(f"{name}: the trial itself", "unclear", f"ended with status {process.exitcode}")
    return whole


def _sum(before: Tally, files: list[Path]) -> Tally:
    whole = Tally()
    whole.add(before)
    for path in files:
        if path.exists():
            whole.add(pickle.loads(path.read_bytes()))
    return whole


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
