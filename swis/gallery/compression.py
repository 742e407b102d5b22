"""Bits per weight over group size and shifts: by formula, as packed, and with compact coding."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.formats.swis import Swis
from swis.gallery.common import grid_of_axes, one_legend
from swis.gallery.registry import figure
from swis.plots.figures import bits_per_weight
from swis.results.records import load_storage


@figure
def draw(results: Path) -> Figure:
    """Bits per weight over group size and shifts: by formula, as packed, and with compact coding."""
    table = load_storage(results / "storage").query("weights != 'gaussian'")
    table = table[table["method"] == Swis.name]
    figure, grid = grid_of_axes(1, table["model"].nunique(), (11, 4))
    for axes, (model, mine) in zip(grid.flat, table.groupby("model"), strict=True):
        bits_per_weight(mine, axes).set(title=model)
    one_legend(figure, grid[0, 0])
    return figure
