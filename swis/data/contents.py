"""What image files hold: a hash of each, kept in the user's cache, and what cannot be decoded."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from PIL import Image

from swis.data.decoding import decoded_file, fault
from swis.runtime import user_cache
from swis.runtime.files import SETTLED
from swis.runtime.progress import tqdm

# What decoded a file that is whole; another version looks at it again.
_READER = f"pillow {metadata.version('pillow')}"

_CHUNK = 16

# Of a file, by its name below its folder: size, times of change and of its status [ns], inode, SHA-256, and
# what decoded it ("" for nothing).
Table = dict[str, list[Any]]

_tables: dict[Path, Table] = {}


@dataclass(frozen=True)
class Content:
    """What a file holds: its SHA-256 ("" if it cannot be read), and what is wrong with it (None: nothing)."""

    sha256: str
    fault: str | None


def examine(folder: Path, paths: Sequence[Path], decode: bool) -> list[Content]:
    """Return what image files in a folder hold, in order; with ``decode`` every one is decoded once.

    A file is read again when its size, inode, or a time of its status is another one. Hashes are kept in
    the user's cache (XDG_CACHE_HOME, ~/.cache), which may be deleted, damaged or read-only.
    """
    table, prefix = _table(folder), len(os.path.join(folder, ""))  # noqa: PTH118 (a hundredth of the time)
    names = [os.fspath(path)[prefix:] for path in paths]
    known = [_from(table.get(name), path, decode) for name, path in zip(names, paths, strict=True)]
    missing = [place for place, found in enumerate(known) if found is None]
    fresh: Table = {}
    try:
        for place, content, entry in _read_all(missing, paths, decode):
            known[place] = content
            if entry is not None:
                fresh[names[place]] = entry
    finally:  # what an interrupted run has read as well
        if fresh:
            table.update(fresh)
            _keep(folder, table)
    return known


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _from(entry: list[Any] | None, path: Path, decode: bool) -> Content | None:
    """Return what is known of a file that is as it was."""
    if entry is None or (decode and entry[5] != _READER):
        return None
    try:
        now = _stamp(os.stat(path))  # noqa: PTH116 (half of the time)
    except OSError:
        return None
    return Content(entry[4], None) if now == entry[:4] else None


def _read_all(
    places: Sequence[int], paths: Sequence[Path], decode: bool
) -> Iterator[tuple[int, Content, list[Any] | None]]:
    """Read files in threads; yield the place, the content and the table's entry of each."""

    def read(some: Sequence[int]) -> list[tuple[int, Content, list[Any] | None]]:
        return [(place, *_read(paths[place], decode)) for place in some]

    chunks = [places[start : start + _CHUNK] for start in range(0, len(places), _CHUNK)]
    bar = tqdm(total=len(places), desc="looking at images", leave=False, delay=1)
    with bar, warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # they are refused
        for done in pool.map(read, chunks):
            yield from done
            bar.update(len(done))


def _read(path: Path, decode: bool) -> tuple[Content, list[Any] | None]:
    """Return what a file holds, and its entry if that may be kept."""
    try:
        with open(path, "rb", buffering=0, opener=_opened) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise OSError("it is not a file")
            data = file.read()
            after = os.fstat(file.fileno())
    except OSError as error:
        return Content("", fault(error)), None
    sha256, wrong = hashlib.sha256(data).hexdigest(), None
    if decode:
        try:
            decoded_file(io.BytesIO(data), "RGB")
        except Exception as error:  # decoders raise nearly anything
            wrong = fault(error)
    settled = time.time_ns() - after.st_ctime_ns > SETTLED and _stamp(before) == _stamp(after)
    entry = [*_stamp(after), sha256, _READER if decode else ""]
    return Content(sha256, wrong), entry if settled and wrong is None else None


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # to open a pipe would wait for ever


def _table(folder: Path) -> Table:
    folder = folder.absolute()
    if folder not in _tables:
        _tables[folder] = user_cache.load(_place(folder)) or {}
    return _tables[folder]


def _place(folder: Path) -> Path | None:
    """Return the file that keeps the hashes of a folder; None where a user has no home."""
    kept = user_cache.folder("contents")
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:32]
    return None if kept is None else kept / f"{name}.json"


def _keep(folder: Path, table: Table) -> None:
    """Add hashes to those that are kept, also by other processes meanwhile."""
    place = _place(folder)
    user_cache.keep((user_cache.load(place) or {}) | table, place)


def identity(
    contents: Sequence[Content], labels: Sequence[int], known: Mapping[str, str] | None = None
) -> str:
    """Return the SHA-256 of the labels and contents of files, in order, or the name that it is ``known`` by.

    By default that is the digest in keys of committed rows.

    >>> a, b = Content("a", None), Content("b", None)
    >>> identity([a, b], [0, 1]) == identity([b, a], [0, 1])
    False
    """
    lines = [f"{label} {content.sha256}" for content, label in zip(contents, labels, strict=True)]
    found = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return (_committed() if known is None else known).get(found, found)


@cache
def _committed() -> dict[str, str]:
    """Digests in keys of committed rows, which are older than hashes of contents (tools/identities.py)."""
    return json.loads((resources.files("swis") / "assets" / "identities.json").read_text())
