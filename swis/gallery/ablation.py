"""KL over stored bits of plain SWIS, and of variants that differ from it in one property."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from swis.analysis.freedoms import PLAIN, freedoms
from swis.gallery.registry import figure
from swis.plots.names import images_name, network_name
from swis.plots.style import beside, grid_of_axes, looks_of, new_figure

_TITLE = "Without a choice of sets the network is far off; signed digits bring it nearer"
_CAPTION = """
    Each arrow changes one property of SWIS at two cycles per weight. Down is nearer to the float network,
    left is smaller. One set per layer leaves groups no choice and loses most. Four sets per layer,
    consecutive powers and a price of bits in calibration save bits and cost some closeness. Signed digits
    cost bits and gain closeness. KL is over 744 photographs (M = 4, 8-bit activations, output-aware
    calibration, entropy coding, one calibration set).
"""
# Where each name is written: points apart from its mark, and the side on which the text begins.
_BESIDE = {
    PLAIN: ((6, 4), "left"),
    "consecutive powers": ((5, 7), "left"),
    "4 sets per layer": ((-4, -8), "right"),
    "one set per layer": ((6, 2), "left"),
    "signed digits": ((-6, -6), "right"),
    "a price of bits": ((-5, 4), "right"),
}
_BITS, _KL = (2.3, 4.0), (0.04, 1.0)
_MODELS = ("mobilenet_v2", "efficientnet_lite0")


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    rows = freedoms(results)
    drawn = new_figure(3.0)
    for model, axes in zip(_MODELS, grid_of_axes(drawn, 1, len(_MODELS), grid="both").flat, strict=True):
        _arrows(rows[rows["model"] == model].set_index("variant"), axes)
        axes.set(title=f"{network_name(model)}, {images_name('imagenet')}", yscale="log")
        axes.set(xlabel="stored bits per weight")
        axes.yaxis.set_major_locator(FixedLocator((0.05, 0.1, 0.2, 0.5, 1)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set(xlim=_BITS, ylim=_KL)
    drawn.axes[0].set_ylabel("KL from float [nats]")
    return drawn


def _arrows(rows: pd.DataFrame, axes: Axes) -> None:
    """Draw the points of all variants, with their names, and an arrow to each from plain SWIS."""
    colours = {method: look.colour for method, look in looks_of(rows["method"]).items()}
    start = tuple(rows.loc[PLAIN, ["weight_bits", "held_out_kl"]])
    for variant, row in rows.iterrows():
        end, colour = (row["weight_bits"], row["held_out_kl"]), colours[row["method"]]
        axes.plot(*end, "o", color=colour, markersize=4, zorder=4)
        if variant != PLAIN:
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 0.8})
        apart, side = _BESIDE[variant]
        beside(variant, end, apart, axes, colour, side)
