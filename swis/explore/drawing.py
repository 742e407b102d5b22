"""Drawings as SVG: sharp on every screen, made in milliseconds, seen in a saved notebook without a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from swis.explore.scale import Scale

INK, FAINT, GRID = "#222222", "#666666", "#e4e4e4"

# A letter of text of size 1 takes so much room at most.
_LETTER = 0.6


class Entry(NamedTuple):
    """What a legend says of a colour: with its marker, or as a line with ``dash``, or a square of colour."""

    colour: str
    words: str
    marker: str = ""
    dash: str | None = None


@dataclass
class Drawing:
    """A drawing of a width and height [pixels]: shapes are added to it one by one.

    ``row``: it has a row of a picture to itself.

    >>> drawing = Drawing(100, 20)
    >>> drawing.text(5, 15, "a < b")
    >>> "a &lt; b" in drawing.svg()
    True
    """

    width: float
    height: float
    row: bool = False
    parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 13,
        anchor: str = "start",
        colour: str = INK,
        bold: bool = False,
        turned: float = 0,
    ) -> None:
        turn = f' transform="rotate({turned} {x:.1f} {y:.1f})"' if turned else ""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
            f"{weight}{turn}>{escape(text)}</text>"
        )

    def heading(self, title: str, subtitle: str = "") -> None:
        """Add a title at the top, and what explains it below; what does not fit is left out at its end."""
        self.text(14, 22, shortened(title, self.width - 28, 16), size=15, bold=True)
        if subtitle:
            self.text(14, 41, shortened(subtitle, self.width - 28, 12), size=12, colour=FAINT)

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
        self, points: Sequence[tuple[float, float]], colour: str = INK, width: float = 1, dash: str = ""
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
        s, t = size, size / 2.5
        plus = ((-t, -s), (t, -s), (t, -t), (s, -t), (s, t), (t, t), (t, s), (-t, s), (-t, t), (-s, t))
        corners = {
            "square": ((-s, -s), (s, -s), (s, s), (-s, s)),
            "diamond": ((0, -1.3 * s), (1.3 * s, 0), (0, 1.3 * s), (-1.3 * s, 0)),
            "triangle": ((0, -1.2 * s), (1.2 * s, s), (-1.2 * s, s)),
            "down": ((0, 1.2 * s), (1.2 * s, -s), (-1.2 * s, -s)),
            "cross": ((-s, -s), (0, -s / 2), (s, -s), (s / 2, 0), (s, s), (0, s / 2), (-s, s), (-s / 2, 0)),
            "plus": (*plus, (-s, -t), (-t, -t)),
        }
        look = f'fill="{colour}" fill-opacity="0.8" stroke="white" stroke-width="0.8"'
        if marker in corners:
            places = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[marker])
            self._shape(f'<polygon points="{places}" {look}', name, tip)
        else:
            self._shape(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s}" {look}', name, tip)

    def legend(self, x: float, y: float, entries: Sequence[Entry], room: float) -> float:
        """Add colours with their words, in lines ``room`` wide; return where the next line is."""
        at = x
        for entry in entries:
            width = _room_of(entry)
            if at > x and at + width > x + room:
                at, y = x, y + 20
            if entry.dash is not None:
                self.line([(at - 4, y - 4), (at + 13, y - 4)], entry.colour, 2, entry.dash)
            elif entry.marker:
                self.mark(at + 6, y - 4, entry.colour, entry.marker, size=5.5)
            else:
                self.rectangle(at, y - 10, 12, 12, entry.colour, edge="#999999")
            self.text(at + 17, y, entry.words, size=12)
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


def shortened(text: str, room: float, size: float) -> str:
    """Return a text that is not wider than ``room`` [pixels], with dots for what is left out at its end.

    >>> shortened("blocks.0.0.conv_dw", 60, 13)
    'blocks…'
    """
    most = int(room / (_LETTER * size))
    return text if len(text) <= most else text[: most - 1] + "…"


def _room_of(entry: Entry) -> float:
    return 32 + _LETTER * 12 * len(entry.words)


def lines_of(entries: Sequence[Entry], room: float) -> int:
    """Return how many lines a legend takes in a ``room``.

    >>> lines_of([Entry("#000000", "a word")] * 5, 200)
    3
    """
    at, lines = 0.0, 1
    for entry in entries:
        if at and at + _room_of(entry) > room:
            at, lines = 0.0, lines + 1
        at += _room_of(entry)
    return lines if entries else 0


@dataclass(kw_only=True)
class Plot(Drawing):
    """A drawing with a frame, two scales, a heading, and a legend below; ``at`` says where values lie.

    >>> plot = Plot(400, 300, title="cost", x=Scale(0, 10), y=Scale(0, 1))
    >>> plot.at(10, 0)
    (384.0, 248.0)
    """

    title: str = ""
    subtitle: str = ""
    x: Scale
    y: Scale
    x_label: str = ""
    y_label: str = ""
    entries: Sequence[Entry] = ()
    left: float = 72
    right: float = 16
    bottom: float = 52

    def __post_init__(self) -> None:
        self.heading(self.title, self.subtitle)
        self.top = 58 if self.subtitle else 40
        room = self.width - self.left - self.right
        legend = 20 * lines_of(self.entries, room)
        self.legend(self.left, self.height - legend + 6, self.entries, room)
        self.bottom += legend
        low, high = self.height - self.bottom, self.top
        for value, label in self.y.ticks():
            _, y = self.at(self.x.low, value)
            self.line([(self.left, y), (self.width - self.right, y)], GRID)
            self.text(self.left - 7, y + 4, label, size=12, anchor="end", colour=FAINT)
        for value, label in self.x.ticks():
            x, _ = self.at(value, self.y.low)
            self.line([(x, low), (x, high)], GRID)
            self.text(x, low + 17, label, size=12, anchor="middle", colour=FAINT)
        self.line([(self.left, high), (self.left, low), (self.width - self.right, low)], FAINT)
        self.text((self.left + self.width - self.right) / 2, low + 37, self.x_label, anchor="middle")
        self.text(18, (low + high) / 2, self.y_label, anchor="middle", turned=-90)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place [pixels] of a pair of values."""
        across, down = self.width - self.left - self.right, self.height - self.top - self.bottom
        return self.left + across * self.x.place(x), self.height - self.bottom - down * self.y.place(y)
