"""The user's cache: it may be deleted, damaged or read-only, and no result depends on it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from stat import S_ISREG
from typing import Any

from swis.errors import CannotWrite
from swis.runtime.files import write_atomically

_MONTH = 30 * 24 * 3600  # [s]
_STARTED = time.time_ns()  # this module is among the first that a process loads


def folder(name: str) -> Path | None:
    """Return the folder ``name`` in the user's cache (XDG_CACHE_HOME or ~/.cache); None without a home."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        root = chosen if chosen.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return root / "swis" / name


def of_this_code(name: str, root: Path | None = None) -> Path | None:
    """Return the folder ``name`` for this version of the package; None if it is not writable.

    ``root`` replaces the user's cache. Folders of versions that no process has used for a month are deleted.
    """
    place = folder(name) if root is None else root
    if place is None:
        return None
    found = place / hashlib.sha256(repr(_package_stamps()).encode()).hexdigest()[:16]
    return found if _is_usable(found) else None


def changed_since_start() -> bool:
    """Return whether a file of the package changed after this process started and may have loaded it."""
    newest = max(changed for _, changed, _ in _package_stamps())
    return newest > _STARTED


@cache
def _package_stamps() -> list[tuple[str, int, int]]:
    """Return the files of the package with the time of their change [ns] and their size."""
    package, found = Path(__file__).parents[1], []
    for path in sorted(package.rglob("*")):
        hidden = path.name.startswith(".") or "__pycache__" in path.parts
        with suppress(OSError):  # such as a broken link
            status = path.stat()
            if S_ISREG(status.st_mode) and not hidden:
                found.append((str(path), status.st_mtime_ns, status.st_size))
    return found


@cache
def _is_usable(place: Path) -> bool:
    """Create a folder, mark it as used, and return whether files can be written to it."""
    try:
        if not place.exists():
            _delete_old(place.parent)
        place.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=place).close()
        os.utime(place)
    except OSError:
        return False
    return True


def _delete_old(root: Path) -> None:
    for other in root.glob("*"):
        if re.fullmatch(r"[0-9a-f]{16}", other.name) and time.time() - other.stat().st_mtime > _MONTH:
            shutil.rmtree(other, ignore_errors=True)


def load(path: Path | None) -> Any:
    """Return the JSON value in a file; None if the file does not exist or is damaged."""
    try:
        check, body = path.read_bytes().split(b"\n", 1)
    except (AttributeError, OSError, ValueError):
        return None
    return json.loads(body) if hashlib.sha256(body).hexdigest().encode() == check else None


def keep(value: Any, path: Path | None) -> None:
    """Write a JSON value to a file; do nothing if it cannot be written."""
    if path is None:
        return
    body = json.dumps(value).encode()  # JSON is ASCII, even if file names are not
    check = hashlib.sha256(body).hexdigest().encode()
    with suppress(CannotWrite, OSError):
        write_atomically(path, lambda partial: Path(partial).write_bytes(check + b"\n" + body))
