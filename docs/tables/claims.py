"""The paper's claims beside what the committed rows say."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.names import DESIGNS, FORMATS, NETWORKS
from swis.analysis.claims_table import scoreboard

_POINTS = "points"


@cache
def board(results: Path) -> pd.DataFrame:
    """Return the judged claims, a line for each."""
    return scoreboard(results)


def _value(line: pd.Series, name: str) -> str:
    value = line[name]
    return f"{value:+.1f} points" if line["unit"] == _POINTS else f"{value:.2f}x"


def _span(line: pd.Series, name: str) -> str:
    low, high = line[f"{name}_low"], line[f"{name}_high"]
    ends = f"{low:+.1f} to {high:+.1f}" if line["unit"] == _POINTS else f"{low:.2f} to {high:.2f}"
    return f"{_value(line, name)} ({ends})"


@table("make claims")
def claims(results: Path) -> pd.DataFrame:
    """The five claims of the paper's abstract, and what the committed rows say of them."""
    lines = board(results)
    names = FORMATS | DESIGNS
    verdicts = lines["verdict"].str.split("; ", expand=True)
    return pd.DataFrame(
        {
            "claim": lines["claim"],
            "paper": [_value(line, "paper") for _, line in lines.iterrows()],
            "ours, at equal care": [_span(line, "fair") for _, line in lines.iterrows()],
            "compared with": [names.get(name, name) for name in lines["against"]],
            "the claim": verdicts[0],
            "over plain weights": [_span(line, "over_plain") for _, line in lines.iterrows()],
            "SWIS is": verdicts[1],
        }
    ).set_index("claim")


@table("make claims")
def claims_short(results: Path) -> pd.DataFrame:
    """The claims of the paper's abstract in short, as README.md has them."""
    lines, names = board(results), FORMATS | DESIGNS
    rows = []
    for _, line in lines.iterrows():
        claim, beside = line["verdict"].split("; ")
        against = names.get(line["against"], line["against"])
        rows.append(
            {
                "The paper claims": line["claim"],
                "paper": _value(line, "paper"),
                "our best case": _value(line, "most"),
                "our fair comparison": f"{_span(line, 'fair')} over {against}",
                "verdict": f"{claim}; {beside}: {_value(line, 'over_plain')}",
            }
        )
    return pd.DataFrame(rows).set_index("The paper claims")


@table()
def claims_most(results: Path) -> pd.DataFrame:
    """The most that the rows show without equal care, and how: no such number is used for a verdict."""
    lines = board(results)
    return pd.DataFrame(
        {
            "claim": lines["claim"],
            "most": [_value(line, "most") for _, line in lines.iterrows()],
            "where": [_in_words(text) for text in lines["most_setting"]],
        }
    ).set_index("claim")


def _in_words(text: str) -> str:
    for name, written in (FORMATS | NETWORKS | DESIGNS).items():
        text = text.replace(f" {name}", f" {written}")
    return text


def commands(results: Path) -> set[str]:
    """Return all commands that make the rows behind the claims."""
    lines = board(results)
    return {
        command
        for name in ("most_command", "fair_command")
        for text in lines[name]
        for command in text.split("; ")
    }


@values
def claims_held(results: Path) -> dict[str, str]:
    lines = board(results).set_index("claim")
    first = lines.loc["accuracy over truncation, 4 bits, post-training"]
    found = lines["verdict"].str.split("; ").str[0].value_counts()
    return {
        "in_full": str(found.get("holds", 0)),
        "in_direction": str(found.get("in direction, not in size", 0)),
        "truncation_fair": f"{first['fair']:.1f}",
        "truncation_uniform": f"{first['over_plain']:+.1f}",
    }
