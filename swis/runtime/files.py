"""Writing files atomically: a file is complete, or it does not exist."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from swis.errors import CannotWrite, InputError

# The extension of a file that is being written; a killed process leaves such a file behind.
PARTIAL = ".partial"


def write_atomically(path: Path, write: Callable[[str], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it to ``path``; create the folder.

    Raises ``CannotWrite`` if the file system refuses (full, read-only, over a quota or a limit). No partial
    file is left behind.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix="_", suffix=PARTIAL)
        partial = Path(name)
        os.close(handle)
        write(name)
        partial.chmod(0o644)  # mkstemp's own mode would not let other users read the file
        _flush(partial)
        partial.replace(path)
    except Exception as error:
        if code := _error_number(error) or _refusal(partial):
            raise CannotWrite(f"{path} cannot be written: {os.strerror(code)}") from error
        raise
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Force a file to disk, because some file systems notice only then that the disk is full."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _error_number(error: Exception) -> int | None:
    """Return the operating system's number of an error; safetensors has it only in its message.

    >>> _error_number(RuntimeError("I/O error: No space left on device (os error 28)"))
    28
    """
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def _refusal(partial: Path | None) -> int | None:
    """Return the number of the error of appending to a file, or None if that succeeds.

    torch does not report why it could not write; appending to its file fails for the same reason.
    """
    try:
        if partial is not None:
            with partial.open("ab") as file:
                file.write(bytes(1 << 20))
            _flush(partial)
    except OSError as error:
        return error.errno
    return None


# A file that changed less than this time ago [ns] may change again without a new time stamp.
SETTLED = 2 * 10**9


def stamp(path: str | Path) -> list[int]:
    """Return times, size and inode of a file or folder, which change with it; empty if it does not exist."""
    try:
        found = Path(path).expanduser().stat()
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


def check_output(path: Path, force: bool) -> None:
    """Raise ``InputError`` if ``path`` cannot be written, or if it exists and ``force`` is false."""
    if path.is_dir():
        raise InputError(f"out={path} is a folder; give the name of a file")
    if path.exists() and not force:
        raise InputError(f"out={path} exists already; force=true replaces it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out={path}: its folder cannot be created: {error.strerror}") from error
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"out={path}: its folder cannot be written to")
