"""MSE and MSE++ as what a set is chosen by, levels chosen together, and the weight of the bias."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from swis.formats.float32 import Float
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.gallery.common import grid_of_axes
from swis.gallery.registry import figure
from swis.plots.figures import accuracy_by_shifts
from swis.results.records import load_table


@figure
def draw(results: Path) -> Figure:
    """MSE and MSE++ as what a set is chosen by, levels chosen together, and the weight of the bias."""
    columns = ["method", "bits", "group_size", "alpha", "selection", "top1", "top1_low", "top1_high"]
    folders = [results / name for name in ("lite0_per_tensor", "joint_selection")]
    table, joint = (load_table(folder, columns) for folder in folders)
    named = table.assign(choice=table["alpha"].map({0.0: "MSE", 1.0: "MSE++"}))
    named = named[named["method"] != SwisC.name]
    four = joint.query("group_size == 4 and selection == 'joint'").assign(choice="MSE++, joint")
    swis = table[table["method"].isin([Swis.name, Float.name])]
    swis = swis.assign(shifts=swis["bits"].map("N = {:g}".format, na_action="ignore"))
    figure, grid = grid_of_axes(1, 2, (11, 4))
    accuracy_by_shifts(pd.concat([named, four]), "bits", "choice", grid[0, 0]).set(xlabel="shifts N")
    accuracy_by_shifts(swis, "alpha", "shifts", grid[0, 1]).set(xlabel="alpha: weight of the bias in MSE++")
    for axes in grid[0]:
        axes.set_title("efficientnet_lite0, one scale per tensor, M = 4, not calibrated", fontsize=9)
        axes.legend(fontsize=8)
    return figure
