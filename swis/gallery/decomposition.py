"""Groups without loss and the error of codes over shifts, by group size, of the weights of networks."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.gallery.common import grid_of_axes, one_legend
from swis.gallery.registry import figure
from swis.plots.figures import by_group_size
from swis.results.records import load_storage


@figure
def draw(results: Path) -> Figure:
    """Groups without loss and the error of codes over shifts, by group size, of the weights of networks."""
    table = load_storage(results / "storage")
    real = table[table["weights"] != "gaussian"]
    some = real[real["group_size"].isin([1, 4, 16]) & real["coding"].ne("compact")]
    figure, grid = grid_of_axes(2, real["model"].nunique(), (11, 7))
    for column, (model, mine) in zip(grid.T, some.groupby("model"), strict=True):
        kept = mine[mine["method"].isin([Swis.name, SwisC.name])].assign(
            lossless=lambda t: 100 * t["lossless"]
        )
        by_group_size(kept, "lossless", column[0]).set(title=model, ylabel="groups without loss [%]")
        by_group_size(kept, "sqnr_db", column[1]).set(ylabel="SQNR of the codes [dB]")
    one_legend(figure, grid[0, 0])
    return figure
