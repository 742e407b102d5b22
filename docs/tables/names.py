"""What tables call calibrations and formats, beside the names that figures have too."""

from __future__ import annotations

from swis.formats.registry import formats
from swis.plots.names import label_of

CALIBRATIONS = {
    "none": "none",
    "stats": "statistics",
    "output_aware": "output-aware",
    "reconstruct": "output-aware, rounding learned",
}
INGREDIENTS = {
    "none": "nearest levels",
    "stats": "+ channel statistics",
    "walk": "+ output-aware levels",
    "asymmetric": "+ float targets",
    "scales": "+ search over scales",
}


def format_of(method: str, bits: float) -> str:
    """Return a format with its number of shifts, or of bits where it has a quantizer of its own.

    >>> format_of("swis", 2.0), format_of("uniform", 3.0), format_of("int8", 7.0)
    ('SWIS, N = 2', 'uniform, 4 bits', '8-bit')
    """
    name, kind = label_of(method), formats()[method]
    if not kind.has_shifts:
        return name
    return f"{name}, {bits + 1:g} bits" if kind.own_quantizer else f"{name}, N = {bits:g}"
