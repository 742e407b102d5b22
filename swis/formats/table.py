"""The weight formats as a table."""

from __future__ import annotations

import pandas as pd

from swis.formats.registry import formats


def table() -> pd.DataFrame:
    """Return the known weight formats, one row each, indexed by name.

    ``class``: the class in ``swis``; ``swis.quantize`` takes an object of it. ``bits`` and ``cycles`` [per
    weight]: with default settings, for a filter of 64 weights. ``meaning``: one sentence.

    >>> table()["cycles"].to_dict()["swis"]
    2.0
    """
    rows = {}
    for name, kind in formats().items():
        fmt = kind()
        rows[name] = {
            "class": kind.__name__,
            "bits": fmt.stored_bits(1, 64) / 64,
            "cycles": float(fmt.level_bits) if fmt.quantized else None,
            "meaning": (kind.__doc__ or "").strip().splitlines()[0],
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("format")
