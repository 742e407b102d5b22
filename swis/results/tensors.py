"""Tensors beside rows: what several rows are computed from, and what can be made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from swis.results.artifacts import TENSORS, artifact_path, locked
from swis.runtime.checksums import of_tensors
from swis.runtime.files import write_atomically


def write_tensors(tensors: dict[str, Tensor], key: str, folder: Path) -> None:
    """Keep what several rows are computed from (the float logits, tables of losses)."""
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    about = {"sha256": of_tensors(contiguous, key.encode())}
    write_atomically(artifact_path(key, folder, TENSORS), lambda path: save_file(contiguous, path, about))


def read_tensors(key: str, folder: Path) -> dict[str, Tensor] | None:
    """Return tensors that were kept before; None if there are none, or others than were kept by this key."""
    path = artifact_path(key, folder, TENSORS)
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError):  # none, or damaged: computed again, and replaced
        return None
    return tensors if about.get("sha256") == of_tensors(tensors, key.encode()) else None


def kept_tensors(key: str, folder: Path | None, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return tensors that were kept before, or make and keep them; without a folder only make them.

    What one process makes others wait for, and all of them map the same file into memory.
    """
    if folder is None:
        return make()
    kept = read_tensors(key, folder)
    if kept is None:
        with locked(key, folder):
            kept = read_tensors(key, folder)  # another process may have made it meanwhile
            if kept is None:
                made = make()
                write_tensors(made, key, folder)
                kept = read_tensors(key, folder) or made
    return kept
