"""Parquet files of named rows: writing them, reading all rows or one, and finding damaged files."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from swis.errors import CannotWrite, InputError
from swis.runtime.checksums import SEALED, is_sealed, seal, seal_place

log = logging.getLogger("swis")

# Rows per row group (reading one row reads its whole group), and rows that are read at a time.
_GROUP, _PIECE = 1000, 10_000


class Damaged(ValueError):
    """A file has no usable rows; the message gives the reason, and is written after the file's name."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors about a file's contents into ``Damaged``, and errors of the system into ``InputError``.

    A missing file and a lack of memory say nothing about the contents: these errors stay as they are.

    >>> with reading(Path("k.parquet")):
    ...     raise pa.ArrowInvalid("no magic bytes")
    Traceback (most recent call last):
    swis.results.parquet_files.Damaged: cannot be read (ArrowInvalid: no magic bytes)
    """
    try:
        yield
    except (FileNotFoundError, MemoryError):
        raise
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno == errno.ESTALE:  # a network file system's deleted file
            raise FileNotFoundError(error.errno, os.strerror(error.errno), path) from error
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path} cannot be read: {os.strerror(error.errno)}") from error
        message = str(error).partition("\n")[0]
        own = type(error) is ValueError  # raised by this package, worded to follow the file's name
        raise Damaged(message if own else f"cannot be read ({type(error).__name__}: {message})") from error


def read_rows(path: Path, repeated: Sequence[str] = ()) -> pa.Table:
    """Return all rows of a file; the columns ``repeated`` are dictionary-encoded."""
    with _open(path, repeated) as file:
        # reading in pieces takes half the time: a column in one piece is copied each time it grows
        return pa.Table.from_batches(file.iter_batches(_PIECE, use_threads=False), file.schema_arrow)


def find_row(path: Path, column: str, name: str, repeated: Sequence[str] = ()) -> pa.Table | None:
    """Return the row whose ``column`` is ``name``, or None; the positions of a file's rows are cached."""
    status = path.stat()
    metadata, places = _index(path, status.st_mtime_ns, status.st_size, column)
    if name not in places:
        return None
    group, row = divmod(places[name], metadata.row_group(0).num_rows)  # only the last group may be shorter
    with _open(path, repeated, metadata) as file:
        return file.read_row_group(group).slice(row, 1)


def write_table(table: pd.DataFrame, path: str) -> None:
    """Write a table with checksums, so that a reader notices damage."""
    # statistics and pandas' schema would be most of a small file, and so would dictionaries of one row
    rows = pa.Table.from_pandas(table, preserve_index=False)
    _write(rows, path, len(rows), use_dictionary=len(rows) > 1, write_statistics=False)


def write_rows(rows: pa.Table, path: str) -> None:
    """Write rows, compressed, with checksums, so that a reader notices damage."""
    _write(rows, path, _GROUP, compression="zstd")


def _write(rows: pa.Table, path: str, group: int, **settings: Any) -> None:
    schema = rows.schema.remove_metadata()
    settings |= {"store_schema": False, "write_page_checksum": True}
    with pa.OSFile(path, "wb") as file, pq.ParquetWriter(file, schema, **settings) as writer:
        writer.write_table(rows.replace_schema_metadata(None), group)
        writer.add_key_value_metadata({SEALED: str(file.tell())})
    seal(Path(path))


def set_aside(path: Path, reason: str) -> None:
    """Move a damaged file to the folder _set_aside, and warn; raise ``CannotWrite`` if that fails."""
    target = path.parent / "_set_aside" / path.name
    try:
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
    except FileNotFoundError:  # another process moved it
        return
    except OSError as error:
        raise CannotWrite(f"{path} cannot be moved to {target.parent}: {error.strerror}") from error
    log.warning("%s %s; it is now %s", path, reason, target)


@lru_cache(maxsize=4)
def _index(path: Path, mtime_ns: int, size: int, column: str) -> tuple[pq.FileMetaData, dict[str, int]]:
    """Return a file's metadata and the position of each row; time and size of the file are the cache key."""
    with _open(path) as file:
        names = file.read([column])[column].to_pylist()
        return file.metadata, {name: place for place, name in enumerate(names)}


@contextmanager
def _open(
    path: Path, repeated: Sequence[str] = (), metadata: pq.FileMetaData | None = None
) -> Iterator[pq.ParquetFile]:
    """Open a file and verify its checksum; with known ``metadata`` the checksum was verified before."""
    with pa.OSFile(str(path)) as source:
        sealed = metadata is not None or is_sealed(source)
        source.seek(0)
        settings = {"read_dictionary": list(repeated), "page_checksum_verification": True}
        with pq.ParquetFile(source, metadata=metadata, **settings) as file:
            place = (file.metadata.metadata or {}).get(SEALED.encode(), b"").decode()
            if not sealed and place == str(seal_place(source)):
                raise ValueError("is damaged: its checksum is missing")
            yield file
