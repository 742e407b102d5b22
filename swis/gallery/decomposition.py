"""The error of weights and the groups without loss over shifts, by group size."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.gallery.registry import figure
from swis.plots.names import network_name
from swis.plots.storage_figures import by_shifts
from swis.plots.style import new_figure, one_legend, plain
from swis.results.records import load_storage

_TITLE = "Free shift sets lose less than consecutive ones in small groups, but not at M = 16"
_CAPTION = """
    Every further shift adds 5.3 to 12.6 dB to the signal-to-noise ratio (SQNR) of the weights. Larger groups
    lose part of it. Free shift sets (SWIS) are ahead of consecutive ones (SWIS-C) in small groups. At M = 16
    they are slightly behind up to five shifts, because MSE++, not MSE, chooses them. Few groups of four
    weights or more are kept without any loss before five shifts. Errors are against 8-bit codes. Left and
    middle: MobileNet-v2. Right: EfficientNet-Lite0 and ResNet-18. No images.
"""
_LARGE, _SMALL = "mobilenet_v2", ("efficientnet_lite0", "resnet18")
_SIZES = (1, 4, 16)


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    table = load_storage(results / "storage").query("weights != 'gaussian' and coding == 'plain'")
    table = table[table["method"].isin([Swis.name, SwisC.name]) & table["group_size"].isin(_SIZES)]
    table = table.assign(lossless=100 * table["lossless"])
    drawn = new_figure(3.7)
    grid = drawn.add_gridspec(2, 3, width_ratios=[1.35, 1.35, 1])
    error, lossless = (plain(drawn.add_subplot(grid[:, column])) for column in range(2))
    small = [plain(drawn.add_subplot(grid[line, 2])) for line in range(2)]
    large = table[table["model"] == _LARGE]
    by_shifts(large, "sqnr_db", error, named=True).set(ylabel="SQNR of the weights [dB]")
    by_shifts(large, "lossless", lossless, named=True).set(ylabel="groups without loss [%]")
    for axes, model in zip(small, _SMALL, strict=True):
        by_shifts(table[table["model"] == model], "sqnr_db", axes)
        axes.set(title=network_name(model), ylabel="SQNR [dB]")
    for axes in (error, lossless):
        axes.set(title=network_name(_LARGE), xlim=(0.7, 7.6))
    for axes in (error, lossless, small[-1]):
        axes.set_xlabel("shifts N")
    one_legend(drawn, [error])
    return drawn
