"""Files that are whole or not there."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from swis.errors import CannotWrite, InputError

# The ending of a file that is being written; a process that is killed leaves it behind.
PARTIAL = ".partial"


def write_atomically(path: Path, write: Callable[[str], None]) -> None:
    """Let ``write`` fill a new file beside ``path``, then give it that name; make the folder if need be.

    Raises ``CannotWrite`` if the file system does not take it (full, read-only, over a quota or a limit);
    whatever happens, there is no half file afterwards.
    """
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix="_", suffix=PARTIAL)
        partial = Path(name)
        os.close(handle)
        write(name)
        partial.chmod(0o644)  # mkstemp's own mode would hide the file from colleagues
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
    """Have a file on the disk, where some file systems first notice that there is no room for it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _error_number(error: Exception) -> int | None:
    """Return the operating system's number of an error, which safetensors has in its text.

    >>> _error_number(RuntimeError("I/O error: No space left on device (os error 28)"))
    28
    """
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def _refusal(partial: Path | None) -> int | None:
    """Return the number of the error of writing more to a file, if that fails.

    torch does not say why it could not write; what stopped it stops who goes on there as well.
    """
    try:
        if partial is not None:
            with partial.open("ab") as file:
                file.write(bytes(1 << 20))
            _flush(partial)
    except OSError as error:
        return error.errno
    return None


# A file that changed this shortly ago [ns] may change again without a later time: its stamp is not trusted.
SETTLED = 2 * 10**9


def stamp(path: str | Path) -> list[int]:
    """Return what tells a file, or the entries of a folder, from later ones; nothing if it is not there."""
    try:
        found = Path(path).expanduser().stat()
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


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
