"""Accuracy over latency and over energy: the best SWIS arrays and the best of all other designs."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.analysis.trade_offs import made_for
from swis.gallery.common import of_equal_area
from swis.gallery.registry import figure
from swis.plots.names import network_name
from swis.plots.style import grid_of_axes, new_figure, one_legend, real_ticks
from swis.plots.trade_off_figures import trade_off

_TITLE = "At equal area the fronts of SWIS arrays and of all other designs lie close together"
_CAPTION = """
    Every format on every design of equal area that is made for it. The steps are the fronts of SWIS arrays
    and of all other designs, among them the array without shift sets; their corners are named. Which front is
    ahead depends on the accuracy. MobileNet-v2 and EfficientNet-Lite0 at 224 x 224, 45 nm; accuracy on 500
    photographs with ImageNet labels, of which one is 0.2 points. What costs more than the axes show, or loses
    more than four points, is left out.
"""
_LOST = 4.0  # points below float that are shown
_COSTS = {
    "latency_ms": ("latency of an image [ms]", (2.5, 45), (5, 10, 20, 40)),
    "energy_mj": ("energy of an image [mJ]", (1.6, 4.1), (2, 2.5, 3, 4)),
}


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    table = made_for(of_equal_area(results)).query("loss <= @_LOST")
    table = table.assign(energy_mj=table["energy_pj"] / 1e9)
    models = ("mobilenet_v2", "efficientnet_lite0")
    drawn = new_figure(4.9)
    grid = grid_of_axes(drawn, len(models), len(_COSTS), sharex="col", sharey=True)
    for line, model in zip(grid, models, strict=True):
        mine = table[table["network"] == model]
        for axes, (cost, (label, limits, ticks)) in zip(line, _COSTS.items(), strict=True):
            trade_off(mine, cost, axes).set(title=network_name(model), xscale="log", xlim=limits)
            real_ticks(axes, "x", ticks)
            axes.set(ylim=(-_LOST - 0.3, 1.8), xlabel=label if model == models[-1] else "")
        line[0].set_ylabel("top-1 minus float [points]")
    one_legend(drawn, grid[0])
    return drawn
