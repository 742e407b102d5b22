"""The rows that several figures are drawn from."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from swis.analysis.ablation import CALIBRATION, fully_calibrated
from swis.analysis.trade_offs import with_accuracy
from swis.results.records import load_simulated, load_table


def calibrated_on_imagenet(results: Path) -> pd.DataFrame:
    columns = [*CALIBRATION, "model", "data", "bits", "magnitude_bits", "top1"]
    return fully_calibrated(load_table(results / "calibration", columns).query("data == 'imagenet'"))


def of_equal_area(results: Path) -> pd.DataFrame:
    return with_accuracy(load_simulated(results / "hardware" / "equal_area"), calibrated_on_imagenet(results))
