"""Points lost after training, calibrated, over cycles and over bits per weight, beside published ones."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from swis.analysis.ablation import CALIBRATION, fully_calibrated
from swis.formats.int8 import Int8
from swis.gallery.common import grid_of_axes, one_legend
from swis.gallery.registry import figure
from swis.options.choices import Policy
from swis.plots.figures import loss_by_cost, published_points
from swis.results.records import load_table


@figure
def draw(results: Path) -> Figure:
    """Points lost after training, calibrated, over cycles and over bits per weight, beside published ones."""
    columns = [*CALIBRATION, "model", "data", "schedule", "correct", "cycles_per_weight", "weight_bits"]
    rows = load_table(results / "calibration", columns)
    full = pd.concat(fully_calibrated(part) for _, part in rows.groupby("data"))
    full = full[full["schedule"].isna() | full["schedule"].eq(Policy.uniform)]
    published = pd.read_csv(results / "published.csv")
    networks = list(full.groupby(["model", "data"]))
    figure, grid = grid_of_axes(2, len(networks), (13, 7))
    for column, ((model, data), mine) in zip(grid.T, networks, strict=True):
        others = published[published["network"].eq(model) & (data == "imagenet")]
        others = others.assign(cycles_per_weight=others["weight_bits"] - 1)
        for axes, cost in zip(column, ("cycles_per_weight", "weight_bits"), strict=True):
            shown = mine if cost == "weight_bits" else mine[mine["method"] != Int8.name]
            loss_by_cost(shown, cost, axes)
            published_points(others, cost, axes)
            axes.set(xlim=(0.5, 9 if cost == "weight_bits" else 4.5), xlabel=cost.replace("_", " "))
            axes.xaxis.set_major_locator(MultipleLocator(1))
        column[1].set(xlabel="bits per weight")
        column[0].set_title(f"{model}, {data}")
    like = [(model, data) for (model, data), _ in networks].index(("mobilenet_v2", "imagenet"))
    one_legend(figure, grid[1, like])
    return figure
