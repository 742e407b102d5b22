"""Keeping a folder of results in order: many files made few, damage found, what is there counted."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from swis.errors import CannotWrite
from swis.results import hardware_results, rows
from swis.results.parquet_files import set_aside, write_rows
from swis.results.store import COMPACTED, Found, Store
from swis.runtime.files import PARTIAL, stamp, write_atomically

_DAY = 24 * 60 * 60
_MANY = 1000


def compact(folder: Path) -> str:
    """Merge the files of a results folder into one of rows and one of hardware results; say what was done.

    May be killed at any moment, and run while other processes write and read rows. Files that are damaged
    are set aside, and partial files older than a day, which killed processes left, are deleted. Raises
    ``CannotWrite``, and then nothing is lost.
    """
    said = []
    for kind, store in _stores(folder).items():
        done = merge(store)
        said.append(f"{_count(done)} {kind}: {len(done.files)} files merged, {len(done.damaged)} set aside")
    return "\n".join([*said, f"{_delete_partial_files(folder)} old partial files deleted"])


def compact_many(folder: Path) -> None:
    """Merge the files of a results folder if there are so many of one row that reading them takes seconds.

    Raises ``CannotWrite``, and then nothing is lost.
    """
    for store in _stores(folder).values():
        if len(store.singles()) > _MANY:
            merge(store)


def merge(store: Store) -> Found:
    """Merge all files of a store into one; return its rows, the files they were in, and those set aside.

    Raises ``CannotWrite``, and then nothing is lost: rows that are in two files are there once for readers.
    """
    if not store.singles() and len([*store.compacted()]) < 2:
        done = _scan_and_set_aside(store)
        return Found(done.rows, [], done.damaged)
    with store.locked() as held:
        if not held:
            raise CannotWrite(f"{store.folder} cannot be compacted: no file can be locked there")
        compacted = store.folder / f"{COMPACTED}{time.time_ns():016x}.parquet"
        before = {path: stamp(path) for path in (*store.singles(), *store.compacted())}
        found = _scan_and_set_aside(store)
        if found.files:
            write_atomically(compacted, lambda partial: write_rows(found.rows, partial))
        for path in found.files:
            if stamp(path) == before.get(path):  # else who cannot lock files has written it anew
                _delete(path)
    return found


def _scan_and_set_aside(store: Store) -> Found:
    found = store.scan()
    for path, reason in found.damaged.items():
        set_aside(path, reason)
    return found


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CannotWrite(f"{path} cannot be deleted: {error.strerror}") from error


def check(folder: Path) -> tuple[str, bool]:
    """Read every row and hardware result; say which files are damaged and why, and whether none is."""
    damaged, counts = {}, []
    for kind, store in _stores(folder).items():
        found = store.scan()
        damaged |= found.damaged
        failed = ""
        if found.rows is not None and "status" in found.rows.column_names:
            failed = f" ({pc.sum(pc.equal(found.rows['status'], 'failed')).as_py()} failed)"
        counts.append(f"{_count(found)} {kind}{failed} in {len(found.files)} files")
    counts.append(f"{len(damaged)} damaged files, {len(_partial_files(folder))} partial files")
    return "\n".join([*(f"{path} {reason}" for path, reason in damaged.items()), *counts]), not damaged


def _stores(folder: Path) -> dict[str, Store]:
    return {"rows": rows.store(folder), "hardware results": hardware_results.store(folder)}


def _count(found: Found) -> int:
    return 0 if found.rows is None else found.rows.num_rows


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
