"""Keeping a folder of results in order: many files made few, damage found, what is there counted."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from swis.results import hardware_results, rows
from swis.results.line_files import move, set_aside, write_lines
from swis.results.store import COMPACTED, WAITING, Found, Store, is_compacted
from swis.runtime.files import PARTIAL, write_atomically

_DAY = 24 * 60 * 60
_MANY = 1000


def compact(folder: Path) -> str:
    """Merge the files of a results folder into one of rows and one of lines of hardware; say what was done.

    May be killed at any moment, and run while other processes write and read rows. Files that are damaged
    are set aside, and partial files older than a day, which killed processes left, are deleted. Raises
    ``CannotWrite``, and then nothing is lost.
    """
    said = []
    for store, kind in ((rows.store(folder), "rows"), (hardware_results.store(folder), "lines of hardware")):
        done = merge(store)
        count = 0 if done.lines is None else done.lines.num_rows
        said.append(f"{count} {kind}: {len(done.files)} files merged, {len(done.damaged)} set aside")
    return "\n".join([*said, f"{_delete_partial_files(folder)} old partial files deleted"])


def compact_many(folder: Path) -> None:
    """Merge the files of a results folder if there are so many of one line that reading them takes seconds.

    Raises ``CannotWrite``, and then nothing is lost.
    """
    for store in (rows.store(folder), hardware_results.store(folder)):
        if len(store.singles()) > _MANY:
            merge(store)


def merge(store: Store) -> Found:
    """Merge all files of a store into one; return its lines, the files they were in, and those set aside.

    What a killed merge left is merged as well. Raises ``CannotWrite``, and then nothing is lost.
    """
    # of two versions of a line that wait, the one that came later is last by name
    token = f"{time.time_ns():016x}{uuid.uuid4().hex[:8]}"
    for path in store.singles():
        move(path, store.folder / WAITING / f"{path.stem}.{token}.parquet")
    found = store.scan(singles=False)
    for path, reason in found.damaged.items():
        set_aside(path, store.folder, reason)
    files = found.files
    if len(files) == 1 and is_compacted(files[0]):
        files = []
    if files:
        compacted = store.folder / f"{COMPACTED}{token}.parquet"
        write_atomically(compacted, lambda partial: write_lines(found.lines, partial))
        for path in files:
            path.unlink(missing_ok=True)
    with suppress(OSError):  # it is not there, or another merge uses it
        (store.folder / WAITING).rmdir()
    return Found(found.lines, files, found.damaged)


def check(folder: Path) -> tuple[str, bool]:
    """Read every row and line of hardware; say which files are damaged and why, and whether none is."""
    damaged, counts = {}, []
    for store, kind in ((rows.store(folder), "rows"), (hardware_results.store(folder), "lines of hardware")):
        found = store.scan(thorough=True)
        damaged |= found.damaged
        count = 0 if found.lines is None else found.lines.num_rows
        if count and "status" in found.lines.column_names:
            failed = pc.sum(pc.equal(found.lines["status"], "failed")).as_py()
            kind += f" ({failed} failed)"
        counts.append(f"{count} {kind} in {len(found.files)} files")
    counts.append(f"{len(damaged)} damaged files, {len(_partial_files(folder))} partial files")
    return "\n".join([*(f"{path} {reason}" for path, reason in damaged.items()), *counts]), not damaged


def summary(table: pd.DataFrame) -> str:
    """Return how many rows of a table are of each model, data set and method, how many bits, and the last.

    >>> one = {"key": "k", "model": "vgg16", "data": "cifar10", "method": "swis", "status": "ok"}
    >>> print(summary(pd.DataFrame([one | {"bits": 2.5, "created": "2026-01-01"}])))
    model    data method  rows  ok  failed bits       last
    vgg16 cifar10   swis     1   1       0  2.5 2026-01-01
    """
    rows = table.drop_duplicates("key")  # one is there for every accelerator
    ok = rows["status"].eq("ok")
    groups = rows.assign(ok=ok, failed=~ok).groupby(["model", "data", "method"], as_index=False)
    counted = groups.agg(
        rows=("key", "size"),
        ok=("ok", "sum"),
        failed=("failed", "sum"),
        fewest=("bits", "min"),
        most=("bits", "max"),
        last=("created", "max"),
    )
    bits = [_range(low, high) for low, high in zip(counted["fewest"], counted["most"], strict=True)]
    counted.insert(counted.columns.get_loc("last"), "bits", bits)
    return counted.drop(columns=["fewest", "most"]).to_string(index=False)


def _range(low: float, high: float) -> str:
    """
    >>> [_range(1, 4.5), _range(2, 2), _range(float("nan"), float("nan"))]
    ['1 to 4.5', '2', '']
    """
    if pd.isna(low):
        return ""
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _partial_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob(f"*{PARTIAL}"))


def _delete_partial_files(folder: Path) -> int:
    """Delete the files that were begun more than a day ago; return how many."""
    deleted = 0
    for path in _partial_files(folder):
        with suppress(FileNotFoundError):  # just finished
            if time.time() - path.stat().st_mtime > _DAY:
                path.unlink()
                deleted += 1
    return deleted
