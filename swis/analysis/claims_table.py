"""The table of the paper's claims and our values for them; python -m swis.analysis writes it."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from swis.analysis.claims import Evidence, Span, evidence
from swis.errors import InputError
from swis.runtime.files import write_atomically


def scoreboard(results: Path) -> pd.DataFrame:
    """Return a table with a row per claim: the fields of ``Evidence``, the verdict, and the commits of rows.

    The ends of a ``Span`` have their own columns, such as ``fair_low`` and ``fair_high``. The commits of
    ``fair_rows`` are the column ``fair_versions``. Raises ``InputError`` if rows are missing.
    """
    return pd.DataFrame([_line(found) for found in evidence(results)])


def _line(found: Evidence) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for field in fields(found):
        value = getattr(found, field.name)
        if isinstance(value, Span):
            line |= {
                field.name: value.value,
                f"{field.name}_low": value.low,
                f"{field.name}_high": value.high,
            }
        elif isinstance(value, pd.DataFrame):
            line[field.name.replace("rows", "versions")] = " ".join(sorted(set(value["git_commit"].str[:7])))
        else:
            line[field.name] = value
    return line | {"verdict": verdict(found)}


def verdict(found: Evidence) -> str:
    """Return the verdict on a claim, and that on SWIS over ``plain``, from the ranges of the values.

    A claim "holds" if the lower end reaches the paper's number; it is true "in direction, not in size" if the
    lower end is a gain, "on par" if the range includes no gain, and else "no". In the same way SWIS is "ahead
    of", "on par with" or "behind" what is ``plain``.
    """
    fair = _side(found.fair, found.no_gain, "in direction, not in size", "on par", "no")
    if found.fair.low >= found.paper:
        fair = "holds"
    return (
        f"{fair}; {_side(found.over_plain, found.no_gain, 'ahead of', 'on par with', 'behind')} {found.plain}"
    )


def _side(span: Span, no_gain: float, above: str, between: str, below: str) -> str:
    if span.low > no_gain:
        return above
    return below if span.high < no_gain else between


def markdown(table: pd.DataFrame) -> str:
    """Return the scoreboard as a Markdown table."""
    names = [
        "claim",
        "paper",
        "our best case",
        "our fair comparison",
        "compared with",
        "over the simplest alternative",
        "verdict",
    ]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for line in table.to_dict("records"):
        points = line["unit"] == "points"
        one, unit = ("{:+.1f}", " points") if points else ("{:.2f}", "x")

        def text(name: str, line: dict = line, one: str = one, unit: str = unit) -> str:
            ends = [line.get(f"{name}_{end}") for end in ("low", "high")]
            span = "" if None in ends else f" ({one.format(ends[0])} to {one.format(ends[1])})"
            return f"{one.format(line[name])}{unit}{span}"

        cells = [line["claim"], f"up to {line['paper']:g}{unit}", text("most"), text("fair"), line["against"]]
        lines.append(f"| {' | '.join([*cells, text('over_plain'), line['verdict']])} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Write RESULTS/claims.csv and print the table; return exit status 0, or 2 if rows are missing."""
    results = Path(arguments[0] if arguments else "results")
    try:
        table = scoreboard(results)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    path = results / "claims.csv"
    write_atomically(path, lambda partial: table.to_csv(partial, index=False, float_format="%.4g"))
    print(f"{markdown(table)}\n\nwritten to {path}")
    return 0
