"""What each ingredient of calibration brings, for SWIS and for the quantizers it stands against."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from swis.analysis.ablation import CALIBRATION, INGREDIENTS, ingredient
from swis.formats.float32 import Float
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.uniform import Uniform
from swis.gallery.common import grid_of_axes, one_legend
from swis.gallery.registry import figure
from swis.plots.figures import accuracy_by_shifts
from swis.results.records import load_table


@figure
def draw(results: Path) -> Figure:
    """What each ingredient of calibration brings, for SWIS and for the quantizers it stands against."""
    columns = [*CALIBRATION, "model", "data", "bits", "top1", "top1_low", "top1_high"]
    rows = load_table(results / "calibration", columns).query("data == 'imagenet'")
    rows = rows[rows["seed"].eq(0) | rows["method"].eq(Float.name)]
    rows = rows.assign(ingredient=rows.apply(ingredient, axis=1))
    four = rows["group_size"].isna() | rows["group_size"].eq(4)
    plain = rows["granularity"].eq("channel") & rows["rewrites"].eq("")
    whole = rows[four & plain & rows["bits"].isin([1, 2, 3, 4]) & rows["ingredient"].ne("reconstruct")]
    methods = [Swis.name, Round.name, Uniform.name]
    order = [name for name in INGREDIENTS if name in set(whole["ingredient"])]
    figure, grid = grid_of_axes(whole["model"].nunique(), len(methods), (11, 7))
    for line, (model, mine) in zip(grid, whole.groupby("model"), strict=True):
        reference = rows[(rows["method"] == Float.name) & (rows["model"] == model)]
        for axes, method in zip(line, methods, strict=True):
            shown = pd.concat([mine[mine["method"] == method], reference])
            accuracy_by_shifts(shown, "bits", "ingredient", axes, order)
            axes.set(title=f"{method}, {model}", xticks=[1, 2, 3, 4], xlabel="shifts = cycles per weight")
    one_legend(figure, grid[0, 0])
    return figure
