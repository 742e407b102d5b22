"""Views for notebooks: quantized networks as HTML and SVG, and bar charts of simulated layers."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from numbers import Real
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from pandas.plotting import PlotAccessor

from swis.errors import InputError
from swis.plots.hardware_figures import side_by_side
from swis.plots.style import PAGE, SCREEN_DPI, SWIS, grid_of_axes, style

if TYPE_CHECKING:
    from swis.api.quantized import Quantized

_LINES = 12  # a table with more layers than this is folded
_CELL = 'style="text-align:left;padding:2px 12px 2px 0"'


def quantized_html(network: Quantized) -> str:
    """Return a quantized network as HTML: its totals, a bar chart of bits by layer, and its layers."""
    cost, layers = network.cost, network.layers
    totals = {
        "bits per weight": f"{cost['weight_bits']:.2f}",
        "cycles per weight": f"{cost['cycles_per_weight']:.2f}",
        "times smaller than float32": f"{cost['compression_vs_float32']:.1f}",
        "million weights": f"{layers['weights'].sum() / 1e6:.2f}",
        "activations": "float" if network.activation_bits is None else f"{network.activation_bits} bits",
        "calibration": network.made.calibrate,
    }
    head = f"{type(network.module).__name__} with weights in the format {network.fmt.label}"
    lines = [_line(name, row) for name, row in layers.iterrows()]
    names = ("layer", "kind", "weights", "format", "shifts", "SQNR [dB]", "bits", "million cycles")
    table = _table("".join(f"<th {_CELL}>{name}</th>" for name in names), lines)
    shown = "" if len(lines) > _LINES else " open"
    return (
        f"<div><b>{escape(head)}</b>{_table('', [_cells(pair) for pair in totals.items()])}"
        f"{_bits_by_layer(layers['bits'])}"
        f"<details{shown}><summary>{len(lines)} layers</summary>{table}</details></div>"
    )


def _line(name: Any, row: pd.Series) -> str:
    numbers = (
        f"{row['shifts']:g}",
        f"{row['sqnr_db']:.1f}",
        f"{row['bits']:.2f}",
        f"{row['cycles'] / 1e6:.3f}",
    )
    known = [number.replace("nan", "-") for number in numbers]
    return _cells([name, row["kind"], f"{row['weights']:,}", row["format"], *known])


def _cells(values: Any) -> str:
    return "".join(f"<td {_CELL}>{escape(str(value))}</td>" for value in values)


def _table(head: str, lines: list[str]) -> str:
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>" if head else f"<table>{body}</table>"


def _bits_by_layer(bits: pd.Series) -> str:
    """Return an SVG bar chart of the bits per weight of every layer."""
    known = bits.dropna()
    if known.empty:
        return ""
    width, height = 640 / len(known), 90
    bars = []
    for place, (name, value) in enumerate(known.items()):
        tall = height * value / known.max()
        size = f'width="{max(0.8 * width, 0.5):.1f}" height="{tall:.1f}"'
        tip = f"<title>{escape(str(name))}: {value:.2f} bits per weight</title>"
        at = f'x="{place * width:.1f}" y="{height - tall:.1f}"'
        bars.append(f'<rect {at} {size} fill="{SWIS}">{tip}</rect>')
    words = f"bits per weight by layer, up to {known.max():.2f}"
    return (
        f'<svg width="660" height="{height + 22}" font-family="sans-serif" font-size="12">{"".join(bars)}'
        f'<text x="0" y="{height + 16}" fill="gray">{words}</text></svg>'
    )


class _Plot(PlotAccessor):
    """``plot()`` without arguments draws bars by layer; with arguments it is the ``plot`` of pandas."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or not {"accelerator", "layer", *_DRAWN} <= set(self._parent):
            return super().__call__(*args, **kwargs)
        return bars_by_layer(self._parent)


# What is drawn of a column: its name, its unit, and how many of the column's own units that is.
_DRAWN: Mapping[str, tuple[str, str, float]] = {
    "latency_cycles": ("latency", "thousand cycles", 1e3),
    "energy_pj": ("energy", "µJ", 1e6),
}


class Scores(pd.Series):
    """The series that ``swis.evaluate`` returns; it shows every number as people write it.

    >>> Scores({"top1": 93.6, "kl": 0.00123, "images": 10000.0})
    top1        93.60
    kl           0.0012
    images  10,000
    """

    @property
    def _constructor(self) -> type[Scores]:
        return Scores

    def __repr__(self) -> str:
        texts = [_readable(value) for value in self]
        names, whole = max(map(len, map(str, self.index)), default=0), [t.partition(".")[0] for t in texts]
        places = max(map(len, whole), default=0)
        return "\n".join(
            f"{name!s:<{names}}  {text.rjust(places + len(text) - len(before))}"
            for name, text, before in zip(self.index, texts, whole, strict=True)
        )


def _readable(value: Any) -> str:
    if not isinstance(value, Real):
        return str(value)
    if float(value).is_integer():
        return f"{value:,.0f}"
    small = abs(value) < 0.1  # such as a divergence
    return np.format_float_positional(value, 2, fractional=False) if small else f"{value:,.2f}"


class Simulated(pd.DataFrame):
    """The table that ``swis.simulate`` returns; ``plot()`` draws the cycles and energy of its layers."""

    @property
    def _constructor(self) -> type[Simulated]:
        return Simulated

    @property
    def plot(self) -> _Plot:
        """``plot()`` draws cycles and energy by layer; ``plot(...)`` and ``plot.bar`` are those of pandas."""
        return _Plot(self)


def bars_by_layer(table: pd.DataFrame) -> Any:
    """Draw the cycles and energy of every layer, with accelerators side by side; return the two axes.

    The legends have the sums over all layers; rows of the layer "total" are not drawn.

    >>> line = {"accelerator": "a", "layer": "fc", "latency_cycles": 10, "energy_pj": 20.0}
    >>> [axes.get_ylabel() for axes in bars_by_layer(pd.DataFrame([line]))]
    ['latency [thousand cycles]', 'energy [µJ]']
    """
    layers = table[table["layer"] != "total"]
    if layers.empty:
        raise InputError("the table has no layers to draw, only totals")
    count = int(layers.groupby("accelerator").size().max())
    with style():
        figure = plt.figure(
            figsize=(max(PAGE, 0.16 * count + 1.5), 4.8), layout="constrained", dpi=SCREEN_DPI
        )
        axes = grid_of_axes(figure, 2, 1, sharex=True)[:, 0]
        for each, (column, (word, unit, size)) in zip(axes, _DRAWN.items(), strict=True):
            side_by_side(layers, column, size, f"{word} [{unit}]", each)
    return axes
