"""Files that are whole or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from swis.errors import InputError


def write_atomically(path: Path, write: Callable[[str], None]) -> None:
    """Let ``write`` fill a new file beside ``path``, then give it that name; make the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix="_", suffix=".partial")
    os.close(handle)
    try:
        write(partial)
        Path(partial).chmod(0o644)  # mkstemp's own mode would hide the file from colleagues
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)


def check_output(path: Path, force: bool) -> None:
    """Raise ``InputError`` if a file cannot be written there, or would be replaced without ``force``."""
    if path.is_dir():
        raise InputError(f"out={path} is a folder; name a file")
    if path.exists() and not force:
        raise InputError(f"out={path} is there already; force=true replaces it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out={path}: its folder cannot be made: {error.strerror}") from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"out={path}: its folder cannot be written to")
