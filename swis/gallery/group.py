"""Four weights of a real network bit by bit, the errors of their layer, and its cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from swis.encoding.decompose import decompose, to_filters
from swis.encoding.metrics import sqnr_db
from swis.encoding.quantizer import quantize
from swis.experiments.config import load
from swis.formats.int8 import Int8
from swis.formats.swis import Swis
from swis.gallery.registry import figure
from swis.hardware.designs import design, energy_table
from swis.hardware.layer_shapes import workload
from swis.hardware.operands import operands_of
from swis.hardware.simulate import simulate
from swis.networks.layers import filters_of, weight_layers
from swis.networks.models import load_network
from swis.options.conf_files import accelerator_named
from swis.plots.figures import group_of_weights
from swis.plots.hardware_figures import cycle_breakdown

_LAYER, _FILTER, _GROUP = "blocks.1.0.conv_pw", 1, 3
_DESIGN = "swis_ss"


@figure
def draw(results: Path) -> Figure:
    """Four weights of a real network bit by bit, the errors of their layer, and its cycles."""
    config, fmts = load(["model=mobilenet_v2"]), (Int8(), Swis(shifts=3))
    network, size = load_network(config.model), fmts[1].group_size
    codes = to_filters(quantize(filters_of(weight_layers(network.module)[_LAYER]).detach()).codes)
    found = decompose(codes, fmts[1])
    some = slice(_GROUP * size, (_GROUP + 1) * size)
    shift_set = [bit for bit in range(7) if int(found.shift_sets[_FILTER, _GROUP]) >> bit & 1]
    drawn = Figure((11, 3.6), layout="constrained")
    left, middle, right = drawn.subplots(1, 3)
    group_of_weights(codes[_FILTER, some].tolist(), found.codes[_FILTER, some].tolist(), shift_set, left)
    left.set_title(f"filter {_FILTER}, group {_GROUP}: shift set {shift_set}", fontsize=9)
    _errors(codes, found.codes, middle)
    shapes = workload(network.module, network.inputs["input_size"])
    layers = [layer for layer in shapes if layer.name == _LAYER] * len(fmts)
    operands = [operands_of(layer, fmt, None, codes=False) for layer, fmt in zip(layers, fmts, strict=True)]
    array, chip = design(accelerator_named(_DESIGN), energy_table(config.energy), size)
    lines = simulate(array, layers, operands, chip).assign(method=[fmt.label for fmt in fmts])
    cycle_breakdown(lines, "method", right)
    right.set_title(f"{_LAYER} on {_DESIGN}", fontsize=9)
    return drawn


def _errors(codes: Tensor, approximated: Tensor, axes: Axes) -> None:
    errors = (approximated.int() - codes.int()).flatten().numpy()
    axes.hist(errors, np.arange(errors.min() - 0.5, errors.max() + 1.5), color="0.45")
    axes.set(xlabel="error [steps of the 8-bit quantizer]", ylabel="weights", yscale="log", ylim=(0.5, None))
    axes.set_title(f"SQNR {sqnr_db(codes, approximated):.1f} dB, {errors.size} weights", fontsize=9)
