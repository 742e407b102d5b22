"""Rows by name on disk, each in a file of its own, or many compacted into one file.

Who writes or compacts files holds the lock of their folder, so no row is written anew while it is compacted.
Who reads needs no lock: a file is deleted only when its rows are in a newer one of many, and these are looked
for last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from swis.results.parquet_files import Damaged, find_row, read_rows, reading, set_aside, write_table
from swis.runtime.files import write_atomically
from swis.runtime.locks import locked

# How the names of compacted files start; the time after it orders them.
COMPACTED = "rows-"
# Tables that are joined at a time: those of one row take much memory.
_BATCH = 1000


@dataclass(frozen=True)
class Found:
    """Rows, the files that they are from, and what is wrong with other files."""

    rows: pa.Table | None
    files: list[Path]
    damaged: dict[Path, str]

    @property
    def count(self) -> int:
        return 0 if self.rows is None else self.rows.num_rows


@dataclass(frozen=True)
class Store:
    """Rows of one kind in a folder.

    ``name`` is the column with a row's name, which is that of its own file. Tables are in the ``order`` of
    these columns. ``conform`` gives a table from a file the columns and types that it should have, or raises
    ``ValueError``; so does ``check_values`` for a row's wrong values. (One among many hides none of the
    others: compacted files are looked at by ``python -m swis.results check``.) Of rows with one name that
    with the greatest value of the column ``rank`` counts, and of these the one written last. Texts in the
    columns ``repeated`` are read as dictionaries.
    """

    folder: Path
    name: str
    order: tuple[str, ...]
    conform: Callable[[pa.Table], pa.Table]
    check_values: Callable[[pa.Table], None] = lambda rows: None
    rank: str | None = None
    repeated: tuple[str, ...] = ()

    def path(self, name: str) -> Path:
        """Return where the single file of a row is."""
        return self.folder / f"{name}.parquet"

    def locked(self) -> AbstractContextManager[bool]:
        """Keep other processes from writing here."""
        return locked(self.folder / "_writing.lock")

    def write(self, name: str, row: pd.DataFrame, unless: Callable[[], bool] = lambda: False) -> None:
        """Write a row, a table of one, into its file, ``unless`` that is so then; raise ``CannotWrite``."""
        with self.locked():
            if not unless():
                write_atomically(self.path(name), lambda partial: write_table(row, partial))

    def find(self, name: str) -> Iterator[pa.Table]:
        """Yield the rows of a name as tables of one, the one written last first.

        Damaged files are set aside. Raises ``InputError`` for a file that may not be read.
        """
        for path in chain([self.path(name)], self.compacted()):
            try:
                row = self._one_of_many(path, name) if is_compacted(path) else self._read(path)
            except FileNotFoundError:  # it was compacted meanwhile
                continue
            except Damaged as error:
                set_aside(path, str(error))
                continue
            if row is not None:
                yield row

    def scan(self, thorough: bool = False) -> Found:
        """Read all rows, of each name the one that counts; ``thorough``: check values of compacted ones too.

        Raises ``InputError`` for a file that may not be read.
        """
        tables, files, damaged = [], [], {}
        for path in chain(self.singles(), self.compacted()):
            try:
                tables.append(self._read(path, thorough))
                files.append(path)
            except FileNotFoundError:  # it was compacted meanwhile
                continue
            except Damaged as error:
                damaged[path] = str(error)
            if len(tables) == _BATCH:
                tables = [_joined(tables).combine_chunks()]
        return Found(self._best(_joined(tables)) if tables else None, files, damaged)

    def singles(self) -> list[Path]:
        """List the files of one row each."""
        return [path for path in _listed(self.folder, "*.parquet") if not is_compacted(path)]

    def compacted(self) -> Iterator[Path]:
        """Yield compacted files, the last one first, and those that are put in place of some meanwhile."""
        seen: list[Path] = []
        listed: list[Path] | None = None
        while listed != (now := _listed(self.folder, f"{COMPACTED}*.parquet")):
            yield from (path for path in reversed(now) if path not in seen)
            seen, listed = [*seen, *now], now

    def _best(self, rows: pa.Table) -> pa.Table:
        """Leave of rows with one name, the last written first, only the one that counts."""
        if pc.count_distinct(rows[self.name]).as_py() < rows.num_rows:
            facts = rows.select(filter(None, [self.name, self.rank])).to_pandas()
            if self.rank is not None:
                facts = facts.sort_values(self.rank, ascending=False, kind="stable")
            rows = rows.take(pa.array(facts.drop_duplicates(self.name).index.sort_values()))
        return in_order(rows, self.order)

    def _read(self, path: Path, thorough: bool = False) -> pa.Table:
        """Read a file of one row, which is named as its file is, or a compacted one."""
        with reading(path):
            rows = self.conform(read_rows(path, self.repeated))
            if not is_compacted(path):
                if rows.num_rows != 1:
                    raise ValueError(f"has {rows.num_rows} rows, not one")
                if path.stem != (found := rows[self.name][0].as_py()):
                    raise ValueError(f"is not of what its name says, but of {found}")
            if thorough or not is_compacted(path):
                self.check_values(rows)
            return rows

    def _one_of_many(self, path: Path, name: str) -> pa.Table | None:
        """Read a row of a compacted file."""
        with reading(path):
            row = find_row(path, self.name, name, self.repeated)
            return None if row is None else self.conform(row)


def in_order(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Sort rows by columns, nulls last; what is in order already is not copied.

    >>> in_order(pa.table({"a": [2, None, 1]}), ["a"])["a"].to_pylist()
    [1, 2, None]
    """
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in columns])
    return rows if np.array_equal(order, np.arange(len(order))) else rows.take(order)


def is_compacted(path: Path) -> bool:
    """Say whether a file is one of many rows."""
    return path.name.startswith(COMPACTED)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="permissive")


def _listed(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern), key=lambda path: path.name)
