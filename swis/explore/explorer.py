"""Looking into a network: a group of weights bit by bit, the errors of a layer, its cycles on a design."""

from __future__ import annotations

import gc
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from swis.encoding.decompose import decompose, to_filters
from swis.encoding.metrics import sqnr_db
from swis.encoding.quantizer import quantize
from swis.experiments.config import load
from swis.formats.int8 import Int8
from swis.formats.powers_of_two import PowersOfTwo
from swis.formats.registry import formats, weight_format
from swis.hardware.designs import design, energy_table
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.operands import operands_of
from swis.hardware.simulate import simulate
from swis.networks.layers import filters_of, weight_layers
from swis.networks.models import load_network
from swis.options.conf_files import accelerator_named, accelerator_names
from swis.plots.figures import group_of_weights
from swis.plots.hardware_figures import cycle_breakdown

MODELS = ("mobilenet_v2", "resnet18", "efficientnet_lite0")

# Errors are shown of so many weights at most: a figure follows a slider.
_WEIGHTS = 100_000
_DPI = 72


@cache
def layers_of(model: str) -> dict[str, tuple[Layer, Tensor]]:
    """Return the layers of a model with weights at hand, and their weights, by name.

    >>> layers_of("resnet18")["conv1"][0].kernel_h
    7
    """
    network = load_network(load([f"model={model}"]).model)
    weights = weight_layers(network.module)
    shapes = workload(network.module, network.inputs["input_size"])
    return {layer.name: (layer, filters_of(weights[layer.name]).detach()) for layer in shapes}


@cache
def _codes(model: str, layer: str) -> Tensor:
    rows = to_filters(layers_of(model)[layer][1])
    return quantize(rows[: max(1, _WEIGHTS // rows.shape[1])], granularity="channel").codes


@cache
def designs() -> list[str]:
    """Return the accelerators that look at shapes and shifts alone, not at values."""
    made = {name: design(accelerator_named(name), _energies(), 4)[0] for name in accelerator_names()}
    return [name for name, each in made.items() if not (each.needs_codes or each.needs_inputs)]


@cache
def _energies() -> Any:
    return energy_table(load().energy)


def layer_figure(
    model: str,
    layer: str,
    method: str = "swis",
    shifts: int = 2,
    group_size: int = 4,
    accelerator: str = "swis_ss",
    group: int = 0,
) -> Figure:
    """Draw a group of a layer bit by bit, the errors of its weights, and its cycles on an accelerator.

    ``group`` counts through the filters, and starts again behind the last group.

    >>> layer_figure("resnet18", "conv1").axes[2].get_title()
    'conv1 on swis_ss'
    """
    codes = _codes(model, layer)
    fmt = weight_format(method, shifts, group_size)
    found = decompose(codes, fmt)
    groups = -(-codes.shape[1] // group_size)
    row, place = divmod(group % (len(codes) * groups), groups)
    some = slice(place * group_size, (place + 1) * group_size)
    used = int(found.shift_sets[row, place]) if fmt.grouped else int(found.shift_sets.flatten()[0])
    figure = Figure((11, 3.6), dpi=_DPI)
    # no layout, which would take most of the time
    figure.subplots_adjust(left=0.05, right=0.98, top=0.85, bottom=0.15, wspace=0.48)
    left, middle, right = figure.subplots(1, 3)
    shift_set = [bit for bit in range(7) if used >> bit & 1]
    group_of_weights(codes[row, some].tolist(), found.codes[row, some].tolist(), shift_set, left)
    # places of titles are given: to find them, all labels would be laid out twice
    left.set_title(f"filter {row}, group {place}: shift set {shift_set}", fontsize=9, y=1.08)
    _errors(codes, found.codes, middle)
    cycles = _cycles(layers_of(model)[layer][0], method, shifts, group_size, accelerator)
    cycle_breakdown(cycles, "method", right)
    right.set_title(f"{layer} on {accelerator}", fontsize=9, y=1.02)
    return figure


def _errors(codes: Tensor, approximated: Tensor, axes: Axes) -> None:
    errors = (approximated.int() - codes.int()).flatten().numpy()
    edges = np.arange(errors.min() - 0.5, errors.max() + 1.5)
    counts = np.histogram(errors, edges)[0]
    axes.stairs(counts, edges, baseline=0.5, fill=True, color="0.45")  # one shape: bars take 100 ms to draw
    axes.set(xlabel="error [steps of the 8-bit quantizer]", ylabel="weights", yscale="log", ylim=(0.5, None))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_title(f"SQNR {sqnr_db(codes, approximated):.1f} dB, {errors.size} weights", fontsize=9, y=1.02)


@cache
def _cycles(layer: Layer, method: str, shifts: int, group_size: int, name: str) -> Any:
    array, chip = design(accelerator_named(name), _energies(), group_size)
    fmts = [Int8(), weight_format(method, shifts, group_size)]
    given = [operands_of(layer, fmt, None, codes=False) for fmt in fmts]
    return simulate(array, [layer] * len(given), given, chip).assign(method=[fmt.label for fmt in fmts])


def panel() -> Any:
    """Return controls for a network, its layer, group, method and a design, with the figure they draw."""
    import ipywidgets as widgets
    from IPython.display import display

    def chosen(name: str, options: Any, value: Any) -> widgets.Dropdown:
        return widgets.Dropdown(options=options, value=value, description=name)

    def slider(name: str, value: int, least: int, most: int) -> widgets.IntSlider:
        return widgets.IntSlider(value, least, most, description=name, continuous_update=True)

    methods = [name for name, kind in formats().items() if kind.on_codes and issubclass(kind, PowersOfTwo)]
    controls = {
        "model": chosen("network", MODELS, MODELS[0]),
        "layer": chosen("layer", list(layers_of(MODELS[0])), next(iter(layers_of(MODELS[0])))),
        "method": chosen("method", methods, "swis"),
        "shifts": slider("shifts N", 2, 1, 7),
        "group_size": chosen("group size", [1, 2, 4, 8, 16], 4),
        "group": slider("group", 0, 0, 255),
        "accelerator": chosen("design", designs(), "swis_ss"),
    }

    def other_network(change: dict[str, Any]) -> None:
        controls["layer"].options = list(layers_of(change["new"]))

    def draw(**settings: Any) -> None:
        if settings["layer"] in layers_of(settings["model"]):  # not between two networks
            display(layer_figure(**settings))

    # what is loaded stays: looking through it for garbage would hold up a figure for half a second
    gc.collect()
    gc.freeze()
    controls["model"].observe(other_network, "value")
    figure = widgets.interactive_output(draw, controls)
    boxes = list(controls.values())
    return widgets.VBox([widgets.HBox(boxes[:4]), widgets.HBox(boxes[4:]), figure])
