"""Figures of accelerators: a table of hardware results in, matplotlib axes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, ScalarFormatter

from swis.plots.names import design_name
from swis.plots.style import INK, MIDDLE, SHADE, SMALL, SWIS, SWIS_C, Look, beside, colours_of_designs

# What kinds of layers are called, how they look, and where their names stand [points] from the slowest one.
_KINDS = {
    "first": ("first layer", Look(INK, "s"), (-5, -8), "right"),
    "conv": ("convolution", Look(MIDDLE, "P"), (0, -10), "center"),
    "depthwise": ("depthwise", Look(SWIS_C, "v"), (7, 0), "left"),
    "pointwise": ("pointwise", Look(SWIS, "o"), (6, -10), "left"),
    "fc": ("classifier", Look(INK, "^", hollow=True), (7, 0), "left"),
}
_CLOSE = {"borderpad": 0.2, "columnspacing": 1.0, "handlelength": 1.0, "handletextpad": 0.4}


def bars_of_designs(
    rows: pd.DataFrame,
    parts: Mapping[str, tuple[str, Sequence[str]]],
    unit: float,
    names: Sequence[str],
    axes: Axes,
) -> Axes:
    """Draw a lying bar for every row, from the top down, of parts that add up, and a text at its end.

    ``parts`` are the colour of each part and the columns of ``rows`` that make it up, the bars are in units
    of so much; ``names`` are the texts at their ends.
    """
    places, left = range(len(rows)), pd.Series(0.0, rows.index)
    for part, (colour, columns) in parts.items():
        width = rows[list(columns)].sum(axis=1) / unit
        axes.barh(places, width, 0.72, left, color=colour, label=part)
        left += width
    for place, end, name in zip(places, left, names, strict=True):
        at = {"xytext": (3, -0.5), "textcoords": "offset points"}
        axes.annotate(name, (end, place), **at, va="center", fontsize=SMALL)
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, None))
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=len(parts), **_CLOSE)
    return axes


def name_designs(accelerators: Sequence[str], strong: Sequence[bool], axes: Axes) -> None:
    """Name the bars of designs at their left, and highlight some."""
    axes.set_yticks(range(len(accelerators)), [design_name(name) for name in accelerators])
    for place, label in enumerate(axes.get_yticklabels()):
        if strong[place]:
            label.set(color=SWIS, weight="bold")
            axes.axhspan(place - 0.5, place + 0.5, color=SHADE, linewidth=0, zorder=0)


def roofline(layers: pd.DataFrame, bytes_per_cycle: float, axes: Axes) -> Axes:
    """Draw layers [MACs per cycle] over their MACs per byte of DRAM, under the roof of the DRAM's bandwidth.

    ``layers`` have the columns of ``swis.hardware.simulate.simulate``. A line joins what a layer reaches to
    its roof where lanes and not the DRAM limit it: the array's peak at the layer's cycles per MAC.
    """
    for kind, (name, look, apart, side) in _KINDS.items():
        mine = layers[layers["kind"] == kind]
        if len(mine):
            columns = ("macs_per_dram_byte", "macs_per_cycle", "roof_macs_per_cycle")
            at, reached, roof = (mine[column] for column in columns)
            axes.vlines(at, reached, roof, color=look.colour, linewidth=0.6, alpha=0.5)
            axes.plot(at, reached, **look.marks())
            slowest = at[reached.idxmin()], reached.min()
            beside(name, slowest, apart, axes, INK, side)
    peak, most = layers["peak_macs_per_cycle"].max(), layers["macs_per_dram_byte"].max()
    corner, least = peak / bytes_per_cycle, layers["macs_per_dram_byte"].min()
    roof = [bytes_per_cycle * least, peak, peak]
    axes.plot([least, corner, most], roof, color=INK, linewidth=0.8, zorder=1, label="roof")
    beside("all lanes at work", (corner, peak), (4, 7), axes, INK, "left")
    beside("limit of DRAM", ((least * corner) ** 0.5, (roof[0] * peak) ** 0.5), (-5, 5), axes, INK, "right")
    axes.set(xscale="log", yscale="log", xlabel="MACs per byte of DRAM", ylabel="MACs per cycle")
    axes.set_ylim(top=1.5 * peak)
    for axis in (axes.xaxis, axes.yaxis):
        _few_ticks(axis)
    return axes


def traffic_by_layer(layers: pd.DataFrame, axes: Axes) -> Axes:
    """Draw DRAM traffic [MB] of every layer of one network, weights above and activations below the axis."""
    place = range(1, len(layers) + 1)
    sides = (
        ("weights", SWIS, layers["weight_dram_bytes"]),
        ("activations", MIDDLE, -layers["activation_dram_bytes"]),
    )
    for (name, colour, traffic), height in zip(sides, (0.95, 0.05), strict=True):
        axes.bar(place, traffic / 1e6, color=colour, width=0.8, label=name)
        text = {"transform": axes.transAxes, "va": "center", "ha": "center"}
        axes.text(0.5, height, name, **text, fontsize=SMALL)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set(xlabel="layer", ylabel="DRAM traffic [MB]", xlim=(0, len(layers) + 1))
    return axes


def side_by_side(layers: pd.DataFrame, column: str, unit: float, label: str, axes: Axes) -> Axes:
    """Draw a column of layers [so many units] as bars, those of every accelerator side by side.

    ``layers``: rows of the layers of one network on some designs. The legend says what these add up to.
    """
    names = list(dict.fromkeys(layers["accelerator"]))
    colours, width = colours_of_designs(names), 0.84 / len(names)
    for number, name in enumerate(names):
        values = layers.loc[layers["accelerator"] == name, column] / unit
        places = [place + (number - (len(names) - 1) / 2) * width for place in range(len(values))]
        text = f"{design_name(name)}, together {values.sum():,.1f}"
        axes.bar(places, values, width, color=colours[name], label=text)
    first = layers.loc[layers["accelerator"] == names[0], "layer"]
    axes.set_xticks(range(len(first)), first, rotation=90)
    axes.set(ylabel=label, xlim=(-0.6, len(first) - 0.4))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, **_CLOSE)
    return axes


def _few_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
