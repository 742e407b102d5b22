"""Tensors that several rows are computed from; they can always be computed again."""

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
    """Write tensors that several rows need (float logits, tables of losses), with a checksum."""
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    about = {"sha256": of_tensors(contiguous, key.encode())}
    write_atomically(artifact_path(key, folder, TENSORS), lambda path: save_file(contiguous, path, about))


def read_tensors(key: str, folder: Path) -> dict[str, Tensor] | None:
    """Return the tensors of a key; None if there is no file, or if its checksum is wrong."""
    path = artifact_path(key, folder, TENSORS)
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError):  # missing or damaged: the caller computes and writes them again
        return None
    return tensors if about.get("sha256") == of_tensors(tensors, key.encode()) else None


def kept_tensors(key: str, folder: Path | None, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the stored tensors of a key, or make and store them; without a folder only make them.

    Other processes wait for the one that makes them. All processes map the same file into memory.
    """
    if folder is None:
        return make()
    kept = read_tensors(key, folder)
    if kept is None:
        with locked(key, folder):
            kept = read_tensors(key, folder)  # another process may have made them meanwhile
            if kept is None:
                made = make()
                write_tensors(made, key, folder)
                kept = read_tensors(key, folder) or made
    return kept
