"""Lines on disk by name, each in a file of its own, or many compacted into one file.

A line moves one way: FOLDER/NAME.parquet -> FOLDER/_compacting -> FOLDER/rows-TOKEN.parquet, and leaves a
place only when it is whole in the next one. Who looks there in this order finds it, whatever other processes
do meanwhile and wherever they are killed. File names in the last two places are never given again, so that
what was read can be deleted by name; a line that is written anew is a new single file, which comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from swis.results.line_files import Damaged, read_line, read_lines, reading, set_aside

# How the names of compacted files start, and where single files wait to be compacted.
COMPACTED, WAITING = "rows-", "_compacting"
# Single files that are joined at a time: tables of one line take much memory.
_BATCH = 1000


@dataclass(frozen=True)
class Found:
    """Lines, the files that they are from, and what is wrong with other files."""

    lines: pa.Table | None
    files: list[Path]
    damaged: dict[Path, str]


@dataclass(frozen=True)
class Store:
    """Lines of one kind in a folder.

    ``name`` is the column with a line's name; single files without it have the name that ``called`` finds in
    their line. A file that is named otherwise than its line is a damaged one. ``conform`` gives
    a table from a file the columns and types that it should have, or raises ``ValueError``; ``faults`` says
    of lines, by their place in a table, which values are wrong. Of lines with one name the last in the order
    of the columns ``better`` counts, where "place" says how early it is found. Compacted files are in the
    ``order`` of these columns. Texts in the columns ``repeated`` are read as dictionaries.
    """

    folder: Path
    name: str
    conform: Callable[[pa.Table], pa.Table]
    faults: Callable[[pa.Table], dict[int, str]]
    better: tuple[str, ...]
    order: tuple[str, ...]
    repeated: tuple[str, ...] = ()
    called: Callable[[pa.Table], str] | None = None

    def path(self, name: str) -> Path:
        """Return where the single file of a line is."""
        return self.folder / f"{name}.parquet"

    def find(self, name: str) -> Iterator[pa.Table]:
        """Yield the lines of a name, a table for every place, single files first; later lines are last.

        Damaged files are set aside. Raises ``InputError`` for a file that may not be read.
        """

        def checked(path: Path) -> pa.Table:
            line = self._single(path)
            if wrong := self.faults(line):
                raise Damaged(wrong[0])
            return line

        def compacted(path: Path) -> pa.Table | None:
            with reading(path):
                line = read_line(path, self.name, name, self.repeated)
                return None if line is None else self.conform(line)

        for listed, read in (
            (lambda: [self.path(name)], checked),
            (lambda: [path for path in self._waiting() if _moved_name(path) == name], checked),
            (self._compacted, compacted),
        ):
            lines = []
            for path in listed():
                try:
                    lines.append(read(path))
                except FileNotFoundError:  # it has moved on
                    continue
                except Damaged as error:
                    set_aside(path, self.folder, str(error))
            if there := [line for line in lines if line is not None]:
                yield pa.concat_tables(there, promote_options="permissive")

    def scan(self, *, singles: bool = True, thorough: bool = False) -> Found:
        """Read all lines, of each name the one that counts; without ``singles`` those of other places.

        Values in compacted files were checked when these were written; they are again if ``thorough``.
        Raises ``InputError`` for a file that may not be read.
        """
        parts = list(self._parts(singles, thorough))
        tables = [(place, part.lines) for place, part in parts if part.lines is not None]
        files = [path for _, part in parts for path in part.files]
        damaged = {path: reason for _, part in parts for path, reason in part.damaged.items()}
        return Found(self._best(tables) if tables else None, files, damaged)

    def _parts(self, singles: bool, thorough: bool) -> Iterator[tuple[int, Found]]:
        """Yield all lines with the place they are in: 2 for single files, 1 for waiting, 0 for compacted."""
        for place, listed in ((2, self.singles), (1, self._waiting)):
            paths = listed() if singles or place < 2 else []
            for start in range(0, len(paths), _BATCH):
                yield place, self._gather(paths[start : start + _BATCH], self._single, check=True)
        for path in self._compacted():
            yield 0, self._gather([path], self._many, check=thorough)

    def _gather(self, paths: Sequence[Path], read: Callable[[Path], pa.Table], check: bool) -> Found:
        """Read files, without those that are damaged or, on ``check``, have wrong values."""
        tables, damaged = {}, {}
        for path in paths:
            try:
                tables[path] = read(path)
            except FileNotFoundError:  # it has moved on
                continue
            except Damaged as error:
                damaged[path] = str(error)
        if not tables:
            return Found(None, [], damaged)
        lines = pa.concat_tables(tables.values(), promote_options="permissive")
        if len(tables) > 1:
            lines = lines.combine_chunks()
        if check and (wrong := self.faults(lines)):
            files = [path for path, table in tables.items() for _ in range(table.num_rows)]
            wrong = {files[place]: reason for place, reason in wrong.items()}
            lines = lines.filter(pa.array([path not in wrong for path in files]))
            tables = {path: table for path, table in tables.items() if path not in wrong}
            damaged |= wrong
        return Found(lines, list(tables), damaged)

    def _best(self, parts: Sequence[tuple[int, pa.Table]]) -> pa.Table:
        """Join tables of places, of lines with one name only the one that counts."""
        places, tables = zip(*parts, strict=True)
        lines = pa.concat_tables(tables, promote_options="permissive")
        if pc.count_distinct(lines[self.name]).as_py() < lines.num_rows:
            columns = [self.name, *(column for column in self.better if column != "place")]
            place = np.repeat(places, [table.num_rows for table in tables])
            facts = lines.select(columns).to_pandas().assign(place=place)
            best = facts.sort_values([*self.better], kind="stable").drop_duplicates(self.name, keep="last")
            lines = lines.take(pa.array(best.index.sort_values()))
        return in_order(lines, self.order)

    def _single(self, path: Path) -> pa.Table:
        """Read a file of one line, whichever of two places it is in."""
        with reading(path):
            line = self.conform(read_lines(path, self.repeated))
            if line.num_rows != 1:
                raise ValueError(f"has {line.num_rows} lines, not one")
            if self.name not in line.column_names:
                line = line.append_column(self.name, pa.array([self.called(line)]))
            name = path.stem if path.parent == self.folder else _moved_name(path)
            if name != (found := line[self.name][0].as_py()):
                raise ValueError(f"is not of what its name says, but of {found}")
            return line

    def _many(self, path: Path) -> pa.Table:
        """Read a compacted file."""
        with reading(path):
            lines = self.conform(read_lines(path, self.repeated))
            if self.name not in lines.column_names:
                raise ValueError(f"has no column {self.name}")
            return lines

    def singles(self) -> list[Path]:
        """List the files of a line each that are not waiting to be compacted."""
        return [path for path in _listed(self.folder, "*.parquet") if not is_compacted(path)]

    def _waiting(self) -> list[Path]:
        return _listed(self.folder / WAITING, "*.parquet")

    def _compacted(self) -> Iterator[Path]:
        """Yield compacted files, also those that another process puts in place of some meanwhile."""
        seen: list[Path] = []
        listed: list[Path] | None = None
        while listed != (now := _listed(self.folder, f"{COMPACTED}*.parquet")):
            yield from (path for path in now if path not in seen)
            seen, listed = [*seen, *now], now


def in_order(lines: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Sort lines by columns, nulls last; what is in order already is not copied.

    >>> in_order(pa.table({"a": [2, None, 1]}), ["a"])["a"].to_pylist()
    [1, 2, None]
    """
    order = pc.sort_indices(lines, sort_keys=[(name, "ascending") for name in columns])
    return lines if np.array_equal(order, np.arange(len(order))) else lines.take(order)


def _listed(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern), key=lambda path: path.name)


def is_compacted(path: Path) -> bool:
    """Say whether a file is one of many lines."""
    return path.name.startswith(COMPACTED)


def _moved_name(path: Path) -> str:
    """Return the name of the line in a file that waits to be compacted, which has a token after it."""
    return path.stem.rpartition(".")[0]
