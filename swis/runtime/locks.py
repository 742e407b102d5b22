"""File locks for processes that work in the same folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Wait for the lock of a file, hold it, and yield whether it is held.

    It is not held if the file system cannot lock or write files. The lock of a killed process ends with the
    process. The file is deleted when the lock ends.
    """
    lock = FileLock(path, mode=0o666, poll_interval=0.01, fallback_to_soft=False)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        if lock.is_locked:
            with suppress(OSError):
                path.unlink()  # before the release: a waiting process notices this and creates the file again
            lock.release()
