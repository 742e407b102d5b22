"""One style for all figures: widths of a page, sizes of text, and what colour and mark belongs to what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import NullFormatter, NullLocator

from swis.analysis.trade_offs import on_swis_arrays
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.swis_signed import SwisSigned
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.formats.uniform_group import UniformGroup
from swis.plots.names import label_of

# Widths of a column and of a page of a paper [inches], and what text measures there [points].
COLUMN, PAGE = 3.5, 7.2
TEXT, SMALL = 9, 8
DPI = 300
SCREEN_DPI = 110  # for notebooks

# SWIS is blue, what is related to it a lighter blue, and all that it is compared with grey. The lightness of
# each differs, so that a print without colours tells them apart as well.
SWIS, SWIS_C = "#0a3f91", "#56b4e9"
SWIS_MIDDLE, SWIS_LIGHT = "#4a72bd", "#8fa6d6"  # of variants of SWIS beside each other
INK, DARK, MIDDLE, LIGHT = "#222222", "#666666", "#8f8f8f", "#b0b0b0"
PALE, FAINT = "#cdcdcd", "#e6e6e6"
ACCENT = "#d55e00"
SHADE = "#dfeaf6"  # behind what is of SWIS
_AS_TEXT = {SWIS_C: "#1f7db3", MIDDLE: DARK, LIGHT: DARK}  # thin strokes are hard to read in light colours

# Colours for what has none of its own; colour-blind people tell them apart.
PALETTE = (
    *(SWIS, "#de8f05", "#029e73", ACCENT, "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", SWIS_C),
)

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": TEXT,
    "axes.titlesize": TEXT,
    "axes.titlelocation": "left",
    "axes.labelsize": TEXT,
    "axes.linewidth": 0.6,
    "axes.edgecolor": DARK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.color": INK,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "figure.titlesize": TEXT,
    "figure.titleweight": "bold",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw what is drawn inside in the style of all figures, whatever the settings of matplotlib are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


@dataclass(frozen=True)
class Look:
    """How a line of a format is drawn; hollow marks are of the weaker references."""

    colour: str
    marker: str
    dashes: Any = "-"
    width: float = 1.2
    hollow: bool = False
    order: float = 2

    def line(self) -> dict[str, Any]:
        """Return the look as keywords of ``Axes.plot``."""
        face = "white" if self.hollow else self.colour
        marks = {"marker": self.marker, "markerfacecolor": face, "markeredgecolor": self.colour}
        lines = {"color": self.colour, "linestyle": self.dashes, "linewidth": self.width}
        return lines | marks | {"markeredgewidth": 0.9, "zorder": self.order}

    def marks(self) -> dict[str, Any]:
        """Return the look as keywords of ``Axes.plot`` for marks without a line."""
        return self.line() | {"linestyle": "none"}


# A format looks the same in all figures; these are in the order of legends.
_LOOKS = {
    Swis.name: Look(SWIS, "o", width=1.9, order=4),
    SwisC.name: Look(SWIS_C, "D", width=1.5, order=3.5),
    SwisSigned.name: Look(ACCENT, "P", width=1.9, order=4.2),
    Uniform.name: Look(DARK, "s", (0, (5, 1.5)), order=3),
    Round.name: Look(MIDDLE, "^", (0, (3, 1.5)), hollow=True),
    Truncate.name: Look(LIGHT, "v", (0, (1, 1)), hollow=True),
    Int8.name: Look(INK, "*", hollow=True, order=5),
    Float.name: Look(INK, "None", width=0.8),
    UniformGroup.name: Look(DARK, "X", (0, (1, 1)), order=3),
}

KNOWN_FORMATS = tuple(_LOOKS)


def looks_of(methods: Iterable[str]) -> dict[str, Look]:
    """Return how each of some formats is drawn, in the order of legends; a user's formats come last.

    >>> list(looks_of(["mine", "uniform", "swis"]))
    ['swis', 'uniform', 'mine']
    """
    wanted = set(methods)
    others = zip(sorted(wanted - set(_LOOKS)), cycle(PALETTE[1:-1]), cycle("PXhpd<>"))
    known = _LOOKS | {name: Look(colour, marker) for name, colour, marker in others}
    return {name: look for name, look in known.items() if name in wanted}


def colours_of_designs(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for every accelerator: blue for SWIS arrays, grey for all others.

    >>> colours_of_designs(["swis_ss", "stripes"]) == {"swis_ss": SWIS, "stripes": DARK}
    True
    """
    blue, grey = cycle((SWIS, SWIS_C, SWIS_MIDDLE)), cycle((DARK, LIGHT, INK, MIDDLE, PALE))
    ours = on_swis_arrays(pd.DataFrame({"accelerator": names}))
    return {name: next(blue if mine else grey) for name, mine in zip(names, ours, strict=True)}


def new_figure(height: float, width: float = PAGE) -> Figure:
    """Return an empty figure, ``PAGE`` or ``COLUMN`` wide; a notebook would show one of pyplot twice."""
    return Figure((width, height), layout="constrained", dpi=SCREEN_DPI)


def grid_of_axes(
    figure: FigureBase, rows: int, columns: int, grid: str = "y", **keywords: Any
) -> np.ndarray[Any, Any]:
    """Return axes [rows, columns] in the style of all figures; ``grid`` says along which axes lines lie."""
    found = figure.subplots(rows, columns, squeeze=False, **keywords)
    for axes in found.flat:
        plain(axes, grid)
    return found


def plain(axes: Axes, grid: str = "y") -> Axes:
    """Give axes small ticks and faint lines along an axis: "x", "y", "both" or "" for none."""
    # as settings of the axes, for ticks are often made after the style is left
    axes.tick_params(labelsize=SMALL, length=2.5, width=0.6, color=DARK, labelcolor=INK, pad=2)
    if grid:
        axes.grid(axis=grid, color=FAINT, linewidth=0.6)
    return axes


def message(figure: Figure, text: str) -> None:
    """Write the title of a figure, what it says, above it."""
    figure.suptitle(text, x=0.005, ha="left")


def one_legend(figure: Figure, axes: Iterable[Axes], columns: int | None = None) -> None:
    """Give a figure one legend below its axes, of all that is labelled in some of them, formats first."""
    found: dict[str, Any] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    ranks = {label_of(method): rank for rank, method in enumerate(_LOOKS)}
    labels = sorted(found, key=lambda label: ranks.get(label, len(ranks)))
    handles = [found[label] for label in labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=columns or len(labels))


def real_ticks(axes: Axes, which: str, ticks: Iterable[float]) -> None:
    """Put ticks at these values of an axis, "x" or "y", as on a logarithmic one, and nowhere else."""
    axis, values = {"x": axes.xaxis, "y": axes.yaxis}[which], list(ticks)
    axis.set_ticks(values, [f"{value:g}" for value in values])
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def level(axes: Axes, value: float, label: str = "float") -> None:
    """Draw a level, such as the float network's accuracy, as a thin line across the axes."""
    axes.axhline(value, color=INK, linewidth=0.8, zorder=1, label=label)


def beside(
    text: str, point: tuple[float, float], apart: tuple[float, float], axes: Axes, colour: str, side: str
) -> None:
    """Write a text some points apart from what it names, legible over lines; it takes no room of its own.

    ``side``: "left" if the text begins there, "right" if it ends there, or "center".
    """
    ink = _AS_TEXT.get(colour, colour)
    look = {"ha": side, "va": "center", "fontsize": SMALL, "color": ink, "zorder": 6}
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.3}
    axes.annotate(text, point, apart, textcoords="offset points", bbox=behind, **look).set_in_layout(False)
