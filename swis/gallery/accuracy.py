"""Top-1 after calibration over cycles and over bits per weight, and published points beside ours."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from swis.analysis.ablation import CALIBRATION, fully_calibrated
from swis.analysis.against_float import against_float
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.uniform import Uniform
from swis.gallery.registry import figure
from swis.options.choices import Policy
from swis.plots.figures import outline, published_points, top1_over
from swis.plots.names import images_name, label_of, network_name
from swis.plots.style import new_figure, one_legend, plain
from swis.results.records import load_table

_TITLE = "At one and two cycles SWIS keeps the most accuracy; per stored bit uniform is ahead"
_CAPTION = """
    Networks are calibrated without labels or training. At one and two cycles per weight SWIS keeps the most
    accuracy. Per stored bit it is behind the uniform quantizer. Ours: MobileNet-v2 and EfficientNet-Lite0 on
    500 photographs with ImageNet labels, and MobileNet-v2 on the 10,000 test images of Fashion-MNIST (groups
    of 4 weights, 8-bit activations, one calibration set; bars are 95 % intervals of the difference to float,
    image by image). Published points are of the whole ImageNet validation set; W4A8 means 4-bit weights and
    8-bit activations.
"""
_MODELS, _FASHION = ("mobilenet_v2", "efficientnet_lite0"), "fashion_mnist"
_PUBLISHED = (_MODELS[0], "imagenet")
_ENLARGED = {"cycles_per_weight": (1.7, 4.3), "weight_bits": (2.6, 8.4)}
_LOST = (12.0, -2.2)  # points below float that enlarged panels show


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    rows = _rows(results)
    drawn = new_figure(5.9)
    grid = drawn.add_gridspec(3, 3)
    for place, model in enumerate(_MODELS):
        column = [plain(drawn.add_subplot(grid[line, place])) for line in range(3)]
        _network(rows.query("data == 'imagenet' and model == @model"), column)
        column[0].set_title(f"{network_name(model)}, {images_name('imagenet')}")
        for axes in column:
            axes.set_ylabel("" if place else "top-1 [%]")
    one_legend(drawn, drawn.axes)
    upper = plain(drawn.add_subplot(grid[0, 2]))
    fashion = rows[rows["data"].eq(_FASHION) & rows["model"].eq(_MODELS[0]) & rows["method"].ne(Int8.name)]
    top1_over(fashion.drop(columns=["low", "high"]), "cycles_per_weight", upper)
    upper.set(title=f"{network_name(_MODELS[0])}, {images_name(_FASHION)}", xlabel="cycles per weight")
    lower = published_points(_published(results, rows), plain(drawn.add_subplot(grid[1:, 2]), ""))
    lower.set(title=f"Published, {network_name(_MODELS[0])}", xlabel="points below own float")
    lower.set(xlim=(-4, 100), xticks=range(0, 81, 20))
    return drawn


def _network(rows: pd.DataFrame, column: list[Axes]) -> None:
    """Draw one network: all of it over cycles, and what matters over cycles and over bits."""
    reference = rows.loc[rows["method"] == Float.name, "top1"].item()
    region = tuple(reference - points for points in _LOST)
    whole, by_cycles, by_bits = column
    counted = rows[rows["method"] != Int8.name]
    top1_over(counted.drop(columns=["low", "high"]), "cycles_per_weight", whole)
    whole.set(ylim=(0, 100), xlim=(0.8, 4.3), xlabel="cycles per weight")
    outline(whole, _ENLARGED["cycles_per_weight"], region, "enlarged below")
    top1_over(counted, "cycles_per_weight", by_cycles, apart=0.06)
    top1_over(rows, "weight_bits", by_bits)
    for axes, cost in ((by_cycles, "cycles_per_weight"), (by_bits, "weight_bits")):
        axes.set(ylim=region, xlim=_ENLARGED[cost], xlabel=cost.replace("_", " "))
        axes.yaxis.set_major_locator(MultipleLocator(5))
    by_bits.set(xlabel="stored bits per weight")


def _rows(results: Path) -> pd.DataFrame:
    """Return calibrated rows with one number of shifts everywhere, and float rows, of every network."""
    columns = [*CALIBRATION, "model", "data", "schedule", "bits", "top1", "correct"]
    rows = load_table(results / "calibration", [*columns, "cycles_per_weight", "weight_bits"])
    full = pd.concat(fully_calibrated(part) for _, part in rows.groupby("data"))
    full = full[full["schedule"].isna() | full["schedule"].eq(Policy.uniform)]
    parts = (against_float(some) for _, some in full.groupby(["model", "data"]))
    return pd.concat([full[full["method"] == Float.name], *parts])


def _published(results: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a network's published points, and ours of about as many bits, for ``published_points``."""
    model, data = _PUBLISHED
    theirs = pd.read_csv(results / "published.csv").query("network == @model")
    theirs["method"] = theirs["method"].str.partition(",")[0]  # without the settings of a plain quantizer
    widths = "W" + theirs["weight_bits"].astype(str) + "A" + theirs["activation_bits"].astype(str)
    theirs = theirs.assign(loss=theirs["float_top1"] - theirs["top1"], label=theirs["method"] + ", " + widths)
    mine = rows[rows["model"].eq(model) & rows["data"].eq(data) & rows["weight_bits"].lt(5)]
    mine = mine[mine["method"].isin([Swis.name, SwisC.name, Uniform.name])]
    names = mine["method"].map(label_of) + mine["weight_bits"].map(", {:.1f} bits".format)
    both = pd.concat([theirs, mine.assign(label=names)])
    few = both["weight_bits"] < 3.5
    both["group"] = few.map({True: "2 to 3 bits per weight", False: "4 to 5 bits per weight"})
    return both.sort_values(["group", "loss"], ascending=False, ignore_index=True)
