"""Locks of files, for processes that work in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a file, which other processes wait for, and yield whether it is held.

    It is not where files cannot be locked or written. The lock of a killed process ends with it, and the
    file is deleted with the lock.
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
                path.unlink()  # before the release: who waits sees that, and makes another one
            lock.release()
