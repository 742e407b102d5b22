"""Which rows a run, or a point of a sweep, is to have, and which of them are there already."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from swis.config import Config
from swis.hardware_study import has_lines
from swis.packed_study import prepare_packed
from swis.study import formats, prepare


@dataclass(frozen=True)
class PlannedRow:
    """A row of results: its name, its method, and whether it needs no work any more."""

    key: str
    method: str
    done: bool


@dataclass
class Point:
    """One configuration of a sweep: its overrides, what is swept in it, and its rows or its error."""

    overrides: list[str]
    label: str
    config: Config | None = None
    rows: list[PlannedRow] = field(default_factory=list)
    error: str | None = None

    @property
    def to_do(self) -> bool:
        """Whether it must run: it is right, and a row is missing, or it makes none."""
        return self.error is None and not (self.rows and all(row.done for row in self.rows))

    def says(self, text: str) -> str:
        """Return a line about it, which starts with what is swept."""
        return f"{self.label}: {text}" if self.label else text


def planned(config: Config, finished: Collection[str]) -> list[PlannedRow]:
    """Return the rows of a configuration in their order; ``finished``: the keys of rows without failure.

    A row is done when its lines of hardware are there as well. Raises ``InputError`` as the run itself
    would.
    """
    if config.weights is not None:
        study = prepare_packed(config)
        return [PlannedRow(study.key, study.packed.form.method, study.key in finished and not config.force)]
    study = prepare(config)
    rows = [(study.key(form), form) for form in formats(config)]
    done = {form for key, form in rows if key in finished and not config.force}
    if done:
        done &= has_lines(config, study)
    return [PlannedRow(key, form.method, form in done) for key, form in rows]


def listed(rows: list[PlannedRow]) -> str:
    """Say of every row whether it is done.

    >>> listed([PlannedRow("a", "float", True), PlannedRow("b", "swis", False)])
    'float done, swis to do'
    """
    return ", ".join(f"{row.method} {'done' if row.done else 'to do'}" for row in rows)
