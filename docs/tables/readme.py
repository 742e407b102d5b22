"""The table that README.md and the first page have."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.tables.claims import claims, claims_most, claims_plain


@table("make claims")
def claims_short(results: Path) -> pd.DataFrame:
    """Claims of the paper, and what our rows say of them."""
    fair, plain, most = (part(results) for part in (claims, claims_plain, claims_most))
    value = plain["SWIS over it (range)"].str.partition(" (")[0]
    return pd.DataFrame(
        {
            "paper": fair["paper"],
            "our best case": most["our best case"],
            "our fair comparison": fair["our side"]
            + ", over "
            + fair["compared with"]
            + ": "
            + fair["our fair comparison (range)"],
            "verdict": fair["verdict"]
            + "; "
            + plain["SWIS is"]
            + " "
            + plain["simplest alternative"]
            + ": "
            + value,
        }
    ).rename_axis("the paper claims")
