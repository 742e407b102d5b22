"""What shift sets are chosen by: MSE, MSE++, and MSE++ with the levels of a group chosen together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from swis.formats.float32 import Float
from swis.formats.swis import Swis
from swis.gallery.registry import figure
from swis.options.choices import Selection
from swis.plots.figures import line_with_intervals
from swis.plots.style import (
    INK,
    SWIS,
    SWIS_LIGHT,
    SWIS_MIDDLE,
    Look,
    beside,
    grid_of_axes,
    level,
    new_figure,
    one_legend,
    real_ticks,
)
from swis.results.records import load_table

_TITLE = "Uncalibrated, MSE++ and levels chosen together matter most at three shifts"
_CAPTION = """
    The network is not calibrated. At three shifts the error measure decides: MSE++, which also counts the
    bias of a group's errors, is above MSE, and choosing a group's levels together is above both. How much the
    bias counts (alpha; 0 is MSE) matters less. EfficientNet-Lite0 on 500 photographs with ImageNet labels,
    one scale per tensor, M = 4; bars are 95 % intervals.
"""
_COLUMNS = ["method", "bits", "group_size", "alpha", "selection", "top1", "top1_low", "top1_high"]
_MSE_PLUS_PLUS = Look(SWIS, "o", width=1.9)


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    table, joint = (_rows(results / name) for name in ("lite0_per_tensor", "joint_selection"))
    together = joint.query("group_size == 4 and bits in [2, 3, 4]")
    together = together[together["selection"] == Selection.joint]
    swis = table[table["method"] == Swis.name]
    drawn = new_figure(2.9)
    left, right = grid_of_axes(drawn, 1, 2, sharey=True)[0]
    choices = (
        ("MSE", swis[swis["alpha"] == 0], Look(SWIS_LIGHT, "D", (0, (3, 1.2)))),
        ("MSE++", swis[swis["alpha"] == 1], _MSE_PLUS_PLUS),
        ("MSE++, levels chosen together", together, Look(SWIS_MIDDLE, "s", (0, (1, 0.8)), hollow=True)),
    )
    for label, rows, look in choices:
        line_with_intervals(rows["bits"], rows, look, left, label)
    for shifts, rows in swis.groupby("bits"):
        line_with_intervals(rows["alpha"], rows, _MSE_PLUS_PLUS, right, "MSE++")
        beside(f"N = {shifts:g}", (rows["alpha"].iloc[-1], rows["top1"].iloc[-1]), (6, 0), right, INK, "left")
    for axes in (left, right):
        level(axes, table.loc[table["method"] == Float.name, "top1"].item())
    real_ticks(left, "x", sorted(swis["bits"].unique()))
    left.set(xlabel="shifts N", ylabel="top-1 [%]", ylim=(-2, 100))
    right.set(xlabel="alpha, weight of the bias in MSE++", xlim=(-0.15, 4.8))
    one_legend(drawn, [left])
    return drawn


def _rows(folder: Path) -> pd.DataFrame:
    rows = load_table(folder, _COLUMNS).sort_values(["bits", "alpha"])
    return rows.rename(columns={"top1_low": "low", "top1_high": "high"})
