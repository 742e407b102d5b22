"""Figures of weights and accuracies: a table of rows in, matplotlib axes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator, NullFormatter, ScalarFormatter

from swis.evaluation.paired_tests import compare
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.registry import formats
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform

# The colour-blind palette of seaborn, dark enough in grey; line styles and markers tell the same apart.
PALETTE = "colorblind"

# A method looks the same in all figures.
_METHODS = tuple(kind.name for kind in (Swis, SwisC, Truncate, Round, Uniform, Int8))
_MARKERS = "oDvsP*^<>pXd"
_COLOURS = sns.color_palette(PALETTE)
_DASHES = ("-", "--", ":", "-.", (0, (5, 1)), "-")
_RAISED = "⁰¹²³⁴⁵⁶"  # plain text is laid out much faster than mathematics


def accuracy_by_shifts(
    rows: pd.DataFrame, shifts: str, hue: str, axes: Axes, order: Sequence[str] | None = None
) -> Axes:
    """Draw top-1 [%] over the column ``shifts``, a line for every value of the column ``hue``, in this
    order or the alphabet's.

    Bands are Wilson's 95 % intervals of the rows. All rows are of one network; a float row, if there is
    one, is drawn as a level.
    """
    lines = rows.dropna(subset=[shifts, hue]).sort_values(shifts)
    order = order or sorted(lines[hue].unique())  # so that a name has one colour in all panels
    colours = dict(zip(order, sns.color_palette(PALETTE, len(order)), strict=True))
    sns.lineplot(
        lines,
        x=shifts,
        y="top1",
        hue=hue,
        style=hue,
        hue_order=order,
        style_order=order,
        palette=colours,
        markers=True,
        ax=axes,
    )
    for name, part in lines.groupby(hue):
        axes.fill_between(part[shifts], part["top1_low"], part["top1_high"], color=colours[name], alpha=0.12)
    for level in rows.loc[rows["method"] == Float.name, "top1"]:
        axes.axhline(level, color="0.4", linewidth=1, linestyle=":", label="float")
    # from zero, unless all that is to be seen is at the top
    axes.set(ylabel="top-1 [%]", ylim=(0, 100) if lines["top1"].min() < 80 else (None, None))
    axes.xaxis.set_major_locator(MultipleLocator(1))
    return axes


def label_of(method: str) -> str:
    """Return what figures call a format, its name if it is not installed here.

    >>> label_of("int8"), label_of("theirs")
    ('8-bit', 'theirs')
    """
    known = formats().get(method)
    return method if known is None else known().label


def _in_order(methods: Iterable[str]) -> list[str]:
    """Return methods that have a look of their own first, and those that a user added by the alphabet."""
    named = sorted(set(methods) - {Float.name})
    return sorted(named, key=lambda name: _METHODS.index(name) if name in _METHODS else len(_METHODS))


def _looks(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return colour, dashes and marker of every method."""
    known = [*_METHODS, *(name for name in _in_order(methods) if name not in _METHODS)]
    looks = zip(known, cycle(_COLOURS), cycle(_DASHES), cycle(_MARKERS))
    return {name: {"color": c, "linestyle": dash, "marker": mark} for name, c, dash, mark in looks}


def loss_by_cost(rows: pd.DataFrame, cost: str, axes: Axes) -> Axes:
    """Draw by how many points of top-1 methods are below the float row, over a column of costs.

    Bands are 95 % intervals of these differences, image by image (``swis.evaluation.paired_tests``). All rows
    are of one network and its float row is there.
    """
    reference = rows.loc[rows["method"] == Float.name, "correct"].item()
    looks = _looks(rows["method"])
    for method in _in_order(rows["method"]):
        mine = rows[rows["method"] == method].dropna(subset=cost).sort_values(cost)
        if mine.empty:
            continue
        found = [compare(reference, correct) for correct in mine["correct"]]
        label = label_of(method)
        axes.plot(mine[cost], [each.difference for each in found], **looks[method], label=label)
        band = [each.low for each in found], [each.high for each in found]
        axes.fill_between(mine[cost], *band, color=looks[method]["color"], alpha=0.1)
    losses(axes)
    return axes


def published_points(points: pd.DataFrame, cost: str, axes: Axes) -> Axes:
    """Mark by how many points others' networks, as published, are below theirs in float.

    ``points``: columns "method", ``cost``, "top1" and "float_top1" [%], and "activation_bits" (32: float).
    """
    kinds = points.groupby(["method", "activation_bits"], sort=False)
    for marker, ((method, bits), some) in zip(cycle("x+1234|_."), kinds):
        lost = some["float_top1"] - some["top1"]
        label = f"{method}, A{bits} (published)"
        axes.plot(some[cost], lost, marker, color="0.2", ms=8, label=label)
    losses(axes)
    return axes


def losses(axes: Axes) -> None:
    """Let losses grow downwards, evenly up to 3 points and by their logarithm from there."""
    axes.set_yscale("symlog", linthresh=3)
    axes.set(ylabel="points of top-1 below float", ylim=(100, -3))
    axes.set_yticks([100, 30, 10, 3, 2, 1, 0, -1, -2, -3])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.axhline(0, color="0.4", linewidth=1, linestyle=":")


def by_group_size(table: pd.DataFrame, column: str, axes: Axes) -> Axes:
    """Draw a column of a table of storage over shifts: a colour for every group size, a style per method.

    ``table``: one network's rows with "method", "group_size", "bits" and the column.
    """
    sizes, looks = sorted(table["group_size"].unique()), _looks(table["method"])
    for size, colour in zip(sizes, sns.color_palette("viridis_r", len(sizes)), strict=True):
        for method, part in table[table["group_size"] == size].groupby("method"):
            look = looks[method] | {"color": colour}
            line = part.sort_values("bits")
            axes.plot(line["bits"], line[column], **look, label=f"{method}, M={size}")
    axes.set(xlabel="shifts N")
    return axes


def bits_per_weight(table: pd.DataFrame, axes: Axes) -> Axes:
    """Draw bits per weight over group size: formula as lines, packed files as marks, compact ones as rings.

    ``table``: one network's rows of storage of one method.
    """
    shifts = sorted(table["bits"].unique())
    for count, colour in zip(shifts, sns.color_palette("viridis_r", len(shifts)), strict=True):
        mine = table[table["bits"] == count].sort_values("group_size")
        plain, compact = (mine[mine["coding"] == coding] for coding in ("plain", "compact"))
        axes.plot(plain["group_size"], plain["formula_bits"], color=colour, label=f"N={count:g}, formula")
        axes.plot(plain["group_size"], plain["weight_bits"], "x", color=colour)
        axes.plot(compact["group_size"], compact["weight_bits"], "o:", color=colour, markerfacecolor="none")
    axes.plot([], [], "x", color="0.3", label="as packed, plain")
    axes.plot([], [], "o:", color="0.3", markerfacecolor="none", label="as packed, compact")
    axes.axhline(8, color="0.4", linewidth=1, label="8-bit weights")
    axes.set(xscale="log", xlabel="group size M", ylabel="bits per weight", ylim=(0, None))
    axes.set_xticks(sorted(table["group_size"].unique()))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    return axes


def means_by_method(summary: pd.DataFrame, reference: float, axes: Axes, before: bool = False) -> Axes:
    """Draw by how many points means over seeds are below a float accuracy, with their 95 % intervals.

    ``summary``: the lines of ``swis.evaluation.seeds.over_seeds`` with the columns "method" and "bits".
    Methods are side by side, ``before`` retraining with hollow marks.
    """
    methods, looks = _in_order(summary["method"]), _looks(summary["method"])
    places = {bits: place for place, bits in enumerate(sorted(summary["bits"].unique()))}
    for shift, method in zip(np.linspace(-0.25, 0.25, len(methods)), methods, strict=True):
        mine = summary[summary["method"] == method]
        at = mine["bits"].map(places) + shift - 0.05 * before
        reach = [mine["high"] - mine["mean"], mine["mean"] - mine["low"]]
        look = {"fmt": looks[method]["marker"], "color": looks[method]["color"], "capsize": 3}
        look |= {"mfc": "none", "label": f"{method}, before"} if before else {"label": method}
        axes.errorbar(at, reference - mine["mean"], reach, **look)
    axes.axhline(0, color="0.4", linewidth=1, linestyle=":")
    axes.set_xticks(list(places.values()), [f"{bits:g}" for bits in places])
    axes.set(xlim=(-0.5, len(places) - 0.5), xlabel="shifts N")
    losses(axes)
    return axes


def group_of_weights(
    codes: Sequence[int], approximated: Sequence[int], shift_set: Sequence[int], axes: Axes
) -> Axes:
    """Draw a group bit by bit, a line per weight: the bits of its magnitude, and in colour what is kept.

    ``codes`` and ``approximated`` are integers of 7 magnitude bits and a sign: before the line and behind it.
    The columns of the shift set are coloured, darker where the approximation uses the bit.
    """
    bits = np.arange(6, -1, -1)
    there, used = (np.abs(np.array(values))[:, None] >> bits & 1 for values in (codes, approximated))
    in_set = np.isin(bits, shift_set)[None]
    shades = np.where(in_set[..., None], np.array(_COLOURS[0]), 0.92) * np.ones((len(codes), 7, 1))
    faded = in_set & (used == 0)
    shades[faded] = 0.7 + 0.3 * shades[faded]
    axes.imshow(shades, aspect="auto")
    for digit in (0, 1):  # as markers, for texts take much longer to draw
        line, place = np.nonzero(there == digit)
        colours = np.where((in_set & (used == 1))[line, place], "white", "black")
        axes.scatter(place, line, marker=f"${digit}$", s=30, color=colours, linewidths=0.2)
    axes.set_xticks(range(7), [f"2{_RAISED[bit]}" for bit in bits])
    axes.set_yticks(range(len(codes)), [f"{code:+d}" for code in codes])
    axes.set_ylabel("codes of the weights", fontsize=8)
    axes.xaxis.tick_top()
    kept = axes.secondary_yaxis("right")
    kept.set_yticks(range(len(codes)), [f"{code:+d}" for code in approximated])
    kept.set_ylabel("as kept", fontsize=8)
    for side in (axes, kept):
        side.tick_params(length=0)
    return axes
