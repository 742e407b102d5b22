"""Four weights of a real network bit by bit, the errors of their layer, and its cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from swis.encoding.metrics import sqnr_db
from swis.explore.accelerator import design_of
from swis.explore.subject import Subject
from swis.explore.weights import group_of
from swis.formats.int8 import Int8
from swis.formats.swis import Swis
from swis.gallery.registry import figure
from swis.plots.figures import group_of_weights
from swis.plots.hardware_figures import cycle_breakdown

_LAYER, _FILTER, _GROUP = "blocks.1.0.conv_pw", 1, 3
_DESIGN = "swis_ss"


@figure
def draw(results: Path) -> Figure:
    """Four weights of a real network bit by bit, the errors of their layer, and its cycles."""
    subject, fmts = Subject.of("mobilenet_v2"), (Int8(), Swis(shifts=3))
    group = group_of(subject, _LAYER, fmts[1].name, fmts[1], _FILTER, _GROUP)
    drawn = Figure((11, 3.6), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    group_of_weights(group.codes, group.kept, group.shift_set, left)
    left.set_title(f"filter {_FILTER}, group {_GROUP}: shift set {group.shift_set}", fontsize=9)
    _errors(*(subject.encoded(_LAYER, fmt).codes for fmt in fmts), middle)
    on = design_of(_DESIGN, fmts[1].group_size)
    runs = [pd.DataFrame(subject.runs(dict.fromkeys(subject.names, fmt), *on)) for fmt in fmts]
    lines = [
        run[run["layer"] == _LAYER].assign(method=fmt.label) for run, fmt in zip(runs, fmts, strict=True)
    ]
    cycle_breakdown(pd.concat(lines), "method", right)
    right.set_title(f"{_LAYER} on {_DESIGN}", fontsize=9)
    return drawn


def _errors(codes: Tensor, approximated: Tensor, axes: Axes) -> None:
    errors = (approximated.int() - codes.int()).flatten().numpy()
    axes.hist(errors, np.arange(errors.min() - 0.5, errors.max() + 1.5), color="0.45")
    axes.set(xlabel="error [steps of the 8-bit quantizer]", ylabel="weights", yscale="log", ylim=(0.5, None))
    axes.set_title(f"SQNR {sqnr_db(codes, approximated):.1f} dB, {errors.size} weights", fontsize=9)
