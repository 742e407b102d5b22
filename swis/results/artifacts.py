"""Artifacts of rows: where files are that several rows, or one, are computed from or described by."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from swis.runtime import locks

# Endings of artifacts: of what can be made again, and of what belongs to one row.
TENSORS, _LOCK = "safetensors", "lock"
SCHEDULE, CURVE, STATE = "schedule.parquet", "curve.parquet", "state"


def locked(key: str, folder: Path) -> AbstractContextManager[bool]:
    """Keep other processes from work on what has this key, and wait until none is at it.

    Where files cannot be locked nobody waits: work may then be done twice, and is still done right.
    """
    return locks.locked(artifact_path(key, folder, _LOCK))


def artifact_path(key: str, folder: Path, ending: str) -> Path:
    """Return the path of an artifact.

    >>> artifact_path("k", Path("results"), TENSORS).as_posix()
    'results/_references/k.safetensors'
    >>> artifact_path("k", Path("results"), CURVE).as_posix()
    'results/_details/k.curve.parquet'
    """
    # the underscore hides the folder from readers that take results_dir as one parquet data set
    return folder / ("_references" if ending in (TENSORS, _LOCK) else "_details") / f"{key}.{ending}"
