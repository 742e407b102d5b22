"""The rows that a run or a point of a sweep makes, and which of them exist already."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from swis.experiments.config import Config
from swis.experiments.row_names import Memory, RowNames


@dataclass(frozen=True)
class PlannedRow:
    """A row of results: its key and method, whether it exists, and whether it needs no more work."""

    key: str
    method: str
    there: bool
    done: bool


@dataclass
class Point:
    """One configuration of a sweep: its overrides, its swept values as a label, and its rows or its error."""

    overrides: list[str]
    label: str
    config: Config | None = None
    rows: list[PlannedRow] = field(default_factory=list)
    has_table: bool = False  # whether a task that makes a table instead of rows has made it
    error: str | None = None

    @property
    def to_do(self) -> bool:
        """Whether the point must run: it is valid, and a row or its table is missing."""
        done = all(row.done for row in self.rows) if self.rows else self.has_table
        return self.error is None and not done


def planned(config: Config, finished: Collection[str]) -> list[PlannedRow]:
    """Return the rows of a configuration in order; ``finished`` has the keys of rows that did not fail.

    A row is done if its hardware result exists as well. Raises ``InputError`` as the run itself would.
    """
    if (rows := all_done(config, finished)) is not None:
        return rows
    # imported here, because finding finished rows does not need it and must be quick
    from swis.experiments.naming import named

    return _planned(named(config), config, finished)


def all_done(config: Config, finished: Collection[str]) -> list[PlannedRow] | None:
    """Return the rows of a configuration if all are done and their keys are cached, else None."""
    names = Memory.of(config).recall(config)
    rows = [] if names is None else _planned(names, config, finished)
    return rows if rows and all(row.done for row in rows) else None


def _planned(names: RowNames, config: Config, finished: Collection[str]) -> list[PlannedRow]:
    folder, rows = Path(config.results_dir), []
    for method, key in names.keys.items():
        there = key in finished and not config.force
        rows.append(PlannedRow(key, method, there, there and names.has_hardware(method, folder)))
    return rows


def is_old(created: str, config: Config) -> bool:
    """Return whether ``force`` computes a row again that was created then: if it is older than the sweep.

    >>> from swis.experiments.config import load
    >>> is_old("2026-01-01T00:00:00+00:00", load()), is_old("2026-01-01T00:00:00+00:00", load(["force=true"]))
    (False, True)
    """
    if not config.force:
        return False
    return config.sweep_started is None or pd.Timestamp(created).timestamp() < config.sweep_started


def listed(rows: list[PlannedRow]) -> str:
    """Return the state of every row as text: done, to do, or only its hardware result to do.

    >>> listed([PlannedRow("a", "float", True, True), PlannedRow("b", "swis", True, False)])
    'float done, swis hardware to do'
    """

    def state(row: PlannedRow) -> str:
        return "done" if row.done else "hardware to do" if row.there else "to do"

    return ", ".join(f"{row.method} {state(row)}" for row in rows)
