"""Figures of accelerators: a table of simulated lines in, matplotlib axes out."""

from __future__ import annotations

from itertools import cycle

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from swis.analysis.trade_offs import BIT_SERIAL, on_swis_arrays
from swis.formats.registry import formats
from swis.plots.figures import PALETTE, label_of, losses

_HATCHES = ("", "//", "", "\\\\", "", "..", "", "xx")
_MARKERS = (*"oDvs^P*X<>dp", (4, 1, 0), "o")
_NAMED = 2.0  # points lost by designs on the front whose names are shown
_KINDS = ("first", "conv", "depthwise", "pointwise", "fc")


def energy_breakdown(lines: pd.DataFrame, hue: str, axes: Axes) -> Axes:
    """Draw the energy of one image [uJ] by component, a stacked bar for every value of the column ``hue``.

    ``lines`` have the columns of ``swis.hardware.simulate.totals``, one line for each bar, in this order.
    """
    parts = [name for name in lines if name.endswith("_energy_pj")]
    bottom = pd.Series(0.0, lines.index)
    colours = sns.color_palette(PALETTE, len(parts))
    for part, colour, hatch in zip(parts, colours, cycle(_HATCHES)):
        height = lines[part] / 1e6
        label = part.removesuffix("_energy_pj").replace("_", " ")
        axes.bar(lines[hue], height, bottom=bottom, color=colour, hatch=hatch, edgecolor="white", label=label)
        bottom += height
    axes.set(ylabel="energy of an image [uJ]", xlabel="")
    axes.tick_params(axis="x", rotation=90)
    return axes


def roofline(layers: pd.DataFrame, bytes_per_cycle: float, axes: Axes) -> Axes:
    """Draw layers [MACs per cycle] over their MACs per byte of DRAM, under the roof of the DRAM's bandwidth.

    ``layers`` have the columns of ``swis.hardware.simulate.simulate``. A line joins what a layer reaches to
    its roof where lanes and not the DRAM limit it: the array's peak at the layer's cycles per MAC.
    """
    colours = dict(zip(_KINDS, sns.color_palette(PALETTE, len(_KINDS)), strict=True))
    for kind, marker in zip(_KINDS, "sovD^", strict=True):
        mine = layers[layers["kind"] == kind]
        if len(mine):
            intensity = mine["macs_per_dram_byte"]
            ends = mine["macs_per_cycle"], mine["roof_macs_per_cycle"]
            axes.vlines(intensity, *ends, color=colours[kind], linewidth=0.6, alpha=0.5)
            axes.scatter(intensity, ends[0], color=colours[kind], marker=marker, s=22, label=kind)
    span = [layers["macs_per_dram_byte"].min(), layers["macs_per_dram_byte"].max()]
    axes.plot(span, [bytes_per_cycle * value for value in span], color="0.4", linestyle=":", label="DRAM")
    axes.axhline(layers["peak_macs_per_cycle"].max(), color="0.4", linewidth=1, label="all lanes at work")
    axes.set(xscale="log", yscale="log", xlabel="MACs per byte of DRAM", ylabel="MACs per cycle")
    for axis in (axes.xaxis, axes.yaxis):
        _few_ticks(axis)
    return axes


def traffic_by_layer(layers: pd.DataFrame, axes: Axes) -> Axes:
    """Draw DRAM traffic [kB] of every layer of one network, weights above and activations below the axis."""
    colours = sns.color_palette(PALETTE, 2)
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


def tradeoff(table: pd.DataFrame, cost: str, label: str, axes: Axes) -> Axes:
    """Draw the points that formats on designs lose, over a column of costs, and the front of the best.

    ``table``: one network's lines of ``swis.analysis.trade_offs.with_accuracy``. A design is on the front if
    none is both cheaper and more accurate. SWIS arrays are coloured and filled, others grey.
    """
    ours = sorted(table.loc[on_swis_arrays(table), "accelerator"].unique())
    designs = [*ours, *sorted(set(table["accelerator"]) - set(ours))]
    colours = dict(zip(ours, sns.color_palette(PALETTE, len(ours)), strict=True))
    for design, marker in zip(designs, cycle(_MARKERS)):
        mine = table[table["accelerator"] == design]
        look = {"color": colours[design], "zorder": 3} if design in ours else {"ec": "0.5", "fc": "none"}
        axes.scatter(mine[cost], mine["loss"], marker=marker, s=26, linewidths=0.8, label=design, **look)
    front = pareto_front(table, cost)
    axes.step(front[cost], front["loss"], where="post", color="0.3", linewidth=1, label="front")
    for line in front[front["loss"] < _NAMED].itertuples():
        name = f"{line.method} {line.bits:g} on {line.accelerator}"
        at = {"xy": (getattr(line, cost), line.loss), "xytext": (-4, -3), "textcoords": "offset points"}
        axes.annotate(name, **at, ha="right", va="top", fontsize=6)
    axes.set(xscale="log", xlabel=label)
    axes.set_xlim(left=0.6 * table[cost].min())  # room for names
    _few_ticks(axes.xaxis)
    losses(axes)
    return axes


def pareto_front(table: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Return the lines that none beats in both ``cost`` and "loss", the cheapest first.

    >>> table = pd.DataFrame({"ms": [1.0, 2.0, 3.0], "loss": [5.0, 6.0, 1.0]})
    >>> pareto_front(table, "ms")["ms"].tolist()
    [1.0, 3.0]
    """
    ordered = table.sort_values([cost, "loss"])
    best = ordered["loss"].cummin()
    return ordered[ordered["loss"].eq(best) & ~best.duplicated()]


def gain_by(table: pd.DataFrame, cause: str, gain: str, label: str, axes: Axes) -> Axes:
    """Draw a column of gains over a column that causes them, a line for every baseline in "over".

    ``table``: the lines of ``swis.analysis.trade_offs.advantage`` of one network.
    """
    others = sorted(set(table["over"]) - set(BIT_SERIAL))
    looks = zip(cycle(sns.color_palette(PALETTE)), cycle("osDv^<>pPX*"))
    for name, (colour, marker) in zip([*BIT_SERIAL, *others], looks, strict=False):  # these never end
        mine = table[table["over"] == name].sort_values(cause)
        if len(mine):  # a design looks the same whichever others are there
            axes.plot(mine[cause], mine[gain], marker=marker, color=colour, label=name)
    axes.axhline(1, color="0.4", linewidth=1, linestyle=":")
    axes.set(xlabel=label, ylabel=gain.replace("_", " "))
    return axes


def cycle_breakdown(
    lines: pd.DataFrame, hue: str, axes: Axes, unit: float = 1e3, label: str = "thousand cycles"
) -> Axes:
    """Draw cycles of simulated layers, stalls on top, a bar for every value of the column ``hue``.

    Bars are in units of so many cycles.
    """
    colours = sns.color_palette(PALETTE, 2)
    compute, stalls = lines["compute_cycles"] / unit, lines["stall_cycles"] / unit
    axes.bar(lines[hue], compute, color=colours[0], label="computing")
    axes.bar(lines[hue], stalls, bottom=compute, color=colours[1], hatch="//", label="waiting for DRAM")
    axes.set(ylabel=label)
    axes.legend(fontsize=8)
    return axes


def name_formats(lines: pd.DataFrame, height: pd.Series, axes: Axes) -> None:
    """Write above bars, a line for each, which format it is of; ``height``: the bars'."""
    for place, (line, top) in enumerate(zip(lines.itertuples(), height, strict=True)):
        fmt = formats().get(line.method)
        shifts = f" {line.bits:g}" if fmt is None or fmt.has_shifts else ""
        label = f"{label_of(line.method)}{shifts}"
        at = {"xy": (place, top), "xytext": (0, 3), "textcoords": "offset points"}
        axes.annotate(label, **at, rotation=90, ha="center", va="bottom", fontsize=8)
    axes.tick_params(axis="x", rotation=90)
    axes.margins(y=0.25)


def _few_ticks(axis: Axis) -> None:
    axis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())
