"""The paper's claims beside what the committed rows say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from swis.analysis.claims_table import paper_text, scoreboard, span_text, value_text
from swis.plots.names import design_name, format_name, label_of, network_name

_IN_WORDS = ("none", "one", "two", "three", "four", "all")


@cache
def board(results: Path) -> pd.DataFrame:
    """Return the judged claims, a line for each."""
    return scoreboard(results)


def _shown(results: Path, texts: Mapping[str, Callable[[pd.Series], str]]) -> pd.DataFrame:
    """Return a table with a line for each claim, and a column for each text."""
    lines = board(results).set_index("claim", drop=False)
    return pd.DataFrame({name: lines.apply(text, axis=1) for name, text in texts.items()})


def _ours(line: pd.Series) -> str:
    """Return our side of the fair comparison: a format, and the array that it runs on."""
    fmt = format_name(line["method"], line["bits"])
    return f"{design_name(line['design'])} ({fmt})" if line["design"] else fmt


def _rival(line: pd.Series) -> str:
    """Return what SWIS is compared with: formats in points, designs and bits in ratios."""
    return label_of(line["against"]) if line["unit"] == "points" else design_name(line["against"])


def _beside_plain(line: pd.Series) -> str:
    return f"{line['beside_plain']} {label_of(line['plain'])}"


@table("make claims")
def claims_short(results: Path) -> pd.DataFrame:
    """Claims of the paper, and what our rows say of them."""
    texts = {
        "paper": paper_text,
        "our best case": lambda line: value_text(line, "most"),
        "our fair comparison": lambda line: f"{_ours(line)}, over {_rival(line)}: {span_text(line, 'fair')}",
        "verdict": lambda line: f"{line['verdict']}; {_beside_plain(line)}: {value_text(line, 'over_plain')}",
    }
    return _shown(results, texts).rename_axis("the paper claims")


@table("make claims")
def claims(results: Path) -> pd.DataFrame:
    """Five claims of the paper, and what the committed rows say of them."""
    texts = {
        "paper": paper_text,
        "our side": _ours,
        "compared with": _rival,
        "our fair comparison (range)": lambda line: span_text(line, "fair"),
        "verdict": lambda line: line["verdict"],
    }
    return _shown(results, texts)


@table()
def claims_plain(results: Path) -> pd.DataFrame:
    """The same comparisons with the simplest alternative, which a practitioner would take instead."""
    texts = {
        "simplest alternative": lambda line: label_of(line["plain"]),
        "SWIS over it (range)": lambda line: span_text(line, "over_plain"),
        "SWIS is": lambda line: line["beside_plain"],
    }
    return _shown(results, texts)


@table()
def claims_most(results: Path) -> pd.DataFrame:
    """Our best case, and where: the sides need not be calibrated alike. No verdict rests on these numbers."""
    texts = {
        "our best case": lambda line: value_text(line, "most"),
        "where": lambda line: _in_words(line["most_setting"]),
    }
    return _shown(results, texts)


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
    found = lines["verdict"].value_counts()
    return {
        "in_full": _IN_WORDS[found.get("holds", 0)],
        "in_direction": _IN_WORDS[found.get("in direction, not in size", 0)],
        "truncation_fair": f"{first['fair']:.1f}",
    }
