"""Figures of accuracies: a table of rows in, matplotlib axes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MultipleLocator

from swis.formats.float32 import Float
from swis.formats.registry import formats
from swis.plots.names import label_of
from swis.plots.style import DARK, INK, MIDDLE, SMALL, Look, beside, level, looks_of

_HEAD: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": SMALL, "style": "italic"}


def line_with_intervals(
    x: Sequence[float], table: pd.DataFrame, look: Look, axes: Axes, label: str, column: str = "top1"
) -> None:
    """Draw a column of a table over ``x``, with bars between its columns "low" and "high" if it has them."""
    axes.plot(x, table[column], **look.line(), label=label)
    if "low" in table:
        bars = {"color": look.colour, "linewidth": 0.8, "zorder": look.order - 0.5}
        axes.vlines(x, table["low"], table["high"], **bars)


def top1_over(rows: pd.DataFrame, x: str, axes: Axes, column: str = "top1", apart: float = 0.0) -> Axes:
    """Draw top-1 [%] over a column, a line for every format, and the float row as a level.

    All rows are of one network; ``column`` has the accuracies. With columns "low" and "high" there are bars
    between them, which stand ``apart`` where formats have the same ``x``.
    """
    shown = rows[rows["method"] != Float.name].dropna(subset=x)
    looks = looks_of(shown["method"])
    for shift, (method, look) in zip(_spread(len(looks), apart), looks.items(), strict=True):
        mine = shown[shown["method"] == method].sort_values(x)
        line_with_intervals(mine[x] + shift, mine, look, axes, label_of(method), column)
    for value in rows.loc[rows["method"] == Float.name, column]:
        level(axes, value)
    axes.xaxis.set_major_locator(MultipleLocator(1))
    return axes


def outline(axes: Axes, x: tuple[float, float], y: tuple[float, float], text: str) -> None:
    """Mark the region of axes that another one shows enlarged, and say where."""
    (left, right), (low, high) = x, sorted(y)
    frame = {"facecolor": "none", "edgecolor": MIDDLE, "linewidth": 0.7, "zorder": 1}
    axes.add_patch(Rectangle((left, low), right - left, high - low, **frame))
    beside(text, (right, low), (-1, -7), axes, DARK, "right")


def published_points(points: pd.DataFrame, axes: Axes) -> Axes:
    """Draw by how many points networks are below their own float network, each with a text beside it.

    ``points``, from the top down: "label", "loss", "method", and "group", a text above those that go
    together. Formats look as everywhere, methods of others are rings.
    """
    top, places = 0.0, []
    for name, some in points.groupby("group", sort=False):
        axes.text(1, top, name, transform=axes.get_yaxis_transform(), **_HEAD)
        places += [top + 1 + number for number in range(len(some))]
        top = places[-1] + 1.5
    looks, most = looks_of(set(points["method"]) & set(formats())), points["loss"].max()
    for place, line in zip(places, points.itertuples(), strict=True):
        axes.plot(line.loss, place, **looks.get(line.method, Look(INK, "o", hollow=True)).marks())
        apart, side = ((-5, 0), "right") if line.loss > 0.8 * most else ((5, 0), "left")
        beside(line.label, (line.loss, place), apart, axes, INK, side)
    axes.set(ylim=(max(places) + 0.7, -0.7), yticks=[])
    axes.spines["left"].set_visible(False)
    return axes


def waterfall(steps: pd.DataFrame, of: str, reference: float, axes: Axes) -> Axes:
    """Draw what every step adds to one format's top-1 [%], from the top down, and where others stand.

    ``steps``: a row per step, a column of top-1 per format; the bars are ``of`` one, the others are marks.
    ``reference`` is the float network's top-1.
    """
    looks, places = looks_of(steps.columns), np.arange(len(steps))
    before = steps[of].shift(fill_value=0.0)
    axes.barh(places, steps[of] - before, 0.62, before, color=looks[of].colour, label=label_of(of))
    axes.vlines(steps[of][:-1], places[:-1], places[1:], color=looks[of].colour, linewidth=0.8)
    others = [name for name in looks if name != of]
    for shift, method in zip(_spread(len(others), 0.3), others, strict=True):
        marks = looks[method].marks() | {"markersize": 5, "markeredgecolor": "white"}
        marks |= {"markerfacecolor": looks[method].colour, "zorder": 5}
        axes.plot(steps[method], places + shift, **marks, label=label_of(method))
    axes.axvline(reference, color=INK, linewidth=0.8, zorder=1, label="float")
    axes.set_yticks(places, steps.index)
    axes.set(xlim=(-3, 100), ylim=(len(steps) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    return axes


def before_and_after(before: pd.DataFrame, after: pd.DataFrame, axes: Axes) -> Axes:
    """Draw means of top-1 [%] before retraining and after it as connected points, with their intervals.

    Both have one row per format, with "mean", "low" and "high" (``swis.evaluation.seeds.over_seeds``).
    """
    both = pd.concat([before.assign(place=0), after.assign(place=1)])
    top1_over(both, "place", axes, "mean", apart=0.08)
    axes.set(xlim=(-0.4, 1.4))
    axes.set_xticks([0, 1], ["calibrated", "retrained"])
    return axes


def _spread(count: int, width: float) -> np.ndarray:
    """Return where so many marks beside each other lie, 0 in their middle.

    >>> _spread(3, 0.5).tolist()
    [-0.5, 0.0, 0.5]
    """
    return width * (np.arange(count) - (count - 1) / 2)
