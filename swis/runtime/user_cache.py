"""What the user's cache keeps: it may be deleted, damaged or read-only, and nothing depends on it."""

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


def folder(name: str) -> Path | None:
    """Return the folder of that name in the user's cache (XDG_CACHE_HOME, ~/.cache); None without a home."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        root = chosen if chosen.is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return root / "swis" / name


@cache
def of_this_code(root: Path | None) -> Path | None:
    """Return the folder in ``root`` for this version of the package's files; None where nothing can be kept.

    Folders of versions that no process has used for a month are deleted.
    """
    if root is None:
        return None
    package = Path(__file__).parents[1]
    files = [(path, path.stat()) for path in sorted(package.rglob("*")) if path.suffix != ".pyc"]
    stamps = [(str(path), each.st_mtime_ns, each.st_size) for path, each in files if S_ISREG(each.st_mode)]
    folder = root / hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]
    try:
        if not folder.exists():
            _delete_old(root)
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        os.utime(folder)  # the sign of use
    except OSError:
        return None
    return folder


def _delete_old(root: Path) -> None:
    for other in root.glob("*"):
        if re.fullmatch(r"[0-9a-f]{16}", other.name) and time.time() - other.stat().st_mtime > _MONTH:
            shutil.rmtree(other, ignore_errors=True)


def load(path: Path | None) -> Any:
    """Return the JSON value that a file keeps; None if there is none, or if it is damaged."""
    try:
        check, body = path.read_bytes().split(b"\n", 1)
    except (AttributeError, OSError, ValueError):
        return None
    return json.loads(body) if hashlib.sha256(body).hexdigest().encode() == check else None


def keep(value: Any, path: Path | None) -> None:
    """Keep a JSON value in a file; give up where nothing can be kept."""
    if path is None:
        return
    body = json.dumps(value).encode()  # ASCII, whatever bytes names are made of
    check = hashlib.sha256(body).hexdigest().encode()
    with suppress(CannotWrite, OSError):
        write_atomically(path, lambda partial: Path(partial).write_bytes(check + b"\n" + body))
