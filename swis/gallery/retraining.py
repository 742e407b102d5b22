"""Top-1 before retraining and after it, and what retrained networks keep at other numbers of shifts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from swis.evaluation.seeds import over_seeds
from swis.formats.float32 import Float
from swis.gallery.registry import figure
from swis.plots.figures import before_and_after, top1_over
from swis.plots.names import images_name, network_name
from swis.plots.style import grid_of_axes, level, new_figure, one_legend
from swis.results.records import load_table

_TITLE = "Once calibrated, retraining adds next to nothing; truncation stays behind"
_CAPTION = """
    Left and middle: networks of two shifts, calibrated, and then retrained from there with the same recipe
    for all formats. Retraining adds next to nothing. Right: retrained networks; at two shifts truncation and
    uniform are behind. MobileNet-v2 on 500 photographs with ImageNet labels and on the 10,000 test images of
    Fashion-MNIST, ResNet-20 on the 10,000 of CIFAR-10 (as JPEG); means over three seeds with Student's 95 %
    intervals.
"""
_PAIRS = (("mobilenet_v2", "imagenet"), ("mobilenet_v2", "fashion_mnist"))
_ALONE = ("resnet20", "image_folder")
_FOLDER = "CIFAR-10 (JPEG)"  # the image folder of the committed rows
_SHIFTS = 2


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    columns = ["model", "weights", "data", "method", "bits", "seed", "training", "top1"]
    rows = load_table(results / "retrain", columns)
    drawn = new_figure(2.9)
    axes = grid_of_axes(drawn, 1, len(_PAIRS) + 1)[0]
    for each, (model, data) in zip(axes, _PAIRS, strict=False):
        mine = _of(rows, model, data).query("bits == @_SHIFTS or method == @Float.name")
        trained = mine["training"].notna()
        before_and_after(_means(mine[~trained]), _means(mine[trained]), each)
        each.set_xlabel(f"N = {_SHIFTS} shifts")
        _finish(mine, f"{network_name(model)}, {images_name(data)}", each)
    mine = _of(rows, *_ALONE)
    top1_over(_means(mine[mine["training"].notna()]), "bits", axes[-1], "mean", apart=0.07)
    axes[-1].set_xlabel("N shifts, retrained")
    _finish(mine, f"{network_name(_ALONE[0])}, {_FOLDER}", axes[-1])
    axes[-1].yaxis.set_major_locator(MultipleLocator(0.5))
    axes[0].set_ylabel("top-1 [%]")
    one_legend(drawn, axes)
    return drawn


def _of(rows: pd.DataFrame, model: str, data: str) -> pd.DataFrame:
    """Return the rows of a network whose weights were retrained on some images."""
    mine = rows[rows["model"].eq(model) & rows["data"].eq(data)]
    return mine[mine["weights"].isin(mine.loc[mine["training"].notna(), "weights"])]


def _means(rows: pd.DataFrame) -> pd.DataFrame:
    counted = rows[rows["bits"].notna()]
    return over_seeds(counted, ["bits", "method"]).reset_index()


def _finish(rows: pd.DataFrame, title: str, axes: Axes) -> None:
    level(axes, rows.loc[rows["method"] == Float.name, "top1"].mean())
    axes.set_title(title)
