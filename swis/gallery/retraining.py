"""Points below float before retraining and after it: means over seeds with their intervals."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.evaluation.seeds import over_seeds
from swis.formats.float32 import Float
from swis.gallery.common import grid_of_axes, one_legend
from swis.gallery.registry import figure
from swis.plots.figures import means_by_method
from swis.results.records import load_table


@figure
def draw(results: Path) -> Figure:
    """Points below float before retraining and after it: means over seeds with their intervals."""
    columns = ["model", "weights", "data", "method", "bits", "seed", "training", "top1"]
    rows = load_table(results / "retrain", columns)
    retrained, floats = rows[rows["training"].notna()], rows[rows["method"] == Float.name]
    calibrated = rows[rows["training"].isna() & rows["bits"].notna()]
    networks = list(retrained.groupby(["model", "data"]))
    figure, grid = grid_of_axes(1, len(networks), (13, 4))
    for axes, ((model, data), mine) in zip(grid.flat, networks, strict=True):
        weights = mine["weights"].iloc[0]
        same = [table["model"].eq(model) & table["weights"].eq(weights) for table in (floats, calibrated)]
        reference = floats[same[0]]["top1"].mean()
        for some, before in ((calibrated[same[1]], True), (mine, False)):
            summary = over_seeds(some, ["bits", "method"]).reset_index()
            if len(summary):
                means_by_method(summary, reference, axes, before)
        # CIFAR-10's images are a folder of JPEG files
        axes.set_title(f"{model}, {'CIFAR-10 (JPEG)' if data == 'image_folder' else data}", fontsize=10)
    one_legend(figure, grid[0, 0])
    return figure
