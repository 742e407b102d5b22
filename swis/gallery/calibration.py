"""What each ingredient of calibration adds to SWIS, and where it leaves the quantizers beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from swis.analysis.ablation import CALIBRATION, ingredient
from swis.formats.float32 import Float
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.uniform import Uniform
from swis.gallery.registry import figure
from swis.plots.figures import waterfall
from swis.plots.names import network_name
from swis.plots.style import grid_of_axes, message, new_figure, one_legend
from swis.results.records import load_table

_CAPTION = """
    Every bar is what one more ingredient of calibration adds to SWIS, from nearest levels at the top to all
    of them at the bottom; marks show where uniform quantization and rounding stand with the same ingredients.
    Without any, every format fails at up to three shifts; from the step on that chooses levels for a layer's
    output SWIS is ahead. MobileNet-v2 and EfficientNet-Lite0 on 500 photographs with ImageNet labels (groups
    of 4 weights, 8-bit activations, one calibration set).
"""
_STEPS = {
    "none": "nearest levels",
    "stats": "+ channel statistics",
    "walk": "+ output-aware levels",
    "asymmetric": "+ float targets",
    "scales": "+ search over scales",
}
_SHIFTS = (1, 2, 3)


@figure(_CAPTION)
def draw(results: Path) -> Figure:
    rows = _rows(results)
    models = ("mobilenet_v2", "efficientnet_lite0")
    drawn = new_figure(3.9)
    message(drawn, "Calibration recovers the accuracy; from output-aware levels on SWIS is ahead")
    grid = grid_of_axes(drawn, len(models), len(_SHIFTS), "x", sharex=True, sharey=True)
    for line, model in zip(grid, models, strict=True):
        mine = rows[rows["model"] == model]
        reference = mine.loc[mine["method"] == Float.name, "top1"].item()
        for axes, shifts in zip(line, _SHIFTS, strict=True):
            steps = mine[mine["bits"] == shifts].pivot(index="step", columns="method", values="top1")
            waterfall(steps.reindex(list(_STEPS.values())), Swis.name, reference, axes)
            axes.set_title(f"{network_name(model)}, N = {shifts}")
    for axes in grid[-1]:
        axes.set_xlabel("top-1 [%]")
    one_legend(drawn, grid[0])
    return drawn


def _rows(results: Path) -> pd.DataFrame:
    """Return rows of one calibration set with the last ingredient that each has as "step", and float rows."""
    rows = load_table(results / "calibration", [*CALIBRATION, "model", "data", "bits", "top1"])
    rows = rows.query("data == 'imagenet'")
    rows = rows.assign(step=rows.apply(ingredient, axis=1).map(_STEPS))
    four = rows["group_size"].isna() | rows["group_size"].eq(4)
    plain = rows["granularity"].eq("channel") & rows["rewrites"].eq("") & rows["seed"].eq(0)
    compared = rows["method"].isin([Swis.name, Round.name, Uniform.name])
    steps = four & plain & compared & rows["bits"].isin(_SHIFTS) & rows["step"].notna()
    return rows[steps | rows["method"].eq(Float.name)]
