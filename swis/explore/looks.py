"""How formats, designs and other values look: SWIS in strong colours, what it is compared with in greys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle

import seaborn as sns

from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.plots.style import PALETTE

# The palette of all figures, which colour-blind people tell apart; its grey is left to references.
COLOURS = tuple(each for each in sns.color_palette(PALETTE).as_hex() if each != "#949494")
MARKERS = ("circle", "square", "diamond", "triangle", "cross", "down", "plus")
_DASHES = ("", "7 3", "2 3", "9 3 2 3")
BLUE, ORANGE, GREEN, RED, SKY = (COLOURS[n] for n in (0, 1, 2, 3, 8))


@dataclass(frozen=True)
class Look:
    """The colour, the marker and the dashes of a value."""

    colour: str
    marker: str = "circle"
    dash: str = ""


def _greys(names: Iterable[str]) -> dict[str, Look]:
    shades = cycle(("#333333", "#666666", "#8c8c8c", "#a8a8a8"))
    looks = zip(names, shades, cycle(MARKERS[1:]), cycle(_DASHES[1:]))
    return {name: Look(shade, marker, dash) for name, shade, marker, dash in looks}


_FORMATS = {Swis.name: Look(BLUE), SwisC.name: Look(ORANGE, "diamond")}
_FORMATS |= _greys(kind.name for kind in (Int8, Truncate, Round, Uniform, Float))

_DESIGNS = {"swis_ss": Look(BLUE), "swis_ds": Look(SKY, "diamond"), "swis_c": Look(ORANGE, "triangle")}
_DESIGNS |= _greys(
    (
        *("stripes", "truncation", "systolic_os", "stripes_activations", "loom", "systolic_ws"),
        *("pragmatic", "bitwave", "bitlet", "laconic", "bitfusion"),
    )
)
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

    >>> design_looks(["swis_ss", "mine"])["mine"].colour == GREEN
    True
    """
    return _looks(_DESIGNS, names)


def value_looks(column: str, values: Iterable[str]) -> dict[str, Look]:
    """Return how the values of a column of results look.

    >>> [look.marker for look in value_looks("method", ["swis", "truncate"]).values()]
    ['circle', 'diamond']
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
