"""The table of the paper's claims and our values for them; python -m swis.analysis writes it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from swis.analysis.claims import Evidence, Span, evidence
from swis.errors import InputError
from swis.runtime.files import write_atomically


def scoreboard(results: Path) -> pd.DataFrame:
    """Return a table with a row per claim: the fields of ``Evidence``, verdicts, and the commits of rows.

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
    return line | {"verdict": verdict(found), "beside_plain": beside_plain(found)}


def verdict(found: Evidence) -> str:
    """Return the verdict on a claim, from the range of our fair comparison.

    A claim "holds" if the lower end reaches the paper's number; it is true "in direction, not in size" if the
    lower end is a gain, "on par" if the range includes no gain, and else "no".
    """
    if found.fair.low >= found.paper:
        return "holds"
    return _side(found.fair, found.no_gain, "in direction, not in size", "on par", "no")


def beside_plain(found: Evidence) -> str:
    """Say from the range whether SWIS is "ahead of", "on par with" or "behind" what is ``plain``."""
    return _side(found.over_plain, found.no_gain, "ahead of", "on par with", "behind")


def _side(span: Span, no_gain: float, above: str, between: str, below: str) -> str:
    if span.low > no_gain:
        return above
    return below if span.high < no_gain else between


def paper_text(line: Mapping[str, Any]) -> str:
    """Return what the paper claims, of a line of the scoreboard.

    >>> paper_text({"unit": "x", "paper": 6.0}), paper_text({"unit": "points", "paper": 54.3})
    ('up to 6x', 'up to 54.3 points')
    """
    return f"up to {line['paper']:g}{_unit(line)}"


def value_text(line: Mapping[str, Any], name: str) -> str:
    """Return a value of ours, of a line of the scoreboard.

    >>> value_text({"unit": "x", "most": 24.968}, "most"), value_text({"unit": "points", "most": 2.2}, "most")
    ('24.97x', '+2.2 points')
    """
    return f"{_number(line, line[name])}{_unit(line)}"


def span_text(line: Mapping[str, Any], name: str) -> str:
    """Return a value of ours and its range, of a line of the scoreboard.

    >>> span_text({"unit": "x", "fair": 1.42, "fair_low": 1.15, "fair_high": 1.78}, "fair")
    '1.42x (1.15 to 1.78)'
    """
    low, high = (_number(line, line[f"{name}_{end}"]) for end in ("low", "high"))
    return f"{value_text(line, name)} ({low} to {high})"


def _unit(line: Mapping[str, Any]) -> str:
    return " points" if line["unit"] == "points" else "x"


def _number(line: Mapping[str, Any], value: float) -> str:
    return f"{value:+.1f}" if line["unit"] == "points" else f"{value:.2f}"


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
        ours = [paper_text(line), value_text(line, "most"), span_text(line, "fair")]
        judged = f"{line['verdict']}; {line['beside_plain']} {line['plain']}"
        cells = [line["claim"], *ours, line["against"], span_text(line, "over_plain"), judged]
        lines.append(f"| {' | '.join(cells)} |")
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
