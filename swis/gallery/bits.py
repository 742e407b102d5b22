"""Calibrated top-1 and KL over stored bits, entropy-coded, of SWIS and of the uniform quantizer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MultipleLocator, NullLocator

from swis.formats.float32 import Float
from swis.gallery.registry import figure
from swis.plots.names import images_name, label_of, network_name
from swis.plots.style import grid_of_axes, level, looks_of, new_figure, one_legend
from swis.results.records import load_table

_TITLE = "Per stored bit SWIS at two cycles is where the uniform quantizer is at three"
_CAPTION = """
    Entropy-coded weights; from right to left along a line, calibration gives bits a higher price. Filled
    marks take two cycles per weight, hollow ones three. SWIS with signed digits and two shifts reaches the
    bits and the closeness of the uniform quantizer of 4 bits (hollow). That of 3 bits takes two cycles as
    well and is far below. KL is over 744 photographs, 500 of which have labels (M = 4, 8-bit activations,
    output-aware calibration, one calibration set).
"""
_MODELS = ("mobilenet_v2", "efficientnet_lite0")
_LOST = (21.0, -2.0)  # points below float that the panels show
_KL, _TICKS = (0.04, 0.8), (0.05, 0.1, 0.2, 0.5)
_BITS = (2.2, 4.0)
_FILLED = 2  # shifts of filled marks


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    rows = load_table(results / "rate", "all")
    drawn = new_figure(4.6)
    grid = grid_of_axes(drawn, 2, len(_MODELS))
    for model, (above, below) in zip(_MODELS, grid.T, strict=True):
        mine = rows[rows["model"] == model]
        reference = mine.loc[mine["method"] == Float.name, "top1"].item()
        _lines(mine, "top1", above)
        _lines(mine, "held_out_kl", below)
        level(above, reference)
        above.set(title=f"{network_name(model)}, {images_name('imagenet')}")
        above.set(ylim=tuple(reference - points for points in _LOST))
        above.yaxis.set_major_locator(MultipleLocator(5))
        below.set(yscale="log", ylim=_KL, xlabel="stored bits per weight")
        below.yaxis.set_major_locator(FixedLocator(_TICKS))
        below.yaxis.set_major_formatter("{x:g}")
        below.yaxis.set_minor_locator(NullLocator())
        for axes in (above, below):
            axes.set_xlim(_BITS)
    grid[0, 0].set_ylabel("top-1 [%]")
    grid[1, 0].set_ylabel("KL from float [nats]")
    one_legend(drawn, grid.flat)
    return drawn


def _lines(rows: pd.DataFrame, column: str, axes: Axes) -> None:
    """Draw a column over stored bits, a line per format and number of shifts; three shifts are hollow."""
    shown = rows[rows["coding"].notna()]
    looks = looks_of(shown["method"])
    for method, look in looks.items():
        for bits, line in shown[shown["method"] == method].groupby("bits"):
            line = line.sort_values("weight_bits")
            style = look.line() | ({"markerfacecolor": "white"} if bits > _FILLED else {})
            axes.plot(line["weight_bits"], line[column], **style, label=label_of(method))
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
