"""Network: what every layer costs and loses, and what the whole network costs as single layers change."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import torch

from swis.encoding.cost import FLOAT_BITS
from swis.errors import InputError
from swis.explore.designs import FIRST, design_of, designs
from swis.explore.drawing import FAINT, GRID, Drawing, Plot
from swis.explore.looks import BLUE, ORANGE, RED
from swis.explore.picture import Picture, notes, table
from swis.explore.scale import Scale, readable
from swis.explore.subject import MADE, Given, Subject, format_of
from swis.explore.tab import GROUP_SIZES, SubjectTab, button, chosen, slider, steps
from swis.explore.words import described, layer_words, quantized_formats
from swis.formats.registry import formats, weight_format
from swis.formats.weight_format import WeightFormat
from swis.hardware.simulate import totals
from swis.plots.names import design_name
from swis.scheduling.sensitivity import layer_sensitivities

_SENTENCE = (
    "All layers of the network: give single ones another format or other shifts and see at once what the "
    "whole costs. A click on a bar or on a line of the table "
)
_OPENS, _CHOOSES = "opens the layer under Weights.", "chooses the layer."
_WIDTH, _HEIGHT = 410, 290
_BATCH = 4
_NAMED = 4  # layers that a sentence names

# Columns of a layer that are drawn: what they are called, and their unit.
_MEASURES = {
    "kl_divergence": ("Sensitivity [nats]", "nats"),
    "sqnr_db": ("SQNR of the weights [dB]", "dB"),
    "bits": ("Stored bits per weight", "bits"),
    "cycles": ("Cycles of one input", "cycles"),
    "energy_uj": ("Energy of one input [µJ]", "µJ"),
}
_TOTALS = {
    "megabytes": "MB of weights",
    "bits": "bits per weight",
    "cycles": "cycles per input",
    "latency_ms": "ms per input",
    "energy_uj": "µJ per input",
}


def layer_table(
    subject: Subject,
    given: Mapping[str, Given],
    design: str = FIRST,
    sensitivity: Mapping[str, float] | None = None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return a row per layer with its weights as they are ``given``, and the network's totals.

    ``weights`` that the layer has, 0 if they are those of an earlier one; ``bits`` stored per weight;
    ``sqnr_db`` of the weights to the float ones [dB]; ``cycles`` and ``energy_uj`` [uJ] of one input on a
    ``design``, null for a layer that is not called; ``kl_divergence`` [nats] if ``sensitivity`` is known.
    Totals: ``megabytes`` and ``bits`` per weight, weights that stay float included; ``cycles``,
    ``latency_ms`` and ``energy_uj``, which these take no part in. What a layer is in a format is computed
    once.

    >>> subject = Subject.of(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> layers, whole = layer_table(subject, dict.fromkeys(subject.names, weight_format("swis")))
    >>> whole["bits"]
    4.5
    """
    rows = {}
    for name, each in given.items():
        stored, weights = subject.stored_bits(name, each), subject.weights[name].numel()
        here = name not in subject.shared
        rows[name] = {
            "weights": here * weights,
            "format": described(each),
            "sqnr_db": subject.sqnr_db(name, each),
            "bits": stored / weights,
            "stored": here * stored,
        }
    layers = pd.DataFrame.from_dict(rows, orient="index")
    array, chip = design_of(design, group_size=max(format_of(each).group_size for each in given.values()))
    run = pd.DataFrame(subject.runs(given, array, chip))
    whole = totals(run, array, chip)
    calls = run.groupby("layer")
    layers.insert(0, "kind", calls["kind"].first().reindex(layers.index).fillna("not called"))
    layers["cycles"], layers["energy_uj"] = calls["latency_cycles"].sum(), calls["energy_pj"].sum() / 1e6
    if sensitivity is not None:
        layers["kl_divergence"] = pd.Series(sensitivity)
    stored = layers["stored"].sum() + FLOAT_BITS * subject.float_weights
    return layers.drop(columns="stored"), {
        "megabytes": float(stored / 8e6),
        "bits": float(stored / (layers["weights"].sum() + subject.float_weights)),
        "cycles": whole["latency_cycles"],
        "latency_ms": whole["latency_ms"],
        "energy_uj": whole["energy_pj"] / 1e6,
    }


def measured_sensitivity(subject: Subject, fmt: WeightFormat) -> dict[str, float]:
    """Return by layer how far the outputs for the network's inputs move with it alone in a format [nats].

    Raises ``InputError`` for a network whose outputs are no logits of classes.

    >>> subject = Subject.of(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> list(measured_sensitivity(subject, weight_format("swis"))) == subject.names
    True
    """
    inputs = subject.inputs.split(_BATCH)
    device = torch.device("cpu")
    return subject.kept(
        ("sensitivity", fmt), lambda: layer_sensitivities(subject.base, fmt, set(), inputs, device)
    )


def network_picture(
    layers: pd.DataFrame,
    whole: Mapping[str, float],
    alike: Mapping[str, float] | None = None,
    marked: str | None = None,
    said: Mapping[str, str] | None = None,
) -> Picture:
    """Draw what ``layer_table`` returns: totals, beside those of all layers ``alike``, bars, and a table.

    The layer that is ``marked`` has another colour; ``said`` has a line for columns that need one.

    >>> subject = Subject.of(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> layers, whole = layer_table(subject, dict.fromkeys(subject.names, weight_format("swis")))
    >>> "4.5 bits per weight" in network_picture(layers, whole).svg()
    True
    """
    said = said or {}
    drawings = [_whole(whole, alike)]
    for column, (title, _) in _MEASURES.items():
        if column in layers:
            drawings.append(_bars(layers, column, title, said.get(column, ""), marked))
        else:
            drawings.append(_missing(title, said.get(column, "")))
    return Picture(drawings, below=_lines(layers, marked))


def _whole(whole: Mapping[str, float], alike: Mapping[str, float] | None) -> Drawing:
    drawing = Drawing(_WIDTH, _HEIGHT)
    drawing.heading("The whole network", "" if alike is None else "right: the change to all layers alike")
    for number, (name, unit) in enumerate(_TOTALS.items()):
        y = 78 + 44 * number
        drawing.text(14, y, f"{readable(whole[name])} {unit}", size=20)
        drawing.line([(14, y + 13), (_WIDTH - 14, y + 13)], GRID)
        if alike is None:
            continue
        change = 100 * (whole[name] / alike[name] - 1)
        said, colour = f"{change:+.2f} %", BLUE if change < 0 else RED
        if abs(change) < 0.005:
            said, colour = "the same", FAINT
        drawing.text(_WIDTH - 14, y, said, size=15, anchor="end", colour=colour)
    return drawing


def _missing(title: str, why: str) -> Drawing:
    """Draw what stands in the place of bars that are not known."""
    drawing = Drawing(_WIDTH, _HEIGHT)
    drawing.heading(title)
    drawing.rectangle(14, 40, _WIDTH - 28, _HEIGHT - 56, "#f6f6f6")
    for number, line in enumerate(textwrap.wrap(why, 50)):
        drawing.text(_WIDTH / 2, _HEIGHT / 2 + 20 * number, line, anchor="middle", colour=FAINT)
    return drawing


def _bars(layers: pd.DataFrame, column: str, title: str, said: str, marked: str | None) -> Drawing:
    unit = _MEASURES[column][1]
    plot = Plot(
        _WIDTH,
        _HEIGHT,
        title=title,
        subtitle=said,
        x=Scale(0, len(layers)),
        y=Scale.over([*layers[column], 0], zero=True),
        x_label="layer, in the network's order",
        left=58,
    )
    for place, (layer, value) in enumerate(layers[column].items()):
        shown = min(max(value, plot.y.low), plot.y.high) if value == value else 0  # as infinite SQNR
        (left, top), (right, bottom) = plot.at(place + 0.08, shown), plot.at(place + 0.92, 0)
        colour = ORANGE if layer == marked else BLUE
        told = "no error" if value == float("inf") else f"{readable(value)} {unit}"
        tip = f"{layer_words(layer)}, {layers.at[layer, 'format']}: {told}"
        plot.rectangle(left, min(top, bottom), right - left, abs(bottom - top), colour, name=layer, tip=tip)
    return plot


def _lines(layers: pd.DataFrame, marked: str | None) -> str:
    columns = {"weights": "weights", "sqnr_db": "SQNR [dB]", "bits": "bits per weight", "cycles": "cycles"}
    columns |= {"energy_uj": "energy [µJ]"}
    if "kl_divergence" in layers:
        columns = {"kl_divergence": "sensitivity [nats]"} | columns
    lines = [
        [layer_words(layer), line["kind"], line["format"], *(float(line[column]) for column in columns)]
        for layer, line in layers.iterrows()
    ]
    return table(("layer", "kind", "format", *columns.values()), lines, list(layers.index), marked)


def network(network: Any = None, calibration: Any = None) -> NetworkTab:
    """Return the tab with the layers of a network, in which single ones take other formats or shifts.

    ``network`` is any module, with inputs for ``calibration`` as ``swis.quantize`` takes them, or what that
    returns; by default networks of the package can be chosen.

    >>> tab = network(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> tab.its_shifts.value = 3
    >>> tab.whole["bits"]
    6.25
    """
    return NetworkTab(Subject.of(network, calibration))


class NetworkTab(SubjectTab):
    """The tab ``network`` makes; ``table`` and ``whole`` are those of its picture.

    ``opened`` is called with the name of a layer that is clicked on.
    """

    def __init__(self, subject: Subject, opened: Callable[[str], None] | None = None) -> None:
        self.opened, self._showing = opened, False
        # what single layers have of their own: a format by its name, and shifts
        self.own: dict[str, tuple[str, int]] = {}
        self._forget()
        known, first = subject.format_options(quantized_formats()), subject.first_format
        fast = [(design_name(name), name) for name, follows in designs().items() if follows]
        self.format, self.shifts = chosen("format of all", known, first), slider("shifts of all", 2, 1, 7)
        self.group_size = steps("group size", GROUP_SIZES, 4)
        self.design = chosen("accelerator", fast, FIRST)
        self.layer = chosen("one layer", subject.layer_options, subject.names[0])
        self.its_format, self.its_shifts = chosen("its format", known, first), slider("its shifts", 2, 1, 7)
        self.alike = button("all layers alike", "take back what single layers have", self._all_alike)
        self.measure = button("measure sensitivity", "takes some seconds to a minute", self._measure)
        for control in (self.layer, self.format, self.shifts):  # before the picture follows
            control.observe(self._show_its, "value")
        for control in (self.its_format, self.its_shifts):
            control.observe(self._set_its, "value")
        controls = [self.format, self.shifts, self.group_size, self.design]
        controls += [self.layer, self.its_format, self.its_shifts, self.alike, self.measure]
        sentence = _SENTENCE + (_CHOOSES if opened is None else _OPENS)
        super().__init__(subject, sentence, controls, self._picture, self._click)
        self._show_its()

    def taken(self) -> None:
        self.own = {}
        self._forget()
        self.layer.options = self.subject.layer_options

    def _forget(self) -> None:
        """Know no sensitivity."""
        self.sensitivity: Mapping[str, float] | None = None
        self._about_sensitivity = "press “measure sensitivity”"

    @property
    def _common(self) -> tuple[str, int]:
        return self.format.value, self.shifts.value

    def _show_its(self, _: Any = None) -> None:
        if self.layer.value is None:  # between two networks
            return
        self._showing = True
        with self.quiet():
            self.its_format.value, self.its_shifts.value = self.own.get(self.layer.value, self._common)
        self._showing = False
        self._enable()

    def _set_its(self, _: Any = None) -> None:
        if not self._showing:
            self.own[self.layer.value] = (self.its_format.value, self.its_shifts.value)
            self._enable()

    def _enable(self) -> None:
        """Let shifts be chosen where the format has some."""
        for name, shifts in ((self.format, self.shifts), (self.its_format, self.its_shifts)):
            shifts.disabled = name.value == MADE or not formats()[name.value].has_shifts

    def _all_alike(self) -> None:
        with self.held():
            self.own.clear()
            self._show_its()

    def _measure(self) -> None:
        name, shifts = self._common
        made, settings = name == MADE, (name, shifts, self.group_size.value)
        fmt = self.subject.quantized.fmt if made else weight_format(*settings)
        try:
            self.sensitivity = measured_sensitivity(self.subject, fmt)
            self._about_sensitivity = f"each layer alone in {described(fmt)}"
        except InputError as error:
            self._forget()
            self._about_sensitivity = str(error)
        self._redraw()

    def _click(self, layer: str) -> None:
        self.layer.value = layer
        if self.opened is not None:
            self.opened(layer)

    def _given(self, own: Mapping[str, tuple[str, int]]) -> dict[str, Given]:
        """Return how the weights of every layer are if some have formats and shifts of their own."""
        subject, common, size = self.subject, self._common, self.group_size.value
        return {layer: subject.given(layer, *own.get(layer, common), size) for layer in subject.names}

    def _picture(self) -> Picture:
        subject, design, given = self.subject, self.design.value, self._given(self.own)
        self.table, self.whole = layer_table(subject, given, design, self.sensitivity)
        alike = layer_table(subject, self._given({}), design)[1] if self.own else None
        said = {"kl_divergence": self._about_sensitivity}
        picture = network_picture(self.table, self.whole, alike, self.layer.value, said)
        part = {name: subject.every(name, format_of(each)) for name, each in given.items()}
        sampled = [f"{layer_words(name)} (1 in {every})" for name, every in part.items() if every > 1]
        named = sampled[:_NAMED] + [f"{len(sampled) - _NAMED} more"] * (len(sampled) > _NAMED)
        lines = [f"SQNR is measured on some of the filters of {', '.join(named)}."] if sampled else []
        return replace(picture, below=picture.below + notes([*subject.remarks, *lines]))
