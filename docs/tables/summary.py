"""The tables that sum up what was measured."""

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from swis.results.records import load_table


@table("python run.py experiment=first_table")
def first_table(results: Path) -> pd.DataFrame:
    """MobileNet-v2 on 10,000 test images of Fashion-MNIST, decomposed without calibration."""
    rows = load_table(results / "first_table")
    columns = {
        "method": "format",
        "bits": "shifts",
        "top1": "top-1 [%]",
        "weight_bits": "storage [bits/weight]",
        "cycles_per_weight": "time [cycles/weight]",
    }
    return rows[list(columns)].rename(columns=columns)
