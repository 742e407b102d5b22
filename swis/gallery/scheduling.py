"""Top-1 over the average number of shifts, and over cycles per MAC, for four policies."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.analysis.settings import schedule_setting
from swis.gallery.common import grid_of_axes, one_legend
from swis.gallery.registry import figure
from swis.plots.figures import accuracy_by_shifts
from swis.results.records import load_table


@figure
def draw(results: Path) -> Figure:
    """Top-1 over the average number of shifts, and over cycles per MAC, for four policies."""
    columns = ["model", "data", "method", "bits", "schedule", "config", "cycles_per_mac"]
    rows = load_table(results / "scheduling", [*columns, "top1", "top1_low", "top1_high"])
    by_macs = (schedule_setting(rows, "budget_unit") == "macs") & (rows["schedule"] == "network")
    rows["policy"] = rows["schedule"].where(~by_macs, "network, by MACs")
    networks = list(rows.groupby(["model", "data"]))
    figure, grid = grid_of_axes(2, len(networks), (13, 7))
    for column, ((model, data), mine) in zip(grid.T, networks, strict=True):
        accuracy_by_shifts(mine, "bits", "policy", column[0])
        column[0].set(title=f"{model}, {data}", xlabel="shifts per weight, as asked")
        accuracy_by_shifts(mine, "cycles_per_mac", "policy", column[1]).set(xlabel="cycles per MAC")
    one_legend(figure, grid[0, 0])
    return figure
