"""The reports of a sweep before and after it runs: points and rows, done, failed and missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from swis.errors import CannotWrite, InputError, RunFailed, message_of
from swis.experiments.pending import Point, is_old, listed
from swis.formats.int8 import Int8
from swis.results.rows import all_rows

# With more points than this no table of accuracies is printed.
_SHOWN = 40
# Number of points that are named for the same error, at most.
_NAMED = 10


@dataclass(frozen=True)
class Launched:
    """The launched points and their results.

    ``returned`` has the reports or exceptions of the points. It ends early if the launcher ``stopped``; then
    that is the reason, else None.
    """

    points: Sequence[Point]
    returned: Sequence[str | Exception]
    stopped: str | None


def dry_run(points: Sequence[Point], minutes: float | None) -> str:
    """List and count the rows of all points; ``minutes`` is the experiment's duration, or None."""
    valid = [point for point in points if not point.error]
    lines = [
        f"{point.label}: {listed(point.rows) or ('to do' if point.to_do else 'done')}" for point in valid
    ]
    rows = {row.key: row.done for point in valid for row in point.rows}
    dones = list(rows.values()) or [not point.to_do for point in valid]
    what = f"{len(rows)} rows of {len(valid)} points" if rows else f"{len(valid)} points"
    whole = f"; the whole experiment takes about {minutes:g} minutes on 2 cores" if minutes else ""
    return "\n".join([*lines, f"{what}: {sum(dones)} done, {len(dones) - sum(dones)} to do{whole}"])


def each_once(messages: Iterable[tuple[Point, str]]) -> list[str]:
    """Return a line per message, with the labels of all points that have this message."""
    labels_of: dict[str, list[str]] = {}
    for point, text in messages:
        labels_of.setdefault(text, []).append(point.label)
    lines = []
    for text, labels in labels_of.items():
        more = f" (and {len(labels) - _NAMED} more points)" if len(labels) > _NAMED else ""
        lines.append(": ".join(filter(None, ["; ".join(labels[:_NAMED]), text])) + more)
    return lines


def outcome(points: Sequence[Point], launched: Launched, logs: str) -> tuple[str, str]:
    """Return the report of a sweep, and its problems in one line (empty if there are none)."""
    rowed = [point for point in points if point.rows]
    rows = _rows(rowed)
    failed = rows.index[rows["status"] == "failed"]
    errors, lines = _errors_and_texts(launched, set(failed))
    problems = [f"the launcher stopped: {launched.stopped}"] if launched.stopped else []
    problems += errors
    if refused := [str(made) for made in launched.returned if isinstance(made, CannotWrite)]:
        problems.append(refused[0] if len(refused) == 1 else f"{refused[0]} (and {len(refused) - 1} more)")
    if made := [point for point in points if point.has_table]:
        lines.append(f"{len(made)} of {len(points)} tables existed before")
    if rowed:
        there = {row.key: row.there for point in rowed for row in point.rows}
        names = {}
        for point in rowed:
            for row in point.rows:
                names.setdefault(row.key, f"{point.label} {row.method}".strip())
        missing = [key for key in there if key not in rows.index]
        done = rows[rows["status"] == "ok"]
        old = [key for key in done.index if is_old(done.at[key, "created"], rowed[0].config)]
        problems += [f"{names[key]}: {rows.at[key, 'error'].splitlines()[-1]}" for key in failed]
        problems += [f"{len(missing)} rows are missing; run the same command again"] if missing else []
        problems += [f"{len(old)} rows were not computed again"] if old else []
        where = " and ".join(dict.fromkeys(point.config.results_dir for point in rowed))
        before = sum(there.values()) + len(old)
        computed = len(there) - before - len(missing) - len(failed)
        counts = f"{len(there)} rows of {len(rowed)} points in {where}: {computed} computed"
        lines += [
            _accuracies(rowed, rows),
            f"{counts}, {before} existed before, {len(failed)} failed",
        ]
    if launched.points:
        lines.append(f"logs of {len(launched.points)} points in {logs}")
    return "\n\n".join(filter(None, lines)), "; ".join(dict.fromkeys(problems))


def _errors_and_texts(launched: Launched, failed: set[str]) -> tuple[list[str], list[str]]:
    """Return the errors of jobs that are not in ``failed`` rows, and the reports of points without rows."""
    errors, texts = [], []
    for point, made in zip(launched.points, launched.returned, strict=False):
        known = isinstance(made, RunFailed) and any(row.key in failed for row in point.rows)
        if known or isinstance(made, CannotWrite):  # the latter is reported once for all points
            continue
        if isinstance(made, InputError | RunFailed):
            errors.append((point, message_of(made)))
        elif isinstance(made, Exception):
            errors.append((point, f"{type(made).__name__}: {made}".splitlines()[0]))
        elif not point.rows:
            texts.append(f"{point.label}\n{made}")
    return each_once(errors), texts


def _rows(points: Sequence[Point]) -> pd.DataFrame:
    """Return the rows of points, with their keys as the index."""
    folders = dict.fromkeys(point.config.results_dir for point in points)
    tables = [all_rows(Path(folder))[0] for folder in folders]
    rows = pd.concat(tables) if tables else pd.DataFrame(columns=["key", "status"])
    keys = {row.key for point in points for row in point.rows}
    return rows[rows["key"].isin(keys)].drop_duplicates("key").set_index("key")


def _accuracies(points: Sequence[Point], rows: pd.DataFrame) -> str:
    """Format the top-1 accuracy of every point and method; empty for many points."""
    if len(points) > _SHOWN:
        return ""
    top1 = rows["top1"].to_dict()
    lines = {
        point.label or "top-1 %": {row.method: top1.get(row.key) for row in point.rows} for point in points
    }
    table = pd.DataFrame.from_dict(lines, orient="index").rename(columns={Int8.name: Int8().label})
    return f"top-1 %\n{table.map('{:.2f}'.format, na_action='ignore').to_string(na_rep='-')}"
