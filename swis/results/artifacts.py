"""Artifacts: the paths of files that rows are computed from, or that describe a row."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from swis.runtime import locks

# File name extensions of artifacts: those that several rows share, and those that belong to one row.
TENSORS, _LOCK = "safetensors", "lock"
SCHEDULE, CURVE, STATE = "schedule.parquet", "curve.parquet", "state"


def locked(key: str, folder: Path) -> AbstractContextManager[bool]:
    """Lock the artifacts of a key; wait while another process holds the lock.

    Where the file system cannot lock files, nobody waits. Work may then be done twice, with the same result.
    """
    return locks.locked(artifact_path(key, folder, _LOCK))


def artifact_path(key: str, folder: Path, ending: str) -> Path:
    """Return the path of an artifact.

    >>> artifact_path("k", Path("results"), TENSORS).as_posix()
    'results/_references/k.safetensors'
    >>> artifact_path("k", Path("results"), CURVE).as_posix()
    'results/_details/k.curve.parquet'
    """
    # the underscore hides the folder from readers that open results_dir as one parquet data set
    return folder / ("_references" if ending in (TENSORS, _LOCK) else "_details") / f"{key}.{ending}"
