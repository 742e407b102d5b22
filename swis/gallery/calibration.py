"""What each ingredient of calibration adds to SWIS, and where it leaves the quantizers beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from swis.analysis.ablation import CALIBRATION, ingredient, plainly_scaled
from swis.formats.float32 import Float
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.uniform import Uniform
from swis.gallery.registry import figure
from swis.plots.figures import waterfall
from swis.plots.names import INGREDIENTS, network_name
from swis.plots.style import grid_of_axes, new_figure, one_legend
from swis.results.records import load_table

_TITLE = "Calibration recovers the accuracy; from output-aware levels on SWIS is ahead"
_CAPTION = """
    Every bar is what one more ingredient of calibration adds to SWIS, from nearest levels at the top to all
    of them at the bottom. Marks show uniform quantization and rounding with the same ingredients. Without
    calibration every format fails at up to three shifts. SWIS is ahead once levels are chosen for the
    layer's output. MobileNet-v2 and EfficientNet-Lite0 on 500 photographs with ImageNet labels (groups of 4
    weights, 8-bit activations, one calibration set).
"""
_SHIFTS = (1, 2, 3)


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    rows = _rows(results)
    models = ("mobilenet_v2", "efficientnet_lite0")
    drawn = new_figure(3.9)
    grid = grid_of_axes(drawn, len(models), len(_SHIFTS), "x", sharex=True, sharey=True)
    for line, model in zip(grid, models, strict=True):
        mine = rows[rows["model"] == model]
        reference = mine.loc[mine["method"] == Float.name, "top1"].item()
        for axes, shifts in zip(line, _SHIFTS, strict=True):
            steps = mine[mine["bits"] == shifts].pivot(index="step", columns="method", values="top1")
            waterfall(steps.reindex(list(INGREDIENTS.values())), Swis.name, reference, axes)
            axes.set_title(f"{network_name(model)}, N = {shifts}")
    for axes in grid[-1]:
        axes.set_xlabel("top-1 [%]")
    one_legend(drawn, grid[0])
    return drawn


def _rows(results: Path) -> pd.DataFrame:
    """Return rows of one calibration set with the last ingredient that each has as "step", and float rows."""
    rows = load_table(results / "calibration", [*CALIBRATION, "model", "data", "bits", "top1"])
    rows = plainly_scaled(rows.query("data == 'imagenet'"))
    rows = rows.assign(step=rows.apply(ingredient, axis=1).map(INGREDIENTS))
    compared = rows["method"].isin([Swis.name, Round.name, Uniform.name])
    steps = compared & rows["bits"].isin(_SHIFTS) & rows["step"].notna()
    return rows[steps | rows["method"].eq(Float.name)]
