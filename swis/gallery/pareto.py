"""Accuracy lost over latency and over energy: every format on every design of equal area."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.analysis.trade_offs import made_for
from swis.gallery.common import grid_of_axes, of_equal_area, one_legend
from swis.gallery.registry import figure
from swis.plots.hardware_figures import tradeoff


@figure
def draw(results: Path) -> Figure:
    """Accuracy lost over latency and over energy: every format on every design of equal area."""
    table = made_for(of_equal_area(results))
    table = table.assign(energy_uj=table["energy_pj"] / 1e6)
    figure, grid = grid_of_axes(table["network"].nunique(), 2, (10, 8))
    for line, (network, mine) in zip(grid, table.groupby("network"), strict=True):
        tradeoff(mine, "latency_ms", "latency of an image [ms]", line[0]).set_title(network)
        tradeoff(mine, "energy_uj", "energy of an image [uJ]", line[1]).set_title(network)
    one_legend(figure, grid[0, 0])
    return figure
