"""Figures of accelerators beside each other: fronts of accuracy and cost, and gains over baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from swis.analysis.trade_offs import on_swis_arrays, pareto_front
from swis.plots.names import design_name, format_name
from swis.plots.style import DARK, INK, LIGHT, MIDDLE, SWIS, beside, level, real_ticks

_ROOM = 0.5  # points between corners that are named


@dataclass(frozen=True)
class _Family:
    """How a family of designs is drawn, and where the names of its corners stand."""

    label: str
    colour: str
    shade: str
    marker: str
    prefix: str  # of the names of designs, which the label of the family says
    between: str  # the name of a design and that of a format
    apart: tuple[float, float]
    above: tuple[float, float]  # of the best corner, whose name is above both fronts
    side: str


_OTHERS = _Family("best of other designs", DARK, LIGHT, "s", "array ", "\n", (-6, 0), (-8, 14), "right")
_SWIS = _Family("best of SWIS arrays", SWIS, SWIS, "o", "SWIS ", ": ", (6, -8), (6, 8), "left")


def trade_off(table: pd.DataFrame, cost: str, axes: Axes) -> Axes:
    """Draw accuracy [points of top-1 above float] of formats on designs over a column of costs.

    ``table``: one network's rows of ``swis.analysis.trade_offs.with_accuracy``. SWIS arrays are one family,
    all others another, each with its front; the corners of the fronts are named.
    """
    ours, best = on_swis_arrays(table), -table["loss"].min()
    for family, mine in ((_OTHERS, table[~ours]), (_SWIS, table[ours])):
        axes.plot(mine[cost], -mine["loss"], family.marker, color=family.shade, markersize=3, zorder=2)
        front = pareto_front(mine, cost)
        dearest = front.tail(1).assign(**{cost: table[cost].max()})
        ends = pd.concat([front, dearest])
        line = {"color": family.colour, "linewidth": 1.6, "zorder": 3, "label": family.label}
        axes.step(ends[cost], -ends["loss"], where="post", **line)
        axes.plot(front[cost], -front["loss"], family.marker, color=family.colour, markersize=5, zorder=4)
        _name_corners(front, cost, family, best, axes)
    level(axes, 0.0)
    return axes


def _name_corners(front: pd.DataFrame, cost: str, family: _Family, best: float, axes: Axes) -> None:
    """Write at the corners of a front what they are, the cheapest first, as far as there is room."""
    named: list[Any] = []
    for line in front.itertuples():
        if all(abs(line.loss - other.loss) > _ROOM for other in named):
            named.append(line)
    for line in named:
        design = design_name(line.accelerator).removeprefix(family.prefix)
        text = f"{design}{family.between}{format_name(line.method, line.bits)}"
        height, apart = (best, family.above) if line is named[-1] else (-line.loss, family.apart)
        beside(text, (getattr(line, cost), height), apart, axes, family.colour, family.side)


def gains_over(table: pd.DataFrame, cause: str, gain: str, axes: Axes, usual: float) -> Axes:
    """Draw a column of gains over a column that causes them, both logarithmic, named where they differ most.

    ``table``: the rows of ``swis.analysis.trade_offs.advantage`` of one network, drawn as a line for every
    baseline in "over"; the one over which the gain is least stands out. ``usual`` is the value of the other
    figures.
    """
    lines = table.pivot(index=cause, columns="over", values=gain)
    end, left = _widest(lines)
    order = lines.loc[end].sort_values()
    places = _spread(order, float(lines.to_numpy().max()) ** 0.055)  # so much is a line of text
    apart, side = ((-6, 0), "right") if left else ((6, 0), "left")
    for number, (name, place) in enumerate(zip(order.index, places, strict=True)):
        colour, width = (MIDDLE, 1.0) if number else (INK, 2.2)
        line = {"color": colour, "linewidth": width, "marker": "o", "markersize": 3 + width / 2}
        axes.plot(lines.index, lines[name], **line, zorder=3 - 0.1 * number)
        beside(design_name(name), (end, place), apart, axes, colour, side)
    axes.axhline(1, color=INK, linewidth=0.8, zorder=1)
    axes.axvline(usual, color=LIGHT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    axes.set(xscale="log", yscale="log")
    real_ticks(axes, "x", lines.index)
    return axes


def _widest(lines: pd.DataFrame) -> tuple[float, bool]:
    """Return at which end of an index columns are furthest apart, and whether it is the first."""
    first, last = (lines.loc[end].max() / lines.loc[end].min() for end in (lines.index[0], lines.index[-1]))
    return (lines.index[0], True) if first > last else (lines.index[-1], False)


def _spread(ascending: Sequence[float], ratio: float) -> list[float]:
    """Return ascending values moved up as far as needed for none to be closer than a ratio to the next.

    >>> _spread([1.0, 1.05, 2.0], 1.1)
    [1.0, 1.1, 2.0]
    """
    found: list[float] = []
    for value in ascending:
        found.append(max(value, ratio * found[-1]) if found else value)
    return found
