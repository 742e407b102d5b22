"""Top-1 over cycles per MAC and over shifts per weight, for budgets of layers and of the whole network."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from swis.analysis.settings import schedule_setting
from swis.formats.float32 import Float
from swis.gallery.registry import figure
from swis.options.choices import BudgetUnit, Policy, Scope
from swis.plots.figures import line_with_intervals
from swis.plots.names import images_name, network_name
from swis.plots.style import (
    DARK,
    SWIS,
    SWIS_MIDDLE,
    Look,
    grid_of_axes,
    level,
    new_figure,
    one_legend,
)
from swis.results.records import load_table

_TITLE = "One budget for the whole network keeps more accuracy than a budget per layer"
_CAPTION = """
    SWIS with as many shifts in every filter as it needs. A budget that the whole network shares keeps far
    more accuracy than one per layer. Counted in MACs it holds the cycles (upper row). Counted in weights it
    holds the storage (lower row), and takes more cycles than asked for. Policies per layer are the same in
    both rows and are drawn once. Weights are not calibrated, M = 4; 500 photographs with ImageNet labels,
    4,000 test images of Fashion-MNIST.
"""
_NETWORKS = (
    ("mobilenet_v2", "imagenet"),
    ("efficientnet_lite0", "imagenet"),
    ("mobilenet_v2", "fashion_mnist"),
    ("resnet18", "fashion_mnist"),
)
_LOOKS = {
    Policy.uniform: ("same shifts everywhere", Look(DARK, "s", (0, (5, 1.5)))),
    Policy.optimal: ("budget per layer", Look(SWIS_MIDDLE, "^", (0, (3, 1.2)), hollow=True, order=3)),
    BudgetUnit.weights: ("budget of the network, in weights", Look(SWIS, "o", (0, (1, 0.8)), 1.5, True, 4)),
    BudgetUnit.macs: ("budget of the network, in MACs", Look(SWIS, "o", width=1.9, order=4)),
}


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    rows = _rows(results)
    drawn = new_figure(4.1)
    grid = grid_of_axes(drawn, 2, len(_NETWORKS), sharey=True, sharex="row")
    for (above, below), (model, data) in zip(grid.T, _NETWORKS, strict=True):
        mine = rows.query("model == @model and data == @data")
        _policies(mine, "cycles_per_mac", list(_LOOKS), above)
        _policies(mine, "shifts_per_weight", list(BudgetUnit)[:2], below)
        above.set_title(f"{network_name(model)},\n{images_name(data)}")
        above.set(xlabel="cycles per MAC", ylim=(0, 100))
        below.set(xlabel="shifts per weight")
        for axes in (above, below):
            axes.xaxis.set_major_locator(MultipleLocator(1))
    for axes in grid[:, 0]:
        axes.set_ylabel("top-1 [%]")
    one_legend(drawn, [grid[0, 0]], columns=3)
    return drawn


def _policies(rows: pd.DataFrame, cost: str, policies: list[str], axes: Axes) -> None:
    """Draw the lines of some policies."""
    level(axes, rows.loc[rows["method"] == Float.name, "top1"].item())
    for name in policies:
        label, look = _LOOKS[name]
        mine = rows[rows["policy"] == name].sort_values("bits")
        line_with_intervals(mine[cost], mine, look, axes, label)


def _rows(results: Path) -> pd.DataFrame:
    """Return rows with their "policy": of a budget per layer its own, of one for all layers its unit."""
    columns = ["model", "data", "method", "bits", "schedule", "config", "cycles_per_mac", "shifts_per_weight"]
    rows = load_table(results / "scheduling", [*columns, "top1"])
    of_network = schedule_setting(rows, "scope") == Scope.network
    unit = schedule_setting(rows, "budget_unit")
    return rows.assign(policy=rows["schedule"].astype(object).mask(of_network, unit))
