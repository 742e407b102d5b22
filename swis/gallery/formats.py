"""Calibrated top-1 of SWIS with plain and with signed digits, over cycles and over bits per weight."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from swis.analysis.ablation import CALIBRATION, fully_calibrated
from swis.analysis.against_float import against_float
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.uniform import Uniform
from swis.gallery.registry import figure
from swis.plots.figures import top1_over
from swis.plots.names import images_name, network_name
from swis.plots.style import grid_of_axes, new_figure, one_legend
from swis.results.records import load_table

_TITLE = "Signed digits lose least at two cycles; per stored bit uniform is ahead"
_CAPTION = """
    Upper row: at two cycles SWIS with signed digits (-1, 0 or 1 for each power of two) is nearest to float,
    within the 95 % intervals of plain SWIS. From three cycles on, both are close to float. Lower row: a digit
    takes 5/3 bits and a mask bit one, and over stored bits the uniform quantizer is ahead. MobileNet-v2 and
    EfficientNet-Lite0 on 500 photographs with ImageNet labels (groups of 4 weights, 8-bit activations,
    output-aware calibration, one calibration set, plain coding; bars are 95 % intervals of the difference to
    float, image by image).
"""
_MODELS = ("mobilenet_v2", "efficientnet_lite0")
_LOST = (12.0, -2.2)  # points below float that the panels show


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    drawn = new_figure(4.4)
    grid = grid_of_axes(drawn, 2, len(_MODELS))
    for model, (over_cycles, over_bits) in zip(_MODELS, grid.T, strict=True):
        mine = _rows(results, model)
        reference = mine.loc[mine["method"] == Float.name, "top1"].item()
        top1_over(mine, "cycles_per_weight", over_cycles, apart=0.06)
        top1_over(mine, "weight_bits", over_bits)
        over_cycles.set(title=f"{network_name(model)}, {images_name('imagenet')}", xlabel="cycles per weight")
        over_cycles.set(xlim=(1.7, 4.3))
        over_bits.set(xlabel="stored bits per weight")
        for axes in (over_cycles, over_bits):
            axes.set(ylim=tuple(reference - points for points in _LOST))
            axes.yaxis.set_major_locator(MultipleLocator(5))
    for axes in grid[:, 0]:
        axes.set_ylabel("top-1 [%]")
    one_legend(drawn, grid.flat)
    return drawn


def _rows(results: Path, model: str) -> pd.DataFrame:
    """Return a network's calibrated rows: shared sets, the uniform quantizer, and the float row."""
    columns = [*CALIBRATION, "model", "data", "bits", "top1", "correct", "cycles_per_weight", "weight_bits"]
    shared = load_table(results / "formats", columns).query("model == @model")
    shared = shared[shared["seed"].eq(0) | shared["method"].eq(Float.name)]
    others = load_table(results / "calibration", columns).query("model == @model and data == 'imagenet'")
    others = fully_calibrated(others)
    parts = [shared[shared["method"] != Int8.name], others[others["method"] == Uniform.name]]
    rows = pd.concat(parts, ignore_index=True)
    return pd.concat([rows[rows["method"] == Float.name], against_float(rows)])
