"""What a sweep says before and after: points and rows, done, failed and missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from swis.errors import CannotWrite, InputError, RunFailed
from swis.plan import Point, listed
from swis.records import load_table

# A table of more points is for pandas.
_SHOWN = 40


def dry_run(points: Sequence[Point]) -> str:
    """List the rows of every point, and count them."""
    lines = [f"{point.label}: {listed(point.rows)}" for point in points if not point.error]
    rows = {row.key: row.done for point in points for row in point.rows}
    done = sum(rows.values())
    return "\n".join(
        [*lines, f"{len(rows)} rows of {len(lines)} points: {done} done, {len(rows) - done} to do"]
    )


def outcome(
    points: Sequence[Point],
    ran: Sequence[Point],
    returned: Sequence[str | Exception],
    stopped: str | None,
    logs: str,
) -> tuple[str, str]:
    """Return the report of a sweep, and its problems, in a line, if there are any.

    ``ran``: the points that were launched; ``returned``: their reports or exceptions, none if the launcher
    stopped before.
    """
    errors, texts = _errors_and_texts(ran, returned)
    problems = [f"the launcher stopped: {stopped}"] if stopped else []
    problems += errors
    if refused := [str(made) for made in returned if isinstance(made, CannotWrite)]:
        problems.append(refused[0] if len(refused) == 1 else f"{refused[0]} (and {len(refused) - 1} more)")
    lines = texts
    if rowed := [point for point in points if point.rows]:
        rows = _rows(rowed)
        done = {row.key: row.done for point in rowed for row in point.rows}
        names = {}
        for point in rowed:
            for row in point.rows:
                names.setdefault(row.key, f"{point.label} {row.method}".strip())
        failed = rows.index[rows["status"] == "failed"]
        missing = [key for key in done if key not in rows.index]
        problems += [f"{names[key]}: {rows.at[key, 'error'].splitlines()[-1]}" for key in failed]
        problems += [f"{len(missing)} rows are missing; the same command goes on"] if missing else []
        where = " and ".join(dict.fromkeys(point.config.results_dir for point in rowed))
        computed = len(done) - sum(done.values()) - len(missing)
        counts = f"{len(done)} rows of {len(rowed)} points in {where}: {computed - len(failed)} computed"
        lines = [
            _accuracies(rowed, rows),
            f"{counts}, {sum(done.values())} there before, {len(failed)} failed",
        ]
    if ran:
        lines.append(f"logs of {len(ran)} points in {logs}")
    return "\n\n".join(filter(None, lines)), "; ".join(dict.fromkeys(problems))


def _errors_and_texts(
    ran: Sequence[Point], returned: Sequence[str | Exception]
) -> tuple[list[str], list[str]]:
    """Return the errors of jobs, which rows do not tell, and the reports of those that make no rows."""
    errors, texts = [], []
    for point, made in zip(ran, returned, strict=False):
        if isinstance(made, CannotWrite) or (isinstance(made, RunFailed) and point.rows):
            continue  # said once for all points; said by its rows
        if isinstance(made, InputError | RunFailed):
            errors.append(point.says(str(made)))
        elif isinstance(made, Exception):
            errors.append(point.says(f"{type(made).__name__}: {made}".splitlines()[0]))
        elif not point.rows:
            texts.append(f"{point.label}\n{made}")
    return errors, texts


def _rows(points: Sequence[Point]) -> pd.DataFrame:
    """Return the rows of points, by key."""
    folders = dict.fromkeys(point.config.results_dir for point in points)
    rows = pd.concat([load_table(folder) for folder in folders if Path(folder).is_dir()])
    keys = {row.key for point in points for row in point.rows}
    return rows[rows["key"].isin(keys)].drop_duplicates("key").set_index("key")


def _accuracies(points: Sequence[Point], rows: pd.DataFrame) -> str:
    """Format top-1 of every point and method."""
    if len(points) > _SHOWN:
        return ""
    top1 = rows["top1"].to_dict()
    lines = {
        point.label or "top-1 %": {row.method: top1.get(row.key) for row in point.rows} for point in points
    }
    table = pd.DataFrame.from_dict(lines, orient="index").rename(columns={"base": "8-bit"})
    return f"top-1 %\n{table.map('{:.2f}'.format, na_action='ignore').to_string(na_rep='-')}"
