"""Network: what every layer costs and loses, and what the whole network costs as single layers change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets as widgets
import pandas as pd
import torch

from swis.explore.accelerator import design_of, designs
from swis.explore.drawing import COLOURS, Drawing, Picture, Plot, Scale, readable
from swis.explore.subject import MODELS, Subject
from swis.explore.tab import Tab, chosen, slider
from swis.explore.words import described, design_words, format_words, quantized_formats
from swis.formats.registry import weight_format
from swis.formats.weight_format import WeightFormat
from swis.hardware.simulate import totals
from swis.scheduling.sensitivity import layer_sensitivities

_SENTENCE = (
    "All layers of the network: give single ones another format or other shifts and see at once what the "
    "whole costs; a click on a bar or a line of the table opens the layer under Weights."
)
_WIDTH = 560
_BATCH = 4

# Columns of a layer that are drawn: what they are called, and their unit.
_MEASURES = {
    "kl_divergence": ("Sensitivity: this layer alone in few bits", "nats"),
    "sqnr_db": ("Signal to quantization noise of the weights", "dB"),
    "bits": ("Stored bits per weight", "bits"),
    "cycles": ("Cycles of one image", "cycles"),
    "energy_uj": ("Energy of one image", "µJ"),
}


def layer_table(
    subject: Subject,
    fmts: Mapping[str, WeightFormat],
    design: str = "swis_ss",
    sensitivity: Mapping[str, float] | None = None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Return a row per layer with its weights in its format of ``fmts``, and the network's totals.

    ``bits`` stored per weight; ``sqnr_db`` of some of the weights to the float ones [dB]; ``cycles`` and
    ``energy_uj`` [uJ] of one image on a ``design``; ``kl_divergence`` [nats] if ``sensitivity`` is known.
    Totals: ``megabytes`` of weights, ``bits`` per weight, ``cycles``, ``latency_ms``, ``energy_uj``. What a
    layer is in a format is computed once.

    >>> subject = Subject.of(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> table, whole = layer_table(subject, dict.fromkeys(subject.names, weight_format("swis")))
    >>> whole["bits"]
    4.5
    """
    rows = {}
    for name, filters in subject.weights.items():
        fmt = fmts[name]
        rows[name] = {
            "weights": filters.numel(),
            "format": described(fmt),
            "stored": fmt.stored_bits(len(filters), filters[0].numel()),
            "sqnr_db": subject.sqnr_db(name, fmt),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["bits"] = table["stored"] / table["weights"]
    group_size = max(fmt.group_size for fmt in fmts.values())
    array, chip = design_of(design, group_size)
    run = pd.DataFrame(subject.runs(fmts, array, chip))
    whole = totals(run, array, chip)
    sums = run.groupby("layer")[["latency_cycles", "energy_pj"]].sum()
    table["kind"] = run.groupby("layer")["kind"].first()
    table["cycles"], table["energy_uj"] = sums["latency_cycles"], sums["energy_pj"] / 1e6
    if sensitivity is not None:
        table["kl_divergence"] = pd.Series(sensitivity)
    stored, weights = table["stored"].sum(), table["weights"].sum()
    return table, {
        "megabytes": float(stored / 8e6),
        "bits": float(stored / weights),
        "cycles": whole["latency_cycles"],
        "latency_ms": whole["latency_ms"],
        "energy_uj": whole["energy_pj"] / 1e6,
    }


def measured_sensitivity(subject: Subject, fmt: WeightFormat) -> dict[str, float]:
    """Return by layer how far the outputs for the network's inputs move with it alone in a format [nats].

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
    table: pd.DataFrame, whole: Mapping[str, float], plain: Mapping[str, float], marked: str = ""
) -> Picture:
    """Draw what ``layer_table`` returns: totals beside those of a ``plain`` network, bars, and a table.

    The layer that is ``marked`` has another colour.

    >>> subject = Subject.of(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> table, whole = layer_table(subject, dict.fromkeys(subject.names, weight_format("swis")))
    >>> "4.5 bits per weight" in network_picture(table, whole, whole).svg()
    True
    """
    drawings = [_whole(whole, plain)]
    drawings += [_bars(table, column, marked) for column in _MEASURES if column in table]
    return Picture(drawings, below=_lines(table, marked))


def _whole(whole: Mapping[str, float], plain: Mapping[str, float]) -> Drawing:
    drawing = Drawing(_WIDTH, 300)
    drawing.text(14, 24, "The whole network", size=15, bold=True)
    drawing.text(_WIDTH - 20, 24, "beside all layers alike", size=12, anchor="end", colour="#666666")
    words = {
        "megabytes": "MB of weights",
        "bits": "bits per weight",
        "cycles": "cycles for one image",
        "latency_ms": "ms for one image",
        "energy_uj": "µJ for one image",
    }
    for number, (name, unit) in enumerate(words.items()):
        y = 68 + 50 * number
        drawing.text(14, y, f"{readable(whole[name])} {unit}", size=23)
        change = 100 * (whole[name] / plain[name] - 1)
        said = "the same" if abs(change) < 0.005 else f"{change:+.2f} %"
        colour = "#666666" if abs(change) < 0.005 else COLOURS[0] if change < 0 else COLOURS[3]
        drawing.text(_WIDTH - 20, y, said, size=16, anchor="end", colour=colour)
        drawing.line([(14, y + 16), (_WIDTH - 20, y + 16)], "#e4e4e4")
    return drawing


def _bars(table: pd.DataFrame, column: str, marked: str) -> Drawing:
    title, unit = _MEASURES[column]
    plot = Plot(
        _WIDTH,
        300,
        title=title,
        x=Scale(0, len(table)),
        y=Scale.over([*table[column], 0], zero=True),
        x_label="layer, in the network's order",
        y_label=unit,
    )
    for place, (name, value) in enumerate(table[column].items()):
        (left, top), (right, bottom) = plot.at(place + 0.08, value), plot.at(place + 0.92, 0)
        colour = COLOURS[1] if name == marked else COLOURS[0]
        tip = f"{name}, {table.at[name, 'format']}: {readable(value)} {unit}"
        plot.rectangle(left, min(top, bottom), right - left, abs(bottom - top), colour, name=name, tip=tip)
    return plot


def _lines(table: pd.DataFrame, marked: str) -> str:
    columns = {"weights": "weights", "sqnr_db": "SQNR [dB]", "bits": "bits per weight", "cycles": "cycles"}
    columns |= {"energy_uj": "energy [µJ]"}
    if "kl_divergence" in table:
        columns = {"kl_divergence": "sensitivity [nats]"} | columns
    head = "".join(f"<th>{words}</th>" for words in ("layer", "kind", "format", *columns.values()))
    rows = []
    for name, line in table.iterrows():
        cells = [name, line["kind"], line["format"], *(readable(line[column]) for column in columns)]
        look = "swis-marked" if name == marked else ""
        rows.append(
            f'<tr class="{look}" data-name="{escape(name)}">'
            + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            + "</tr>"
        )
    return f'<div class="swis-lines"><table class="swis-table"><tr>{head}</tr>{"".join(rows)}</table></div>'


def network(network: Any = None, calibration: Any = None) -> NetworkTab:
    """Return the tab with the layers of a network, in which single ones take other formats or shifts.

    ``network`` and ``calibration`` are as ``Subject.of`` takes them; by default networks of the package can
    be chosen.

    >>> tab = network(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> tab.its_shifts.value = 3
    >>> tab.whole["bits"]
    6.25
    """
    return NetworkTab(Subject.of(network, calibration), embedded=network is None)


class NetworkTab(Tab):
    """The tab ``network`` makes; ``table`` and ``whole`` are those of its picture.

    ``opened`` is called with the name of a layer that is clicked on.
    """

    def __init__(self, subject: Subject, embedded: bool, opened: Callable[[str], None] | None = None) -> None:
        self.subject, self.opened = subject, opened
        self.own: dict[str, WeightFormat] = {}
        known = [(format_words(name), name) for name in quantized_formats()]
        self.format, self.shifts = chosen("format of all", known, "swis"), slider("shifts of all", 2, 1, 7)
        self.design = chosen("accelerator", [(design_words(name), name) for name in designs()], "swis_ss")
        self.layer = chosen("a layer", subject.names, subject.names[0])
        self.its_format, self.its_shifts = chosen("its format", known, "swis"), slider("its shifts", 2, 1, 7)
        self.alike = widgets.Button(description="all layers alike", layout=widgets.Layout(width="160px"))
        self.measure = widgets.Button(description="measure sensitivity", layout=widgets.Layout(width="160px"))
        self.measure.tooltip = "takes some seconds to a minute"
        controls = [self.format, self.shifts, self.design, self.layer, self.its_format, self.its_shifts]
        if embedded:
            self.network = chosen("network", MODELS, next(iter(MODELS.values())))
            self.network.observe(lambda change: self.take(Subject.of(change["new"])), "value")
            controls.insert(0, self.network)
        self.sensitivity: Mapping[str, float] | None = None
        if subject.quantized is not None:
            self.own = _formats_of(subject)
        self.layer.observe(self._show_its, "value")
        for control in (self.its_format, self.its_shifts):
            control.observe(self._set_its, "value")
        self.alike.on_click(lambda _: self._all_alike())
        self.measure.on_click(lambda _: self._measure())
        self._showing = False
        super().__init__(_SENTENCE, [*controls, self.alike, self.measure], self._picture, self._click)
        with self.held():
            self._show_its()

    def take(self, subject: Subject) -> None:
        """Show another network, all of its layers alike."""
        with self.held():
            self.subject, self.own, self.sensitivity = subject, {}, None
            self.layer.options = subject.names

    @property
    def fmts(self) -> dict[str, WeightFormat]:
        """The format of every layer."""
        return dict.fromkeys(self.subject.names, self._common) | self.own

    @property
    def _common(self) -> WeightFormat:
        return weight_format(self.format.value, self.shifts.value)

    def _show_its(self, _: Any = None) -> None:
        if self.layer.value is None:  # between two networks
            return
        fmt, self._showing = self.fmts[self.layer.value], True
        with self.held():
            self.its_format.value, self.its_shifts.value = fmt.name, fmt.shifts
        self._showing = False

    def _set_its(self, _: Any = None) -> None:
        if not self._showing:
            self.own[self.layer.value] = weight_format(self.its_format.value, self.its_shifts.value)

    def _all_alike(self) -> None:
        with self.held():
            self.own.clear()
            self._show_its()

    def _measure(self) -> None:
        self.measure.description, self.measure.disabled = "measuring ...", True
        with self.held():
            self.sensitivity = measured_sensitivity(self.subject, self._common)
        self.measure.description, self.measure.disabled = "measure sensitivity", False

    def _click(self, layer: str) -> None:
        self.layer.value = layer
        if self.opened is not None:
            self.opened(layer)

    def _picture(self) -> Picture:
        design = self.design.value
        self.table, self.whole = layer_table(self.subject, self.fmts, design, self.sensitivity)
        alike = dict.fromkeys(self.subject.names, self._common)
        _, plain = layer_table(self.subject, alike, design) if self.own else (None, self.whole)
        return network_picture(self.table, self.whole, plain, self.layer.value)


def _formats_of(subject: Subject) -> dict[str, WeightFormat]:
    """Return the formats of a network of few bits, filters with shifts of their own with their mean."""
    found = {name: subject.quantized.encoded[name] for name in subject.names}
    return {
        name: each.fmt if each.schedule is None else each.fmt.with_shifts(round(each.schedule.shifts.mean()))
        for name, each in found.items()
    }
