"""Drawings as SVG: sharp on every screen, made in milliseconds, seen in a saved notebook without a kernel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import seaborn as sns

from swis.explore.png import png
from swis.plots.figures import PALETTE

# The palette of all figures, which colour-blind people tell apart; its yellow and light blue last.
COLOURS = tuple(sns.color_palette(PALETTE).as_hex())
MARKERS = ("circle", "square", "diamond", "triangle", "cross")
_INK, _FAINT, _GRID = "#222222", "#666666", "#e4e4e4"
_STYLE = (
    "<style>.swis-tab .widget-html,.swis-tab .widget-html-content{min-width:0;width:100%}"
    ".swis-drawings{display:flex;flex-wrap:wrap;align-items:flex-start;gap:14px}"
    ".swis-table{border-collapse:collapse;font-size:13px;margin:8px 0;background:white;color:#222}"
    ".swis-table td,.swis-table th{padding:3px 12px 3px 4px;text-align:left;border-bottom:1px solid #e4e4e4;"
    "white-space:nowrap}.swis-table tr[data-name]{cursor:pointer}.swis-table tr[data-name]:hover{"
    "background:#eef4fa}.swis-table .swis-marked{background:#fbe9cf}.swis-lines{overflow:auto;"
    "max-height:380px}.swis-code{background:#f6f6f6;color:#222;padding:10px;font-size:13px;overflow-x:auto;"
    "line-height:1.4}</style>"
)
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNITS = ((1e9, " G"), (1e6, " M"), (1e3, " k"))


def readable(value: float) -> str:
    """Return a number with three digits at most and a unit of thousands, as people write it.

    >>> [readable(value) for value in (1234567890, 20480, 7.0, 0.04567, float("nan"))]
    ['1.23 G', '20.5 k', '7', '0.0457', '-']
    """
    if value is None or not math.isfinite(value):
        return "-"
    size, unit = next((each for each in _UNITS if abs(value) >= each[0]), (1, ""))
    return np.format_float_positional(value / size, precision=3, fractional=False, trim="-") + unit


@dataclass(frozen=True)
class Scale:
    """A span of values and where they lie on an axis, from 0 to 1.

    >>> Scale(1, 100, log=True).place(10)
    0.5
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def over(cls, values: Iterable[float], log: bool = False, zero: bool = False) -> Scale:
        """Return a scale with room for values and a margin; ``zero``: from 0, or from it downwards."""
        known = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        low, high = (min(known), max(known)) if known else (1.0, 10.0)
        if log:
            return cls(low / 1.3, high * 1.3, log=True)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        margin = 0.06 * (high - low) or 0.5
        return cls(low if zero and low == 0 else low - margin, high + margin)

    def place(self, value: float) -> float:
        if self.log:
            value = max(value, self.low)
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return some values with their labels."""
        if not self.log:
            step = _round_step((self.high - self.low) / 6.5)
            first = math.ceil(self.low / step - 1e-9)
            values = [step * n for n in range(first, math.floor(self.high / step + 1e-9) + 1)]
            return [(value, readable(round(value, 12))) for value in values]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        every = max(1, len(decades) // 5)
        fine = (1, 2, 5) if len(decades) <= 3 else (1,)
        values = [n * 10.0**decade for decade in decades if decade % every == 0 for n in fine]
        inside = [value for value in values if self.low <= value <= self.high]
        return [(value, _power(value)) for value in inside]


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * n for n in (1, 2, 5, 10) if power * n >= least * (1 - 1e-9))


def _power(value: float) -> str:
    exponent = round(math.log10(value), 6)
    far = not 1e-2 <= value < 1e12
    return "10" + str(round(exponent)).translate(_RAISED) if far else readable(value)


@dataclass
class Drawing:
    """A drawing of a width and height [pixels]: shapes are added to it one by one.

    >>> drawing = Drawing(100, 20)
    >>> drawing.text(5, 15, "a < b")
    >>> "a &lt; b" in drawing.svg()
    True
    """

    width: float
    height: float
    parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 13,
        anchor: str = "start",
        colour: str = _INK,
        bold: bool = False,
        turned: float = 0,
    ) -> None:
        turn = f' transform="rotate({turned} {x:.1f} {y:.1f})"' if turned else ""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
            f"{weight}{turn}>{escape(text)}</text>"
        )

    def rectangle(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: str,
        *,
        name: str | None = None,
        tip: str = "",
        edge: str = "",
    ) -> None:
        """Add a rectangle; a ``name`` is what a click on it says, ``tip`` is shown below a pointer."""
        size = f'width="{max(width, 0):.1f}" height="{max(height, 0):.1f}"'
        look = f'fill="{colour}"' + (f' stroke="{edge}"' if edge else "")
        self._shape(f'<rect x="{x:.1f}" y="{y:.1f}" {size} {look}', name, tip)

    def line(
        self, points: Sequence[tuple[float, float]], colour: str = _INK, width: float = 1, dash: str = ""
    ) -> None:
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>'
        )

    def mark(
        self,
        x: float,
        y: float,
        colour: str,
        marker: str = "circle",
        *,
        size: float = 5,
        name: str | None = None,
        tip: str = "",
    ) -> None:
        s = size
        corners = {
            "square": ((-s, -s), (s, -s), (s, s), (-s, s)),
            "diamond": ((0, -1.3 * s), (1.3 * s, 0), (0, 1.3 * s), (-1.3 * s, 0)),
            "triangle": ((0, -1.2 * s), (1.2 * s, s), (-1.2 * s, s)),
            "cross": ((-s, -s), (0, -s / 2), (s, -s), (s / 2, 0), (s, s), (0, s / 2), (-s, s), (-s / 2, 0)),
        }
        look = f'fill="{colour}" fill-opacity="0.75" stroke="white" stroke-width="0.8"'
        if marker in corners:
            places = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[marker])
            self._shape(f'<polygon points="{places}" {look}', name, tip)
        else:
            self._shape(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s}" {look}', name, tip)

    def legend(self, x: float, y: float, entries: Sequence[tuple[str, ...]], room: float) -> float:
        """Add colours with their words, in lines ``room`` wide; return where the next line is.

        Entries are a colour, words, and the marker if it is not a square of colour.
        """
        at = x
        for colour, words, *marker in entries:
            width = 32 + 7.2 * len(words)
            if at > x and at + width > x + room:
                at, y = x, y + 20
            if marker:
                self.mark(at + 6, y - 4, colour, marker[0], size=5.5)
            else:
                self.rectangle(at, y - 10, 12, 12, colour, edge="#999999")
            self.text(at + 17, y, words, size=12)
            at += width
        return y + 20

    def _shape(self, start: str, name: str | None, tip: str) -> None:
        named = "" if name is None else f' data-name="{escape(name)}" style="cursor:pointer"'
        title = f"<title>{escape(tip)}</title>" if tip else ""
        tag = start[1 : start.index(" ")]
        self.parts.append(f"{start}{named}>{title}</{tag}>" if title else f"{start}{named}/>")

    def svg(self, style: str = "") -> str:
        """Return the drawing as an element of SVG."""
        look = f' style="{style}"' if style else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}" '
            f'width="{self.width:g}" height="{self.height:g}" font-family="Helvetica, Arial, sans-serif"'
            f"{look}>"
            f'<rect width="100%" height="100%" fill="white"/>{"".join(self.parts)}</svg>'
        )


@dataclass
class Plot(Drawing):
    """A drawing with a frame, two scales, and a title above them; ``at`` says where values lie.

    >>> plot = Plot(400, 300, title="cost", x=Scale(0, 10), y=Scale(0, 1))
    >>> plot.at(10, 0)
    (380.0, 250.0)
    """

    title: str = ""
    x: Scale = Scale(0, 1)
    y: Scale = Scale(0, 1)
    x_label: str = ""
    y_label: str = ""
    left: float = 72
    right: float = 20
    top: float = 40
    bottom: float = 50
    x_ticks: bool = True

    def __post_init__(self) -> None:
        self.text(self.left, 22, self.title, size=15, bold=True)
        low, high = self.height - self.bottom, self.top
        for value, label in self.y.ticks():
            _, y = self.at(self.x.low, value)
            self.line([(self.left, y), (self.width - self.right, y)], _GRID)
            self.text(self.left - 7, y + 4, label, size=12, anchor="end", colour=_FAINT)
        for value, label in self.x.ticks() if self.x_ticks else ():
            x, _ = self.at(value, self.y.low)
            self.line([(x, low), (x, high)], _GRID)
            self.text(x, low + 17, label, size=12, anchor="middle", colour=_FAINT)
        self.line([(self.left, high), (self.left, low), (self.width - self.right, low)], _FAINT)
        self.text((self.left + self.width - self.right) / 2, low + 37, self.x_label, anchor="middle")
        self.text(18, (low + high) / 2, self.y_label, anchor="middle", turned=-90)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place [pixels] of a pair of values."""
        across, down = self.width - self.left - self.right, self.height - self.top - self.bottom
        return self.left + across * self.x.place(x), self.height - self.bottom - down * self.y.place(y)


@dataclass(frozen=True)
class Picture:
    """What a tab shows: drawings, side by side where there is room, and words above and below them as HTML.

    ``svg`` has the drawings alone, as a notebook shows them without a kernel.

    >>> Picture([Drawing(100, 20), Drawing(100, 30)]).svg().count("<svg")
    3
    """

    drawings: Sequence[Drawing]
    below: str = ""

    def html(self) -> str:
        least = "flex:1 1 {:.0f}px;max-width:{:.0f}px;min-width:0;height:auto"
        drawn = (each.svg(least.format(0.9 * each.width, 1.08 * each.width)) for each in self.drawings)
        row = (
            f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start;gap:14px">{"".join(drawn)}</div>'
        )
        return f'<div class="swis-picture">{_STYLE}{row}{self.below}</div>'

    def svg(self) -> str:
        return page(self.drawings)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"image/svg+xml": self.svg(), "image/png": png(self.svg()), "text/plain": "a picture"}


def page(drawings: Sequence[Drawing], width: float = 1140) -> str:
    """Return drawings as one element of SVG, side by side as far as they fit into a width."""
    x = y = deepest = widest = 0.0
    parts = []
    for each in drawings:
        if x and x + each.width > width:
            x, y, deepest = 0.0, y + deepest, 0.0
        parts.append(f'<svg x="{x:g}" y="{y:g}"{each.svg().removeprefix("<svg")}')
        x, deepest, widest = x + each.width, max(deepest, each.height), max(widest, x + each.width)
    height = y + deepest
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {widest:g} {height:g}" '
        f'width="{widest:g}" height="{height:g}"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>"
    )


def bars(
    title: str,
    groups: Sequence[str],
    parts: dict[str, Sequence[float]],
    label: str,
    *,
    width: float = 560,
    by_group: bool = False,
) -> Drawing:
    """Draw lying bars, one below the other, of parts that add up, the sum at their ends.

    Parts have colours, or with ``by_group`` the bars.

    >>> drawing = bars("Energy", ["one", "two"], {"array": [1, 2], "DRAM": [3, 4]}, "µJ")
    >>> "6 µJ" in drawing.svg()
    True
    """
    sums = [sum(values) for values in zip(*parts.values(), strict=True)]
    most = max([*sums, 1e-12])
    entries = list(zip(COLOURS, parts, strict=False)) if len(parts) > 1 else []
    drawing = Drawing(width, 0)
    drawing.text(14, 22, title, size=15, bold=True)
    y = 42.0
    if entries:
        y = drawing.legend(14, 44, entries, width - 20) - 4
    room = width - 28 - 90
    for place, (group, total) in enumerate(zip(groups, sums, strict=True)):
        drawing.text(14, y + 12, group, size=12.5)
        x = 14.0
        for colour, (part, values) in zip(COLOURS[place * by_group :], parts.items(), strict=False):
            length = room * values[place] / most
            tip = f"{group}, {part}: {readable(values[place])} {label}"
            drawing.rectangle(x, y + 18, length, 20, colour, tip=tip)
            x += length
        drawing.text(x + 6, y + 33, f"{readable(total)} {label}", size=12.5)
        y += 48
    drawing.height = y + 8
    return drawing
