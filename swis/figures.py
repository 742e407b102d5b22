"""Figures: a table of rows in, matplotlib axes out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

# The colour-blind palette of seaborn, dark enough in grey; line styles and markers tell the same apart.
_PALETTE = "colorblind"
_HATCHES = ("", "//", "", "\\\\", "", "..", "", "xx")
_KINDS = ("first", "conv", "depthwise", "pointwise", "fc")


def accuracy_by_shifts(
    rows: pd.DataFrame, shifts: str, hue: str, axes: Axes, order: Sequence[str] | None = None
) -> Axes:
    """Draw top-1 [%] over the column ``shifts``, a line for every value of the column ``hue``, in this
    order or the alphabet's.

    Bands are the rows' 95 % bootstrap intervals. All rows are of one network; a float row, if there is
    one, is drawn as a level.
    """
    lines = rows.dropna(subset=[shifts, hue]).sort_values(shifts)
    order = order or sorted(lines[hue].unique())  # so that a name has one colour in all panels
    colours = dict(zip(order, sns.color_palette(_PALETTE, len(order)), strict=True))
    sns.lineplot(
        lines,
        x=shifts,
        y="top1",
        hue=hue,
        style=hue,
        hue_order=order,
        style_order=order,
        palette=colours,
        markers=True,
        ax=axes,
    )
    for name, part in lines.groupby(hue):
        axes.fill_between(part[shifts], part["top1_low"], part["top1_high"], color=colours[name], alpha=0.12)
    for level in rows.loc[rows["method"] == "float", "top1"]:
        axes.axhline(level, color="0.4", linewidth=1, linestyle=":", label="float")
    axes.set(ylabel="top-1 [%]", ylim=(0, 100))
    return axes


def energy_breakdown(lines: pd.DataFrame, hue: str, axes: Axes) -> Axes:
    """Draw the energy of one image [uJ] by component, a stacked bar for every value of the column ``hue``.

    ``lines`` have the columns of ``swis.simulate.totals``, one line for each bar, in this order.
    """
    parts = [name for name in lines if name.endswith("_energy_pj")]
    bottom = pd.Series(0.0, lines.index)
    colours = sns.color_palette(_PALETTE, len(parts))
    for part, colour, hatch in zip(parts, colours, _HATCHES, strict=False):
        height = lines[part] / 1e6
        label = part.removesuffix("_energy_pj").replace("_", " ")
        axes.bar(lines[hue], height, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", label=label)
        bottom += height
    axes.set(ylabel="energy of an image [uJ]", xlabel="")
    axes.tick_params(axis="x", rotation=90)
    return axes


def roofline(layers: pd.DataFrame, bytes_per_cycle: float, axes: Axes) -> Axes:
    """Draw layers [MACs per cycle] over their MACs per byte of DRAM, under the roof of the DRAM's bandwidth.

    ``layers`` have the columns of ``swis.simulate.simulate``. A line joins what a layer reaches to its roof
    where lanes and not the DRAM limit it: the array's peak at the layer's cycles per MAC.
    """
    colours = dict(zip(_KINDS, sns.color_palette(_PALETTE, len(_KINDS)), strict=True))
    for kind, marker in zip(_KINDS, "sovD^", strict=True):
        mine = layers[layers["kind"] == kind]
        if len(mine):
            intensity = mine["macs_per_dram_byte"]
            ends = mine["macs_per_cycle"], mine["roof_macs_per_cycle"]
            axes.vlines(intensity, *ends, color=colours[kind], linewidth=0.6, alpha=0.5)
            axes.scatter(intensity, ends[0], color=colours[kind], marker=marker, s=22, label=kind)
    span = [layers["macs_per_dram_byte"].min(), layers["macs_per_dram_byte"].max()]
    axes.plot(span, [bytes_per_cycle * value for value in span], color="0.4", linestyle=":", label="DRAM")
    axes.axhline(layers["peak_macs_per_cycle"].max(), color="0.4", linewidth=1, label="lanes")
    axes.set(xscale="log", yscale="log", xlabel="MACs per byte of DRAM", ylabel="MACs per cycle")
    axes.xaxis.set_minor_formatter(NullFormatter())
    return axes


def traffic_by_layer(layers: pd.DataFrame, axes: Axes) -> Axes:
    """Draw DRAM traffic [kB] of every layer of one network, weights above and activations below the axis."""
    colours = sns.color_palette(_PALETTE, 2)
    place = range(len(layers))
    axes.bar(place, layers["weight_dram_bytes"] / 1e3, color=colours[0], label="weights")
    axes.bar(
        place,
        -layers["activation_dram_bytes"] / 1e3,
        color=colours[1],
        hatch="//",
        label="activations and sums",
    )
    axes.axhline(0, color="0.2", linewidth=0.8)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set(xlabel="layer", ylabel="DRAM traffic [kB]")
    return axes
