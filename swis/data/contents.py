"""Hashes and faults of image files, with a cache of hashes in the user's cache folder."""

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

# The decoder of a file; another version decodes the file again.
_READER = f"pillow {metadata.version('pillow')}"

_CHUNK = 16

# The entry of a file, under its path below the folder: size, mtime [ns], ctime [ns], inode, SHA-256, and its
# decoder ("" if it was not decoded).
Table = dict[str, list[Any]]

_tables: dict[Path, Table] = {}


@dataclass(frozen=True)
class Content:
    """The SHA-256 of a file ("" if it cannot be read), and its fault (None if there is none)."""

    sha256: str
    fault: str | None


def examine(folder: Path, paths: Sequence[Path], decode: bool) -> list[Content]:
    """Return the contents of image files in a folder, in order; with ``decode`` each file is decoded once.

    Hashes are cached in the user's cache folder (XDG_CACHE_HOME, ~/.cache); that folder can be deleted,
    damaged or read-only. A file is read again if its size, inode, mtime or ctime changes.
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
    finally:  # an interrupted run keeps its hashes too
        if fresh:
            table.update(fresh)
            _keep(folder, table)
    return known


def _stamp(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _from(entry: list[Any] | None, path: Path, decode: bool) -> Content | None:
    """Return the content of a file from its entry, if the file has not changed; otherwise None."""
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
    """Read files in threads; yield the index, the content and the entry (or None) of each."""

    def read(some: Sequence[int]) -> list[tuple[int, Content, list[Any] | None]]:
        return [(place, *_read(paths[place], decode)) for place in some]

    chunks = [places[start : start + _CHUNK] for start in range(0, len(places), _CHUNK)]
    bar = tqdm(total=len(places), desc="reading images", leave=False, delay=1)
    with bar, warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # such images raise an error here
        for done in pool.map(read, chunks):
            yield from done
            bar.update(len(done))


def _read(path: Path, decode: bool) -> tuple[Content, list[Any] | None]:
    """Return the content of a file, and its entry; None if the entry must not be cached."""
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
        except Exception as error:  # decoders raise many kinds of errors
            wrong = fault(error)
    settled = time.time_ns() - after.st_ctime_ns > SETTLED and _stamp(before) == _stamp(after)
    entry = [*_stamp(after), sha256, _READER if decode else ""]
    return Content(sha256, wrong), entry if settled and wrong is None else None


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe would block forever


def _table(folder: Path) -> Table:
    folder = folder.absolute()
    if folder not in _tables:
        _tables[folder] = user_cache.load(_place(folder)) or {}
    return _tables[folder]


def _place(folder: Path) -> Path | None:
    """Return the cache file of a folder; None if the user has no home folder."""
    kept = user_cache.folder("contents")
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:32]
    return None if kept is None else kept / f"{name}.json"


def _keep(folder: Path, table: Table) -> None:
    """Merge hashes into the cache file, which other processes may have changed."""
    place = _place(folder)
    user_cache.keep((user_cache.load(place) or {}) | table, place)


def identity(
    contents: Sequence[Content], labels: Sequence[int], known: Mapping[str, str] | None = None
) -> str:
    """Return the SHA-256 of the labels and contents of files, in order.

    If ``known`` maps this digest to another one, that one is returned; by default these are the older digests
    in the keys of committed rows.

    >>> a, b = Content("a", None), Content("b", None)
    >>> identity([a, b], [0, 1]) == identity([b, a], [0, 1])
    False
    """
    lines = [f"{label} {content.sha256}" for content, label in zip(contents, labels, strict=True)]
    found = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return (_committed() if known is None else known).get(found, found)


@cache
def _committed() -> dict[str, str]:
    """Return the older digests in the keys of committed rows, by digest of contents (tools/identities.py)."""
    return json.loads((resources.files("swis") / "assets" / "identities.json").read_text())
