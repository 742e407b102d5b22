"""A store of named rows on disk: each row is in its own file, or in a compacted file with many rows.

A process that writes or compacts files holds the lock of their folder, so no row changes while it is
compacted. A process that reads needs no lock: a file is deleted only after its rows are in a newer compacted
file, and readers look into compacted files last.
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

# The names of compacted files start with this, and go on with a time that orders them.
COMPACTED = "rows-"
# Number of tables that are joined at a time: many tables of one row take much memory.
_BATCH = 1000


@dataclass(frozen=True)
class Found:
    """The rows of a store, the files that they are from, and the damaged files with the reason for each."""

    rows: pa.Table | None
    files: list[Path]
    damaged: dict[Path, str]

    @property
    def count(self) -> int:
        return 0 if self.rows is None else self.rows.num_rows


@dataclass(frozen=True)
class Store:
    """The rows of one kind in a folder.

    * ``name``: the column with a row's name, which is also the name of its single-row file.
    * ``order``: the columns that sort a table.
    * ``conform``: gives a table from a file its columns and types, or raises ``ValueError``.
    * ``check_values``: raises ``ValueError`` for a value that is not allowed. Only files of single rows are
      always checked, so that a bad row in a compacted file does not hide the others;
      ``python -m swis.results check`` checks these too.
    * ``rank``: of rows with the same name, the one with the greatest value of this column counts, and of
      these the one written last.
    * ``repeated``: columns of texts that are read as dictionaries.
    """

    folder: Path
    name: str
    order: tuple[str, ...]
    conform: Callable[[pa.Table], pa.Table]
    check_values: Callable[[pa.Table], None] = lambda rows: None
    rank: str | None = None
    repeated: tuple[str, ...] = ()

    def path(self, name: str) -> Path:
        """Return the path of a row's own file."""
        return self.folder / f"{name}.parquet"

    def locked(self) -> AbstractContextManager[bool]:
        """Lock the folder, so that no other process writes to it."""
        return locked(self.folder / "_writing.lock")

    def write(self, name: str, row: pd.DataFrame, unless: Callable[[], bool] = lambda: False) -> None:
        """Write a table of one row to its own file, except if ``unless`` returns true under the lock.

        Raises ``CannotWrite``.
        """
        with self.locked():
            if not unless():
                write_atomically(self.path(name), lambda partial: write_table(row, partial))

    def find(self, name: str) -> Iterator[pa.Table]:
        """Yield all rows with a name, each as a table of one row, the newest first.

        Damaged files are set aside. Raises ``InputError`` for a file without permission to read.
        """
        for path in chain([self.path(name)], self.compacted()):
            try:
                row = self._one_of_many(path, name) if is_compacted(path) else self._read(path)
            except FileNotFoundError:  # another process compacted it meanwhile
                continue
            except Damaged as error:
                set_aside(path, str(error))
                continue
            if row is not None:
                yield row

    def scan(self, thorough: bool = False) -> Found:
        """Read all rows, one per name; ``thorough`` checks the values in compacted files too.

        Raises ``InputError`` for a file without permission to read.
        """
        tables, files, damaged = [], [], {}
        for path in chain(self.singles(), self.compacted()):
            try:
                tables.append(self._read(path, thorough))
                files.append(path)
            except FileNotFoundError:  # another process compacted it meanwhile
                continue
            except Damaged as error:
                damaged[path] = str(error)
            if len(tables) == _BATCH:
                tables = [_joined(tables).combine_chunks()]
        return Found(self._best(_joined(tables)) if tables else None, files, damaged)

    def singles(self) -> list[Path]:
        """List the files of single rows."""
        return [path for path in _listed(self.folder, "*.parquet") if not is_compacted(path)]

    def compacted(self) -> Iterator[Path]:
        """Yield the compacted files, the newest first, and then those that replace some meanwhile."""
        seen: list[Path] = []
        listed: list[Path] | None = None
        while listed != (now := _listed(self.folder, f"{COMPACTED}*.parquet")):
            yield from (path for path in reversed(now) if path not in seen)
            seen, listed = [*seen, *now], now

    def _best(self, rows: pa.Table) -> pa.Table:
        """Return one row per name; ``rows`` have the newest row of each name first."""
        if pc.count_distinct(rows[self.name]).as_py() < rows.num_rows:
            facts = rows.select(filter(None, [self.name, self.rank])).to_pandas()
            if self.rank is not None:
                facts = facts.sort_values(self.rank, ascending=False, kind="stable")
            rows = rows.take(pa.array(facts.drop_duplicates(self.name).index.sort_values()))
        return in_order(rows, self.order)

    def _read(self, path: Path, thorough: bool = False) -> pa.Table:
        """Read a file of a single row, whose name is that of the file, or a compacted file."""
        with reading(path):
            rows = self.conform(read_rows(path, self.repeated))
            if not is_compacted(path):
                if rows.num_rows != 1:
                    raise ValueError(f"has {rows.num_rows} rows instead of one")
                if path.stem != (found := rows[self.name][0].as_py()):
                    raise ValueError(f"has the row {found}, not the row of the file's name")
            if thorough or not is_compacted(path):
                self.check_values(rows)
            return rows

    def _one_of_many(self, path: Path, name: str) -> pa.Table | None:
        """Read one row of a compacted file; return None if the file does not have it."""
        with reading(path):
            row = find_row(path, self.name, name, self.repeated)
            return None if row is None else self.conform(row)


def in_order(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Sort rows by columns, nulls last; rows that are in order are returned without a copy.

    >>> in_order(pa.table({"a": [2, None, 1]}), ["a"])["a"].to_pylist()
    [1, 2, None]
    """
    order = pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in columns])
    return rows if np.array_equal(order, np.arange(len(order))) else rows.take(order)


def is_compacted(path: Path) -> bool:
    """Return whether a file is a compacted one, with many rows."""
    return path.name.startswith(COMPACTED)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="permissive")


def _listed(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern), key=lambda path: path.name)
