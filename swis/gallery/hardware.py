"""Latency and energy of MobileNet-v2 by design at equal area and loss, its roofline and DRAM traffic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swis.analysis.trade_offs import on_swis_arrays, within_loss
from swis.formats.swis import Swis
from swis.gallery.common import of_equal_area
from swis.gallery.registry import figure
from swis.plots.hardware_figures import bars_of_designs, name_designs, roofline, traffic_by_layer
from swis.plots.names import format_name
from swis.plots.style import MIDDLE, PALE, SWIS, grid_of_axes, new_figure
from swis.results.records import load_simulated

_TITLE = "At equal area and accuracy SWIS arrays are among the fastest; DRAM takes most of the energy"
_CAPTION = """
    Above, every design in the format that is fastest (left) or takes the least energy (right) of those that
    lose at most one point of top-1. Designs are in the order of latency; SWIS arrays are blue. The array
    without shift sets is close to them. Below, the layers of MobileNet-v2 on the single-shift array with
    three shifts. Lower left: roofline, a mark per layer; the depthwise layers and the classifier wait for
    DRAM. Lower right: DRAM traffic per layer, weights upwards, activations downwards. MobileNet-v2 at
    224 x 224, 45 nm, 500 MHz, every array at most as large as 8 x 8 single-shift PEs; accuracy on 500
    photographs with ImageNet labels.
"""
_NETWORK, _ARRAY = "mobilenet_v2", "swis_ss"
_CYCLES = {"computing": (MIDDLE, ["compute_cycles"]), "waiting for DRAM": (PALE, ["stall_cycles"])}
_ENERGY = {  # colours of no format, from dark to light
    "datapath": ("#45306e", ["datapath_energy_pj", "register_energy_pj", "unpack_energy_pj"]),
    "SRAM": ("#9367ad", ["weight_sram_energy_pj", "input_sram_energy_pj", "output_sram_energy_pj"]),
    "leakage": ("#cf9a2c", ["leakage_energy_pj"]),
    "DRAM": (PALE, ["dram_energy_pj"]),
}


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    equal = of_equal_area(results).query("network == @_NETWORK")
    fastest = within_loss(equal).sort_values("latency_ms", ignore_index=True)
    frugal = within_loss(equal, by="energy_pj").set_index("accelerator").loc[fastest["accelerator"]]
    drawn = new_figure(6.0)
    upper, lower = drawn.subfigures(2, 1, height_ratios=[1.55, 1])
    left, right = grid_of_axes(upper, 1, 2, "x")[0]
    milliseconds = 1e3 * fastest["frequency_mhz"].iloc[0]
    bars_of_designs(fastest, _CYCLES, milliseconds, _formats(fastest), left)
    bars_of_designs(frugal.reset_index(), _ENERGY, 1e9, _formats(frugal), right)
    ours = on_swis_arrays(fastest)
    for axes in (left, right):
        name_designs(fastest["accelerator"], ours, axes)
    right.set_yticklabels([])
    for bar in np.array(left.containers[0])[ours]:
        bar.set_color(SWIS)
    for axes, label in ((left, "latency of an image [ms]"), (right, "energy of an image [mJ]")):
        axes.set(xlabel=label, xlim=(0, 1.4 * axes.get_xlim()[1]))
    _layers(results, *grid_of_axes(lower, 1, 2)[0])
    return drawn


def _formats(lines: pd.DataFrame) -> list[str]:
    return [format_name(method, bits) for method, bits in zip(lines["method"], lines["bits"], strict=True)]


def _layers(results: Path, left: Axes, right: Axes) -> None:
    """Draw the roofline of the network's layers and their traffic."""
    layers = load_simulated(results / "hardware" / "layers")
    layers = layers[layers["method"] == Swis.name]
    mine = layers.query("network == @_NETWORK and accelerator == @_ARRAY")
    roofline(mine, mine["dram_bits_per_cycle"].iloc[0] / 8, left)
    traffic_by_layer(mine, right)
