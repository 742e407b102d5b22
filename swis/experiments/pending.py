"""Which rows a run, or a point of a sweep, is to have, and which of them are there already."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from swis.experiments.config import Config
from swis.experiments.hardware_study import with_hardware
from swis.experiments.packed_study import prepare_packed
from swis.experiments.preflight import table_settings
from swis.experiments.study import formats, prepare
from swis.hardware.layer_shapes import read_workload
from swis.options.option import Part, of_part, renamed
from swis.results import records
from swis.runtime.files import check_output


@dataclass(frozen=True)
class PlannedRow:
    """A row of results: its name and method, whether it is there, and whether it needs no work any more."""

    key: str
    method: str
    there: bool
    done: bool


@dataclass
class Point:
    """One configuration of a sweep: its overrides, what is swept in it, and its rows or its error."""

    overrides: list[str]
    label: str
    config: Config | None = None
    rows: list[PlannedRow] = field(default_factory=list)
    has_table: bool = False  # of a task that makes no rows
    error: str | None = None

    @property
    def to_do(self) -> bool:
        """Whether it must run: it is right, and a row or its table is missing."""
        done = all(row.done for row in self.rows) if self.rows else self.has_table
        return self.error is None and not done


def planned(config: Config, finished: Collection[str]) -> list[PlannedRow]:
    """Return the rows of a configuration in their order; ``finished``: the keys of rows without failure.

    A row is done when its hardware result is there as well. Raises ``InputError`` as the run itself
    would.
    """
    if config.weights is not None:
        study = prepare_packed(config)
        there = study.key in finished and not config.force
        return [PlannedRow(study.key, study.packed.fmt.name, there, there)]
    study = prepare(config)
    rows = [(study.key(fmt), fmt) for fmt in formats(config)]
    there = {fmt for key, fmt in rows if key in finished and not config.force}
    done = there & with_hardware(config, study) if there else there
    return [PlannedRow(key, fmt.name, fmt in there, fmt in done) for key, fmt in rows]


def is_old(created: str, config: Config) -> bool:
    """Say whether ``force`` computes a row anew that was created then: all but those of its own sweep.

    >>> from swis.experiments.config import load
    >>> is_old("2026-01-01T00:00:00+00:00", load()), is_old("2026-01-01T00:00:00+00:00", load(["force=true"]))
    (False, True)
    """
    if not config.force:
        return False
    return config.sweep_started is None or pd.Timestamp(created).timestamp() < config.sweep_started


def has_table(config: Config) -> bool:
    """Say whether a task that makes a table in place of rows has made it, with the same settings and files.

    Raises ``InputError`` if another file is in its place, or for a workload that cannot be read.
    """
    if config.workload is not None:
        read_workload(config.workload)
    if config.out is None:
        return False
    path, now = Path(config.out), table_settings(config)
    if not config.force and config.does.makes_table:
        written = _completed(records.config_of_table(path) or {}, config)
        written.setdefault("files", now["files"])  # older tables do not say it
        for settings in (now, written):
            settings.get("data", {}).pop("workers", None)
        without_part = of_part(config, Part.run, *([] if config.does.simulates else [Part.hardware]))
        if all(written.get(name) == now[name] for name in now.keys() - without_part):
            return True
    check_output(path, config.force)
    return False


def _completed(written: dict[str, Any], like: Any) -> dict[str, Any]:
    """Give a written configuration the options' present names, and those that are younger than it.

    Those were as by default.
    """
    whole = renamed(written, like)
    for known in fields(like):
        if known.name in whole and is_dataclass(getattr(like, known.name)):
            whole[known.name] = _completed(whole[known.name], getattr(like, known.name))
        elif written and known.name not in whole and known.default is not MISSING:
            whole[known.name] = known.default
    return json.loads(json.dumps(whole))


def listed(rows: list[PlannedRow]) -> str:
    """Say of every row whether it is done, or lacks its hardware result alone.

    >>> listed([PlannedRow("a", "float", True, True), PlannedRow("b", "swis", True, False)])
    'float done, swis hardware to do'
    """

    def state(row: PlannedRow) -> str:
        return "done" if row.done else "hardware to do" if row.there else "to do"

    return ", ".join(f"{row.method} {state(row)}" for row in rows)
