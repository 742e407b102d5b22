"""Tables of pandas as tables of a page."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from numbers import Real

import pandas as pd
from docutils import nodes

from docs.extension.numbers import Numbers

# Cells of so few letters stay on one line.
_SHORT = 20

Inline = Callable[[str], list[nodes.Node]]


def table_node(
    frame: pd.DataFrame, caption: list[nodes.Node], numbers: Numbers, inline: Inline
) -> nodes.table:
    """Return a table: a row per row, index first, names in several rows where columns have levels.

    ``inline`` reads a text's markup.
    """
    index = 0 if _without_names(frame.index) else frame.index.nlevels
    body = frame.reset_index() if index else frame
    levels = frame.columns.nlevels
    heads = [_levels(column, levels) for column in body.columns]
    group = nodes.tgroup(cols=len(heads))
    group += [nodes.colspec(colwidth=1) for _ in heads]
    group += nodes.thead("", *(_head(heads, level, inline) for level in range(levels)))
    columns = [" ".join(head) for head in heads]
    numeric = [_numeric(body.iloc[:, place]) for place in range(len(heads))]
    rows = [list(row) for row in body.itertuples(index=False, name=None)]
    spans = _spans(rows, index - 1)
    content = nodes.tbody()
    for number, row in enumerate(rows):
        line = nodes.row()
        for place, value in enumerate(row):
            below = spans.get((number, place), 1 if place < index - 1 else None)
            if below == 0:
                continue
            text = numbers.text(value, columns[place])
            # no stubs of docutils: below a cell of several rows they would be one column to the right
            marks = {"index": place < index, "number": numeric[place], "short": len(text) <= _SHORT}
            entry = nodes.entry(classes=[name for name, holds in marks.items() if holds])
            if below is not None and below > 1:
                entry["morerows"] = below - 1
            entry += nodes.paragraph("", "", *inline(text))
            line += entry
        content += line
    group += content
    made = nodes.table("", classes=["results"])
    if caption:
        made += nodes.title("", "", *caption)
    made += group
    return made


def _without_names(index: pd.Index) -> bool:
    return index.nlevels == 1 and index.name is None


def _levels(column: Hashable, levels: int) -> tuple[str, ...]:
    parts = column if isinstance(column, tuple) else (column,)
    return tuple(str(part) for part in (*parts, *[""] * (levels - len(parts))))


def _numeric(column: pd.Series) -> bool:
    return all(isinstance(value, Real) and not isinstance(value, bool) for value in column)


def _head(heads: Sequence[tuple[str, ...]], level: int, inline: Inline) -> nodes.row:
    """One row of names: a name over several columns is written once, in a wide cell."""
    row = nodes.row()
    for prefix, members in groupby(heads, key=lambda head: head[: level + 1]):
        entry = nodes.entry()
        width = len(list(members))
        if width > 1:
            entry["morecols"] = width - 1
        # names are broken at spaces alone
        entry += nodes.paragraph("", "", *inline(prefix[-1].replace("-", "\u2011")))
        row += entry
    return row


def _spans(rows: Sequence[Sequence[object]], leading: int) -> dict[tuple[int, int], int]:
    """How many rows each of the first columns' values goes on for; 0 where a value above does."""
    spans = {}
    for place in range(leading):
        start = 0
        for _, members in groupby(rows, key=lambda row, last=place: tuple(row[: last + 1])):
            count = len(list(members))
            spans[start, place] = count
            spans |= {(start + after, place): 0 for after in range(1, count)}
            start += count
    return spans
