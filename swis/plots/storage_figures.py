"""Figures of weights alone: what formats store and what they lose, a table of storage in, axes out."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from swis.options.choices import Coding
from swis.plots.names import label_of
from swis.plots.style import INK, beside, looks_of, real_ticks

_CODINGS = {
    Coding.plain: {"linestyle": "-"},
    Coding.compact: {"linestyle": (0, (1, 0.9)), "markerfacecolor": "white"},
}


def bits_per_weight(table: pd.DataFrame, axes: Axes, named: bool = False) -> Axes:
    """Draw stored bits per weight of packed files over group size: plain coding solid, compact coding dotted.

    ``table``: one network's rows of storage. Formats differ in colour; curves of one number of
    shifts lie together and are ``named`` where they end.
    """
    for method, look in looks_of(table["method"]).items():
        mine = table[table["method"] == method].sort_values("group_size")
        for coding, changes in _CODINGS.items():
            style = look.line() | changes | {"linewidth": 1.4, "markersize": 3.5}
            for _, line in mine[mine["coding"] == coding].groupby("bits"):
                label = f"{label_of(method)}, {coding}"
                axes.plot(line["group_size"], line["weight_bits"], **style, label=label)
    axes.axhline(8, color=INK, linewidth=0.8, zorder=1, label="8-bit")
    axes.set(xscale="log")
    if named:
        last = table[table["group_size"] == table["group_size"].max()]
        for shifts, bits in last.groupby("bits")["weight_bits"].mean().items():
            beside(f"N = {shifts:g}", (last["group_size"].max(), bits), (6, 0), axes, INK, "left")
    return axes


def by_shifts(table: pd.DataFrame, column: str, axes: Axes, named: bool = False) -> Axes:
    """Draw a column of a table of storage over shifts, a line for every format and group size.

    ``table``: one network's rows of formats with groups. Lines are ``named`` by their group size where they
    end, of lines that end together the first format's.
    """
    ends: list[tuple[float, str, str]] = []
    room = 0.05 * (table[column].max() - table[column].min())
    for method, look in looks_of(table["method"]).items():
        for size, line in table[table["method"] == method].groupby("group_size"):
            mine = line.sort_values("bits")
            axes.plot(mine["bits"], mine[column], **look.line() | {"linewidth": 1.3}, label=label_of(method))
            end, name = mine[column].iloc[-1], f"M = {size}"
            if not any(other == name and abs(end - value) < room for value, other, _ in ends):
                ends.append((end, name, look.colour))
    place = -float("inf")
    for end, name, colour in sorted(ends) if named else ():
        place = max(end, place + room)
        beside(name, (table["bits"].max(), place), (6, 0), axes, colour, "left")
    real_ticks(axes, "x", sorted(table["bits"].unique()))
    return axes
