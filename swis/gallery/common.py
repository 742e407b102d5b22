"""What figures have in common: their rows, their axes, their legend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swis.analysis.ablation import CALIBRATION, fully_calibrated
from swis.analysis.trade_offs import with_accuracy
from swis.results.records import load_simulated, load_table

_DPI_OF_NOTEBOOKS = 65


def calibrated_on_imagenet(results: Path) -> pd.DataFrame:
    columns = [*CALIBRATION, "model", "data", "bits", "magnitude_bits", "top1"]
    return fully_calibrated(load_table(results / "calibration", columns).query("data == 'imagenet'"))


def of_equal_area(results: Path) -> pd.DataFrame:
    return with_accuracy(load_simulated(results / "hardware" / "equal_area"), calibrated_on_imagenet(results))


def grid_of_axes(lines: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Return a figure with axes [lines, columns]; without pyplot, which would show it twice in a notebook."""
    figure = Figure(size, layout="constrained", dpi=_DPI_OF_NOTEBOOKS)
    return figure, figure.subplots(lines, columns, squeeze=False)


def one_legend(figure: Figure, like: Axes) -> None:
    """Give a figure one legend, that of one of its axes, in place of those of all."""
    for axes in figure.axes:
        if axes.get_legend() is not None:
            axes.get_legend().remove()
    figure.legend(*like.get_legend_handles_labels(), loc="outside right upper", fontsize=8)
