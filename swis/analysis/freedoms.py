"""What each freedom of a shared-set format brings: rows that differ from plain SWIS in one property."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.swis_signed import SwisSigned
from swis.results.records import load_table

SHIFTS = 2
PLAIN = "SWIS"

# Each variant by its format, the sets that a layer keeps (0 for all), and the price of a bit.
VARIANTS = {
    (Swis.name, 0, 0.0): PLAIN,
    (SwisC.name, 0, 0.0): "consecutive powers",
    (Swis.name, 4, 0.0): "4 sets per layer",
    (Swis.name, 1, 0.0): "one set per layer",
    (SwisSigned.name, 0, 0.0): "signed digits",
    (Swis.name, 0, 0.01): "a price of bits",
}


def freedoms(results: Path) -> pd.DataFrame:
    """Return a row per network and variant, with two shifts and entropy coding, in the order of variants.

    ``variant`` says how the row differs from plain SWIS: it takes any sets for its groups of 4 weights, has
    one sign per weight, and its levels are chosen without regard to their bits.
    """
    tables = [load_table(results / name, "all") for name in ("rate", "ablation")]
    rows = pd.concat(tables).query("bits == @SHIFTS and seed == 0").drop_duplicates("key")
    kept = [json.loads(config)["calibration"].get("codebook") or 0 for config in rows["config"]]
    keys = zip(rows["method"], kept, rows["rate"].fillna(0.0), strict=True)
    variants = pd.Categorical([VARIANTS.get(key) for key in keys], list(VARIANTS.values()), ordered=True)
    found = rows.assign(variant=variants).dropna(subset="variant").sort_values(["model", "variant"])
    return found.astype({"variant": str})
