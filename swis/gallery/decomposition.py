"""The error of weights and the groups without loss over shifts, by group size."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.gallery.registry import figure
from swis.plots.names import network_name
from swis.plots.storage_figures import by_shifts
from swis.plots.style import message, new_figure, one_legend, plain
from swis.results.records import load_storage

_CAPTION = """
    Every shift more adds 6 dB or more to the weights' signal-to-noise ratio, larger groups lose part of it,
    and free shift sets (SWIS) are well ahead of consecutive ones (SWIS-C) in small groups alone. Few groups
    of four weights or more are kept without any loss before five shifts. Weights of MobileNet-v2, large, and
    of EfficientNet-Lite0 and ResNet-18, small, against their 8-bit codes; no images.
"""
_LARGE, _SMALL = "mobilenet_v2", ("efficientnet_lite0", "resnet18")
_SIZES = (1, 4, 16)


@figure(_CAPTION)
def draw(results: Path) -> Figure:
    table = load_storage(results / "storage").query("weights != 'gaussian' and coding != 'compact'")
    table = table[table["method"].isin([Swis.name, SwisC.name]) & table["group_size"].isin(_SIZES)]
    table = table.assign(lossless=100 * table["lossless"])
    drawn = new_figure(3.7)
    message(drawn, "Free shift sets lose less than consecutive ones in small groups; at M = 16 hardly")
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
