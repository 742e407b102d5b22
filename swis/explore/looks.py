"""How formats, designs and other values look: SWIS in strong colours, what it is compared with in greys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle

from swis.plots.style import (
    ACCENT,
    DARK,
    INK,
    KNOWN_FORMATS,
    LIGHT,
    MIDDLE,
    PALETTE,
    SWIS,
    SWIS_C,
    SWIS_MIDDLE,
    looks_of,
)

GREY = "#949494"  # the palette's grey is left to references
COLOURS = tuple(each for each in PALETTE if each != GREY)
BLUE, ORANGE, _, RED = COLOURS[:4]
# The markers of the figures' formats, by their names here.
_MARKERS = {
    "o": "circle",
    "D": "diamond",
    "s": "square",
    "^": "triangle",
    "v": "down",
    "P": "plus",
    "*": "plus",
    "X": "cross",
    "None": "cross",
}
MARKERS = ("circle", "square", "diamond", "triangle", "cross", "down", "plus")
_DASHES = ("", "7 3", "2 3", "9 3 2 3")


@dataclass(frozen=True)
class Look:
    """The colour, the marker and the dashes of a value."""

    colour: str
    marker: str = "circle"
    dash: str = ""


_FORMATS = {
    name: Look(look.colour, _MARKERS[look.marker], dash)
    for (name, look), dash in zip(looks_of(KNOWN_FORMATS).items(), cycle(_DASHES))
}
_REFERENCES = (
    *("stripes", "truncation", "systolic_os", "stripes_activations", "loom", "systolic_ws"),
    *("pragmatic", "bitwave", "bitlet", "laconic", "bitfusion"),
)
_DESIGNS = {
    "swis_ss": Look(SWIS),
    "swis_ds": Look(SWIS_MIDDLE, "diamond"),
    "swis_c": Look(SWIS_C, "triangle"),
    "swis_signed": Look(ACCENT, "plus"),
    "swis_signed_ds": Look(ACCENT, "cross", "7 3"),
} | {
    name: Look(shade, MARKERS[1 + n % (len(MARKERS) - 1)], _DASHES[1 + n % 3])
    for n, (name, shade) in enumerate(zip(_REFERENCES, cycle((INK, DARK, MIDDLE, LIGHT))))
}
# Columns of results whose values have a look of their own.
_KNOWN = {"method": _FORMATS, "format": _FORMATS, "accelerator": _DESIGNS}


def format_looks(names: Iterable[str]) -> dict[str, Look]:
    """Return how formats look.

    >>> format_looks(["swis", "mine"])["swis"].colour == BLUE
    True
    """
    return _looks(_FORMATS, names)


def design_looks(names: Iterable[str]) -> dict[str, Look]:
    """Return how designs of accelerators look.

    >>> design_looks(["swis_ss", "mine"])["mine"].colour == ORANGE
    True
    """
    return _looks(_DESIGNS, names)


def value_looks(column: str, values: Iterable[str]) -> dict[str, Look]:
    """Return how the values of a column of results look.

    >>> [look.marker for look in value_looks("method", ["swis", "truncate"]).values()]
    ['circle', 'down']
    """
    return _looks(_KNOWN.get(column, {}), values)


def _looks(known: Mapping[str, Look], names: Iterable[str]) -> dict[str, Look]:
    """Return looks of names, the known ones first; others have strong colours that no known one has."""
    order = list(known)
    names = sorted(names, key=lambda name: order.index(name) if name in known else len(order))
    taken = {look.colour for look in known.values()}
    free = cycle((c, m) for c, m in zip(COLOURS, cycle(MARKERS)) if c not in taken)
    return {name: known[name] if name in known else Look(*next(free)) for name in names}


def tint(colour: str) -> str:
    """Return a colour that is half as strong.

    >>> tint("#0000ff")
    '#8c8cff'
    """
    parts = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    return "#" + "".join(f"{round(0.45 * part + 0.55 * 255):02x}" for part in parts)
