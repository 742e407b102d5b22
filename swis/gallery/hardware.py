"""Latency and energy of MobileNet-v2 by design at equal area and loss, its roofline and DRAM traffic."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.analysis.trade_offs import within_loss
from swis.formats.swis import Swis
from swis.gallery.common import grid_of_axes, of_equal_area
from swis.gallery.registry import figure
from swis.plots.hardware_figures import (
    cycle_breakdown,
    energy_breakdown,
    name_formats,
    roofline,
    traffic_by_layer,
)
from swis.results.records import load_simulated


@figure
def draw(results: Path) -> Figure:
    """Latency and energy of MobileNet-v2 by design at equal area and loss, its roofline and DRAM traffic."""
    network = "mobilenet_v2"
    equal = of_equal_area(results).query("network == @network")
    layers = load_simulated(results / "hardware" / "layers")
    mine = layers[layers["method"] == Swis.name].query("network == @network and accelerator == 'swis_ss'")
    fastest = within_loss(equal).sort_values("latency_ms")
    frugal = within_loss(equal, by="energy_pj").sort_values("energy_pj")
    figure, grid = grid_of_axes(2, 2, (11, 8))
    cycles = 1e3 * fastest["frequency_mhz"].iloc[0]
    cycle_breakdown(fastest, "accelerator", grid[0, 0], cycles, "latency of an image [ms]")
    name_formats(fastest, fastest["latency_ms"], grid[0, 0])
    energy_breakdown(frugal, "accelerator", grid[0, 1])
    name_formats(frugal, frugal["energy_pj"] / 1e6, grid[0, 1])
    for axes, which in zip(grid[0], ("fastest", "least energy"), strict=True):
        axes.set_title(f"{network}, equal area, at most one point lost: {which}", fontsize=9)
    width, shifts = mine["dram_bits_per_cycle"].iloc[0], mine["bits"].iloc[0]
    which = f"{network} on swis_ss, N = {shifts:g}"
    roofline(mine, width / 8, grid[1, 0]).set_title(f"{which}, {width} bits of DRAM a cycle", fontsize=10)
    traffic_by_layer(mine, grid[1, 1]).set_title(which, fontsize=10)
    for axes, columns in ((grid[0, 1], 2), (grid[1, 0], 1), (grid[1, 1], 1)):
        axes.legend(fontsize=8, ncols=columns)
    return figure
