"""Damaged files: each must be refused in one line, or set aside and computed again, or read unchanged."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

from swis.errors import InputError
from tools.soak.copies import run_py, start
from tools.soak.damage import DAMAGES
from tools.soak.reference import COMMON, Reference, Warned, numbers
from tools.soak.tally import Tally
from tools.soak.targets import NOTHING, Target, gather, mixed

_BATCH = 100  # damages that one fork tries
_PATIENCE = 300  # [s] limit of a batch
_WHOLE_RUNS = 500  # after so many damages there is one run of a whole job

_PACKED = {
    "plain.safetensors": ["methods=[swis]", "bits=2"],
    "compact.safetensors": ["methods=[swis_c]", "bits=3", "coding=compact"],
    "scheduled.safetensors": ["methods=[swis]", "bits=2.5", "schedule=greedy"],
}


def make_targets(folder: Path, short: bool) -> list[Target]:
    """Make results of several kinds, and packed files, in a folder; return the files to damage.

    If ``short``, these are the results of one sweep, and one packed file.
    """
    folder.mkdir()
    runs = [
        ["--multirun", "methods=[swis,round]", "bits=2,3", "versus=[stripes]"],
        [
            "methods=[truncate]",
            "bits=2.5",
            "schedule=greedy",
            "schedule.sensitivity=true",
            "schedule.images=8",
        ],
        [
            *("task=retrain", "methods=[round]", "bits=2", "versus=[]", "retrain.split=train"),
            *("retrain.images=16", "retrain.batch_size=8", "retrain.epochs=1"),
        ],
        ["--multirun", "task=simulate", "methods=[round]", "bits=2", "versus=[]", "out=tables/table.parquet"],
        *(["task=pack", f"out=packed/{name}", *chosen] for name, chosen in _PACKED.items()),
    ]
    packs = len(_PACKED)
    for number, arguments in enumerate([runs[0], runs[-packs]] if short else runs):
        copy = start(run_py([*arguments, *COMMON]), folder, folder / f"run{number}")
        if copy.wait_until() != 0:
            raise RuntimeError(f"run.py {' '.join(arguments)} failed without damage: {copy.err}")
    packed = sorted((folder / "packed").glob("*.safetensors"))
    return gather(folder / "runs", packed, sorted((folder / "tables").glob("*")), folder)


def corrupt(
    targets: list[Target],
    references: list[Reference],
    folder: Path,
    random: Random,
    tally: Tally,
    enough: Callable[[], bool],
) -> None:
    """Damage one file after another until ``enough`` returns true."""
    number = 0
    while not enough():
        inside = folder / f"batch{number}"
        inside.mkdir(parents=True)
        seed = random.randrange(2**32)
        work = partial(_batch, targets, inside, seed)
        copy = start(work, inside, inside / "run")
        if copy.wait_until(time.monotonic() + _PATIENCE) is None:
            copy.process.kill()
            copy.process.join()
        outcomes = [json.loads(line) for line in (inside / "outcomes").read_text().splitlines()]
        for kind, fault, example in outcomes:
            tally.count(kind)
            if fault:
                tally.count(kind, fault, example)
        if copy.process.exitcode != 0:
            kind = "corruptions: the last of a batch"
            tally.count(kind)
            tally.count(
                kind, "unclear", f"batch of seed {seed} ended after {len(outcomes)} with {copy.err[-500:]}"
            )
        shutil.rmtree(inside)
        if number % (_WHOLE_RUNS // _BATCH) == 0:
            _recompute(random.choice(references), folder / f"whole{number}", random, tally)
        number += 1


def _batch(targets: list[Target], folder: Path, seed: int) -> None:
    """Try damages in this process, and write the outcome of each at once."""
    random = Random(seed)
    kinds = sorted({target.kind for target in targets})
    right: dict[int, str] = {}
    with (folder / "outcomes").open("w", buffering=1) as outcomes:
        for number in range(_BATCH):
            kind = random.choice(kinds)
            chosen = random.choice([place for place, target in enumerate(targets) if target.kind == kind])
            target = targets[chosen]
            if chosen not in right:
                right[chosen] = target.read(target.folder)
            name, content = _damaged(target, random)
            case = folder / str(number)
            fault, example = _tried(target, content, right[chosen], case)
            shown = f"{name} of {target.place}, number {number} of batch {seed}: {example[:1500]}"
            outcomes.write(json.dumps([f"corruptions: {kind}, {name}", fault, shown]) + "\n")
            shutil.rmtree(case)


def _damaged(target: Target, random: Random) -> tuple[str, bytes]:
    """Return the name of a damage, and a damaged content of a file that differs from its content."""
    right = target.path.read_bytes()
    while True:
        name = random.choice([*DAMAGES, "swapped"])
        if name != "swapped":
            content = DAMAGES[name](right, random)
        # a packed file with another name is no damage, because users choose these names
        elif random.random() < 0.5 and target.others and target.kind != "packed files":
            content = random.choice(target.others)
        else:
            content = mixed(target, random)
        if content is not None and content != right:
            return name, content


def _tried(target: Target, content: bytes, right: str, case: Path) -> tuple[str | None, str]:
    """Read a file with other content; return the fault and an example, or None."""
    path = case / target.place
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    warned = Warned()
    logging.getLogger("swis").addHandler(warned)
    try:
        found = target.read(case)
    except InputError as error:
        return (None, "") if _is_clear(str(error)) else ("unclear", str(error))
    except Exception as error:
        return "unclear", f"{type(error).__name__}: {error}"
    finally:
        logging.getLogger("swis").removeHandler(warned)
    if found not in (right, NOTHING):
        return "wrong", f"{found[:700]} is not {right[:700]}"
    unclear = [line for line in warned.lines if not _is_clear(line)]
    return ("unclear", unclear[0]) if unclear else (None, "")


def _is_clear(text: str) -> bool:
    return bool(text) and "\n" not in text.strip() and len(text) < 1000


def _recompute(reference: Reference, folder: Path, random: Random, tally: Tally) -> None:
    """Damage a file in a folder of results, run the job again, and compare the results."""
    kind = "corruptions: a run after damage"
    lines = reference.job.lines
    folder.mkdir()
    for number, line in enumerate(lines):
        start(run_py(line), folder, folder / f"first{number}.run").wait_until()
    files = sorted(path for path in (folder / "runs").rglob("*") if path.is_file())
    if not files:
        shutil.rmtree(folder)
        return
    path = random.choice(files)
    name = random.choice([*DAMAGES])
    path.write_bytes(DAMAGES[name](path.read_bytes(), random))
    tally.count(kind)
    for number, line in enumerate(lines):
        copy = start(run_py(line), folder, folder / f"again{number}.run")
        if copy.wait_until() != 0 or "Traceback" in copy.err:
            tally.count(kind, "unclear", f"{name} of {path.name}: {copy.err[-1500:]}")
    with suppress(FileNotFoundError):
        found, problems = numbers(folder)
        for problem in problems:
            tally.count(kind, "unclear", f"{name} of {path.name}: {problem}")
        right = reference.whole
        for key in right.keys() | found.keys():
            if found.get(key) != right.get(key):
                fault = "wrong" if key in found else "lost"
                tally.count(kind, fault, f"{name} of {path.name}: {key} is {str(found.get(key))[:700]}")
    shutil.rmtree(folder)
