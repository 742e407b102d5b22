"""The paper's claims beside what the committed rows say."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.names import format_of
from swis.analysis.claims_table import scoreboard
from swis.plots.names import design_name, label_of, network_name

_POINTS = "points"
_IN_WORDS = ("none", "one", "two", "three", "four", "all")


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


def _paper(line: pd.Series) -> str:
    return f"up to {line['paper']:g}{' points' if line['unit'] == _POINTS else 'x'}"


def _ours(line: pd.Series) -> str:
    """Return our side of the fair comparison: a format, and the array that it runs on."""
    fmt = format_of(line["method"], line["bits"])
    return f"{design_name(line['design'])} ({fmt})" if line["design"] else fmt


def _rival(line: pd.Series) -> str:
    """Return what SWIS is compared with: formats in points, designs and bits in ratios."""
    return label_of(line["against"]) if line["unit"] == _POINTS else design_name(line["against"])


def _names(lines: pd.DataFrame) -> pd.Index:
    return pd.Index(lines["claim"], name="claim")


@table("make claims")
def claims(results: Path) -> pd.DataFrame:
    """Five claims of the paper, and what the committed rows say of them."""
    lines = board(results)
    columns = {
        "paper": [_paper(line) for _, line in lines.iterrows()],
        "our side": [_ours(line) for _, line in lines.iterrows()],
        "compared with": [_rival(line) for _, line in lines.iterrows()],
        "our fair comparison (range)": [_span(line, "fair") for _, line in lines.iterrows()],
        "verdict": list(lines["verdict"].str.split("; ").str[0]),
    }
    return pd.DataFrame(columns, _names(lines))


@table()
def claims_plain(results: Path) -> pd.DataFrame:
    """The same comparisons with the simplest alternative, which a practitioner would take instead."""
    lines = board(results)
    columns = {
        "simplest alternative": [label_of(name) for name in lines["plain"]],
        "SWIS over it (range)": [_span(line, "over_plain") for _, line in lines.iterrows()],
        "SWIS is": [
            text.split("; ")[1].removesuffix(f" {plain}")
            for text, plain in zip(lines["verdict"], lines["plain"], strict=True)
        ],
    }
    return pd.DataFrame(columns, _names(lines))


@table()
def claims_most(results: Path) -> pd.DataFrame:
    """Our best case, and where: the sides need not be calibrated alike. No verdict rests on these numbers."""
    lines = board(results)
    columns = {
        "our best case": [_value(line, "most") for _, line in lines.iterrows()],
        "where": [_in_words(text) for text in lines["most_setting"]],
    }
    return pd.DataFrame(columns, _names(lines))


def _in_words(text: str) -> str:
    """Return a setting with networks and designs by the names that people write.

    >>> _in_words("swis_c N=1 over laconic, resnet18")
    'SWIS-C array N=1 over Laconic, ResNet-18'
    """
    return re.sub(r"\w+", lambda word: design_name(network_name(word[0])), text)


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
        "in_full": _IN_WORDS[found.get("holds", 0)],
        "in_direction": _IN_WORDS[found.get("in direction, not in size", 0)],
        "truncation_fair": f"{first['fair']:.1f}",
    }
