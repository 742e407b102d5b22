"""What each freedom of a shared-set format brings: rows that differ from plain SWIS in one property."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.swis_signed import SwisSigned
from swis.results.records import load_table

PLAIN = "SWIS"
SHIFTS = 2
_PRICE = 0.01  # of a bit, among the rates of results/rate

# Each variant by its format and the number of sets that a layer keeps.
_VARIANTS = {
    (Swis.name, None): PLAIN,
    (SwisC.name, None): "consecutive powers",
    (Swis.name, 4): "4 sets per layer",
    (Swis.name, 1): "one set per layer",
    (SwisSigned.name, None): "signed digits",
}
PRICED = "bits have a price"


def freedoms(results: Path) -> pd.DataFrame:
    """Return a row per network and variant with two shifts and entropy coding, in the order of variants.

    ``variant`` says how the row differs from plain SWIS, which has any sets for every group of 4 weights, one
    sign per weight, and levels chosen without regard to their bits. Every variant differs in one property.
    """
    rows = load_table(results / "ablation", "all").query("bits == @SHIFTS and seed == 0")
    kept = [json.loads(config)["calibration"].get("codebook") for config in rows["config"]]
    names = [_VARIANTS.get(pair) for pair in zip(rows["method"], kept, strict=True)]
    priced = load_table(results / "rate", "all").query("bits == @SHIFTS and seed == 0 and rate == @_PRICE")
    priced = priced[priced["method"] == Swis.name]
    found = pd.concat([rows.assign(variant=names), priced.assign(variant=PRICED)]).dropna(subset="variant")
    order = [*_VARIANTS.values(), PRICED]
    return found.sort_values(
        ["model", "variant"],
        key=lambda column: column.map(order.index) if column.name == "variant" else column,
    )
