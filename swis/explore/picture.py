"""What a tab shows: drawings side by side, and tables and words below them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

from swis.explore.drawing import Drawing, Entry
from swis.explore.png import png
from swis.explore.scale import readable

_PAGE, _GAP = 1260, 14
_STYLE = (
    "<style>.swis-tab .widget-html,.swis-tab .widget-html-content{min-width:0;width:100%;margin:0}"
    ".swis-table{border-collapse:collapse;font-size:13px;margin:0;background:white;color:#222}"
    ".swis-table td,.swis-table th{padding:3px 8px;text-align:left;border-bottom:1px solid #e4e4e4;"
    "white-space:nowrap}.swis-table .swis-number{text-align:right}"
    ".swis-table th{position:sticky;top:0;background:white}"
    ".swis-table tr[data-name]{cursor:pointer}.swis-table tr[data-name]:hover td{background:#eef4fa}"
    ".swis-table .swis-marked td{background:#fbe9cf}"
    ".swis-lines{overflow:auto;max-height:380px;margin:8px 0}"
    ".swis-note{font-size:13px;line-height:1.4;margin:6px 0}"
    ".swis-notice{background:#fdf1dc;color:#222;padding:6px 14px}"
    ".swis-code{background:#f6f6f6;color:#222;padding:10px;font-size:13px;overflow-x:auto;"
    "white-space:pre;line-height:1.4}</style>"
)


@dataclass(frozen=True)
class Picture:
    """What a tab shows: drawings, side by side where there is room, and HTML ``above`` and ``below`` them.

    ``svg`` has the drawings alone, as a notebook shows them without a kernel.

    >>> Picture([Drawing(100, 20), Drawing(100, 30)]).svg().count("<svg")
    3
    """

    drawings: Sequence[Drawing]
    below: str = ""
    above: str = ""

    def html(self) -> str:
        width = max(each.width for each in self.drawings if not each.row or len(self.drawings) == 1)
        columns = f"repeat(auto-fill,minmax(min(100%,{0.9 * width:.0f}px),1fr))"
        drawn = "".join(
            each.svg(
                f"width:100%;height:auto;max-width:{each.width if each.row else 1.2 * each.width:.0f}px"
                + (";grid-column:1/-1" if each.row else "")
            )
            for each in self.drawings
        )
        grid = f"display:grid;grid-template-columns:{columns};gap:{_GAP}px"
        drawn = f'{self.above}<div style="{grid}">{drawn}</div>{self.below}'
        return f'<div class="swis-picture">{_STYLE}{drawn}</div>'

    def svg(self) -> str:
        return page(self.drawings)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"image/svg+xml": self.svg(), "image/png": png(self.svg()), "text/plain": "a picture"}


def message(text: str) -> Picture:
    """Return a picture that says what is wrong.

    >>> "choose one" in message("choose one").svg()
    True
    """
    lines = textwrap.wrap(text, 100)
    drawing = Drawing(760, 20 + 20 * len(lines))
    for number, line in enumerate(lines):
        drawing.text(14, 24 + 20 * number, line, colour="#b34700")
    return Picture([drawing])


def page(drawings: Sequence[Drawing]) -> str:
    """Return drawings as one element of SVG, side by side as far as they fit into a page."""
    x = y = deepest = widest = 0.0
    parts = []
    for each in drawings:
        if x and (each.row or x + each.width > _PAGE):
            x, y, deepest = 0.0, y + deepest + _GAP, 0.0
        parts.append(f'<svg x="{x:g}" y="{y:g}"{each.svg().removeprefix("<svg")}')
        deepest, widest = max(deepest, each.height), max(widest, x + each.width)
        x = _PAGE + 1 if each.row else x + each.width + _GAP
    height = y + deepest
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {widest:g} {height:g}" '
        f'width="{widest:g}" height="{height:g}"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>"
    )


class Part(NamedTuple):
    """A part of a bar: its colour, what it is called, and its length in the unit of the drawing."""

    colour: str
    words: str
    value: float


def bars(
    title: str,
    lines: Mapping[str, Sequence[Part]],
    unit: str,
    *,
    width: float,
    entries: Sequence[Entry] = (),
    subtitle: str = "",
) -> Drawing:
    """Draw lying bars, one below the other, of parts that add up, the sum at their ends.

    >>> parts = [Part("#111111", "array", 1), Part("#222222", "DRAM", 5)]
    >>> drawing = bars("Energy", {"one": parts}, "µJ", width=300)
    >>> "6 µJ" in drawing.svg()
    True
    """
    sums = {line: sum(part.value for part in parts) for line, parts in lines.items()}
    most = max([*sums.values(), 1e-12])
    drawing = Drawing(width, 0)
    drawing.heading(title, subtitle)
    y = 58.0 if subtitle else 42.0
    if entries:
        y = drawing.legend(14, y + 2, entries, width - 20) - 4
    for line, parts in lines.items():
        drawing.text(14, y + 12, line, size=12.5)
        x = 14.0
        for part in parts:
            length = (width - 28 - 100) * part.value / most
            tip = f"{line}, {part.words}: {readable(part.value)} {unit}"
            drawing.rectangle(x, y + 18, length, 18, part.colour, tip=tip)
            x += length
        drawing.text(x + 6, y + 32, f"{readable(sums[line])} {unit}", size=12.5)
        y += 46
    drawing.height = y + 8
    return drawing


def table(
    columns: Sequence[str],
    lines: Iterable[Sequence[str | float]],
    names: Sequence[str] = (),
    marked: str | None = None,
    digits: int = 3,
) -> str:
    """Return a table as HTML, numbers on the right; a click on a line says its name, if ``names`` are given.

    The line of the name that is ``marked`` has another colour.

    >>> "<td>a &lt; b</td>" in table(["words"], [["a < b"]])
    True
    """
    lines = [list(line) for line in lines]
    numeric = [any(isinstance(line[n], float | int) for line in lines) for n in range(len(columns))]
    looks = [' class="swis-number"' if each else "" for each in numeric]
    head = "".join(f"<th{look}>{escape(words)}</th>" for look, words in zip(looks, columns, strict=True))
    rows = []
    for number, line in enumerate(lines):
        name = names[number] if names else None
        about = "" if name is None else f' data-name="{escape(name)}"'
        about += ' class="swis-marked"' if name is not None and name == marked else ""
        cells = (value if isinstance(value, str) else readable(value, digits) for value in line)
        row = "".join(f"<td{look}>{escape(cell)}</td>" for look, cell in zip(looks, cells, strict=True))
        rows.append(f"<tr{about}>{row}</tr>")
    return f'<div class="swis-lines"><table class="swis-table"><tr>{head}</tr>{"".join(rows)}</table></div>'


def notes(lines: Iterable[str], look: str = "") -> str:
    """Return sentences as HTML, one below the other; with a ``look``, as that class of style says.

    >>> notes(["a < b"])
    '<p class="swis-note">a &lt; b</p>'
    """
    names = f"swis-note {look}".strip()
    return "".join(f'<p class="{names}">{escape(line)}</p>' for line in lines)
