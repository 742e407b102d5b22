"""What the single-shift SWIS array gains over bit-serial designs, by the energy and bandwidth of DRAM."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from swis.analysis.trade_offs import advantage, at_dram_cost, with_accuracy, within_loss
from swis.gallery.common import calibrated_on_imagenet, of_equal_area
from swis.gallery.registry import figure
from swis.plots.style import grid_of_axes, new_figure, real_ticks
from swis.plots.trade_off_figures import gains_over
from swis.results.records import load_simulated

_TITLE = "MobileNet-v2: over BitWave the energy gain is small; the speedup grows with bandwidth"
_CAPTION = """
    What the single-shift SWIS array gains over bit-serial designs of equal area, each in its fastest format
    that loses at most one point of top-1. BitWave is the closest of them. Dashed lines mark the values used
    elsewhere; axes are logarithmic. MobileNet-v2 at 224 x 224, 45 nm, 500 MHz; accuracy on 500 photographs
    with ImageNet labels.
"""
_NETWORK, _ARRAY = "mobilenet_v2", "swis_ss"
_COSTS = (2, 5, 11, 15, 20, 30)  # pJ per bit of DRAM


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    equal = within_loss(of_equal_area(results).query("network == @_NETWORK"))
    by_cost = pd.concat(advantage(at_dram_cost(equal, cost), _ARRAY).assign(cost=cost) for cost in _COSTS)
    wide = with_accuracy(load_simulated(results / "hardware" / "bandwidth"), calibrated_on_imagenet(results))
    by_width = pd.concat(
        advantage(within_loss(part), _ARRAY).assign(width=width)
        for width, part in wide.query("network == @_NETWORK").groupby("dram_bits_per_cycle")
    )
    drawn = new_figure(3.0)
    left, right = grid_of_axes(drawn, 1, 2)[0]
    gains_over(by_cost, "cost", "energy_gain", left, equal["dram_pj_per_bit"].iloc[0])
    gains_over(by_width, "width", "speedup", right, equal["dram_bits_per_cycle"].iloc[0])
    left.set(xlabel="energy of DRAM [pJ per bit]", ylabel="energy gain [x]", xlim=(0.55, 33), ylim=(0.97, 3))
    right.set(
        xlabel="bandwidth of DRAM [bits per cycle]", ylabel="speedup [x]", xlim=(14, 1100), ylim=(0.95, 8.5)
    )
    real_ticks(left, "y", (1, 1.2, 1.5, 2, 2.5, 3))
    real_ticks(right, "y", (1, 1.5, 2, 3, 5, 8))
    return drawn
