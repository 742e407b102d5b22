"""Gains of swis_ss over bit-serial designs by what DRAM costs, and by its bandwidth."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from swis.analysis.trade_offs import advantage, at_dram_cost, with_accuracy, within_loss
from swis.gallery.common import calibrated_on_imagenet, grid_of_axes, of_equal_area, one_legend
from swis.gallery.registry import figure
from swis.plots.hardware_figures import gain_by
from swis.results.records import load_simulated


@figure
def draw(results: Path) -> Figure:
    """Gains of swis_ss over bit-serial designs by what DRAM costs, and by its bandwidth."""
    equal = within_loss(of_equal_area(results))
    costs = (2, 5, 11, 15, 20, 30)
    by_cost = pd.concat(advantage(at_dram_cost(equal, cost), "swis_ss").assign(cost=cost) for cost in costs)
    wide = with_accuracy(load_simulated(results / "hardware" / "bandwidth"), calibrated_on_imagenet(results))
    by_width = pd.concat(
        advantage(within_loss(part), "swis_ss").assign(width=width)
        for width, part in wide.groupby("dram_bits_per_cycle")
    )
    figure, grid = grid_of_axes(1, 2, (11, 4))
    one = "network == 'mobilenet_v2'"
    gain_by(by_cost.query(one), "cost", "energy_gain", "energy of a bit of DRAM [pJ]", grid[0, 0])
    gain_by(by_width.query(one), "width", "speedup", "bits of DRAM a cycle", grid[0, 1])
    grid[0, 1].set_xscale("log", base=2)
    grid[0, 1].xaxis.set_major_formatter(ScalarFormatter())
    for axes in grid[0]:
        axes.set_title("swis_ss over others, equal area, one point lost, mobilenet_v2", fontsize=9)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
    one_legend(figure, grid[0, 0])
    return figure
