"""Stored bits per weight over group size, of packed files with plain and with compact coding."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.gallery.registry import figure
from swis.plots.names import network_name
from swis.plots.storage_figures import bits_per_weight
from swis.plots.style import new_figure, one_legend, plain, real_ticks
from swis.results.records import load_storage

_TITLE = "Sharing a shift set saves bits, most of them up to groups of 16; compact coding saves more"
_CAPTION = """
    The larger the groups that share a shift set, the fewer bits a weight takes, until the padding of short
    filters eats the gain. Consecutive sets (SWIS-C) and compact coding save more. Packed weights of two and
    of four shifts. Left: MobileNet-v2. Right: EfficientNet-Lite0 and ResNet-18. No images.
"""
_LARGE, _SMALL = "mobilenet_v2", ("efficientnet_lite0", "resnet18")
_SHIFTS = (2, 4)


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    table = load_storage(results / "storage").query("weights != 'gaussian' and bits in @_SHIFTS")
    table = table[table["method"].isin([Swis.name, SwisC.name])]
    drawn = new_figure(3.7)
    grid = drawn.add_gridspec(2, 2, width_ratios=[2, 1])
    large = plain(drawn.add_subplot(grid[:, 0]))
    small = [plain(drawn.add_subplot(grid[line, 1])) for line in range(2)]
    for axes, model in zip((large, *small), (_LARGE, *_SMALL), strict=True):
        mine = table[table["model"] == model]
        bits_per_weight(mine, axes, named=axes is large)
        axes.set(
            title=network_name(model), ylim=(0, 18), ylabel="stored bits per weight" if axes is large else ""
        )
        real_ticks(axes, "x", sorted(mine["group_size"].unique()))
    for axes in (large, small[-1]):
        axes.set_xlabel("group size M")
    large.set_xlim(right=105)
    one_legend(drawn, [large])
    return drawn
