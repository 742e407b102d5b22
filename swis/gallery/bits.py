"""Calibrated top-1 and KL over stored bits, entropy-coded, of SWIS and of the uniform quantizer."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from swis.formats.float32 import Float
from swis.gallery.registry import figure
from swis.plots.names import format_name, images_name, network_name
from swis.plots.style import grid_of_axes, level, looks_of, new_figure, one_legend
from swis.results.records import load_table

_TITLE = "TITLE"
_CAPTION = """
    CAPTION
"""
_MODELS = ("mobilenet_v2", "efficientnet_lite0")
_LOST = (16.0, -2.0)  # points below float that the panels show


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
        below.set(yscale="log", xlabel="stored bits per weight")
    grid[0, 0].set_ylabel("top-1 [%]")
    grid[1, 0].set_ylabel("KL from float [nats]")
    one_legend(drawn, grid.flat)
    return drawn


def _lines(rows: pd.DataFrame, column: str, axes: Axes) -> None:
    """Draw a column over stored bits, a line per format and number of shifts; the most shifts are hollow."""
    shown = rows[rows["coding"].notna()]
    looks = looks_of(shown["method"])
    for method, look in looks.items():
        for number, (bits, line) in enumerate(shown[shown["method"] == method].groupby("bits")):
            line = line.sort_values("weight_bits")
            style = look.line() | ({"markerfacecolor": "white"} if number else {})
            axes.plot(line["weight_bits"], line[column], **style, label=format_name(method, bits))
    axes.xaxis.set_major_locator(MultipleLocator(0.5))
