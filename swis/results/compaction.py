"""Merging of many result files into few, while other processes write and read them."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from string import hexdigits

from swis.errors import CannotWrite
from swis.results import hardware_results, rows
from swis.results.parquet_files import set_aside, write_rows
from swis.results.store import COMPACTED, Found, Store
from swis.runtime.files import PARTIAL, stamp, write_atomically

_DAY = 24 * 60 * 60
_MANY = 1000


def compact(folder: Path) -> str:
    """Merge the files of a results folder into one of rows and one of hardware results; return a report.

    Other processes may write and read rows meanwhile. A kill at any moment loses nothing. Damaged files are
    set aside. Partial files older than a day, which killed processes left, are deleted. Raises
    ``CannotWrite``, and then nothing is lost either.
    """
    report = []
    for kind, store in stores(folder).items():
        done = merge(store)
        report.append(f"{done.count} {kind}: {len(done.files)} files merged, {len(done.damaged)} set aside")
    return "\n".join([*report, f"{_delete_partial_files(folder)} old partial files deleted"])


def compact_many(folder: Path) -> None:
    """Merge the files of a results folder if it has more than 1000 files of single rows.

    Reading so many files takes seconds. Raises ``CannotWrite``, and then nothing is lost.
    """
    for store in stores(folder).values():
        if len(store.singles()) > _MANY:
            merge(store)


def merge(store: Store) -> Found:
    """Merge all files of a store into one; return its rows, the merged files, and the files set aside.

    Raises ``CannotWrite``, and then nothing is lost: readers see a row that is in two files once.
    """
    if not store.singles() and len([*store.compacted()]) < 2:
        done = _scan_and_set_aside(store)
        return Found(done.rows, [], done.damaged)
    with store.locked() as held:
        if not held:
            raise CannotWrite(f"{store.folder} cannot be compacted: its file system cannot lock files")
        compacted = store.folder / f"{COMPACTED}{_next(store):016x}.parquet"
        before = {path: stamp(path) for path in (*store.singles(), *store.compacted())}
        found = _scan_and_set_aside(store)
        if found.files:
            write_atomically(compacted, lambda partial: write_rows(found.rows, partial))
        for path in found.files:
            if stamp(path) == before.get(path):  # else a process that cannot lock files wrote it again
                _delete(path)
    return found


def _next(store: Store) -> int:
    """Return a time [ns] later than that of the last compacted file, even if a clock was set back."""
    last = next(store.compacted(), None)
    named = last.stem.removeprefix(COMPACTED)[:16] if last is not None else "0"
    after = int(named, 16) + 1 if set(named) <= set(hexdigits) else 0
    return max(time.time_ns(), after)


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


def stores(folder: Path) -> dict[str, Store]:
    """Return the stores of a results folder, by the name of what they hold."""
    return {"rows": rows.store(folder), "hardware results": hardware_results.store(folder)}


def partial_files(folder: Path) -> list[Path]:
    """List the files that are being written, or that killed processes left unfinished."""
    return sorted(folder.rglob(f"*{PARTIAL}"))


def _delete_partial_files(folder: Path) -> int:
    """Delete the partial files older than a day; return their number."""
    deleted = 0
    for path in partial_files(folder):
        with suppress(FileNotFoundError):  # its process has just finished it
            if time.time() - path.stat().st_mtime > _DAY:
                path.unlink()
                deleted += 1
    return deleted
