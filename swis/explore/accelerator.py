"""Accelerator: designs side by side, their cycles, energy and roofline, as their sizes change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from swis.errors import InputError
from swis.explore.designs import Simulated, designs, simulated
from swis.explore.drawing import INK, Drawing, Entry, Plot
from swis.explore.looks import Look, design_looks, tint
from swis.explore.picture import Part, Picture, bars, notes, table
from swis.explore.scale import Scale, readable
from swis.explore.subject import MADE, Subject
from swis.explore.tab import GROUP_SIZES, Several, SubjectTab, button, chosen, slider, steps
from swis.explore.words import layer_words, quantized_formats
from swis.plots.names import design_name

_SENTENCE = (
    "What accelerators take for one input: designs with the same array, memories and DRAM side by side. SWIS "
    "arrays are given weights in the format chosen here, all others weights of 8 bits."
)
_COMPUTE = "compute slow designs"
_SLOW = (
    "* Slow designs look at the values of weights or inputs, or search for the order of their loops, which "
    f"takes seconds: “{_COMPUTE}” does so for the sizes that are set."
)
_WIDTH = 560

# Parts of the energy: the array, what is around it on the chip, what is off it or always there.
_ENERGY = {
    "datapath": "#029e73",
    "register": "#7fceb9",
    "weight_sram": "#7a4fa3",
    "input_sram": "#a98bc7",
    "output_sram": "#d6c7e6",
    "unpack": "#d55e00",
    "dram": "#c4c4c4",
    "leakage": "#7d7d7d",
}
_ACRONYMS = {"sram": "SRAM", "dram": "DRAM"}


def accelerator_picture(found: Simulated) -> Picture:
    """Draw what ``simulated`` returns: cycles, energy, roofline, cycles of layers, and a table of totals."""
    layers, sums = found.layers, found.totals
    looks = design_looks(sums["accelerator"])
    names = {
        line.accelerator: f"{design_name(line.accelerator)} ({line.format})" for line in sums.itertuples()
    }
    lines = sums.set_index("accelerator")
    cycles = {
        words: [
            Part(looks[name].colour, "computing", lines.at[name, "compute_cycles"]),
            Part(tint(looks[name].colour), "waiting for DRAM", lines.at[name, "stall_cycles"]),
        ]
        for name, words in names.items()
    }
    energy = {
        words: [
            Part(colour, _part_words(part), lines.at[name, f"{part}_energy_pj"] / 1e6)
            for part, colour in _ENERGY.items()
        ]
        for name, words in names.items()
    }
    entries = [Entry(colour, _part_words(part)) for part, colour in _ENERGY.items()]
    stalls = "full colour: computing; light: waiting for DRAM"
    drawings = [
        bars("Cycles of one input", cycles, "cycles", width=_WIDTH, subtitle=stalls),
        bars("Energy of one input", energy, "µJ", width=_WIDTH, entries=entries),
        _roofline(layers, sums, looks),
        _by_layer(layers, looks),
    ]
    return Picture(drawings, _totals(sums), notes(_remarks(found), "swis-notice"))


def _part_words(part: str) -> str:
    return " ".join(_ACRONYMS.get(word, word) for word in part.split("_"))


def _roofline(layers: pd.DataFrame, sums: pd.DataFrame, looks: Mapping[str, Look]) -> Drawing:
    plot = Plot(
        _WIDTH,
        450,
        title="Roofline: a mark is a layer",
        subtitle="dashed: all lanes at work; dotted: what the DRAM can deliver",
        x=Scale.over(layers["macs_per_dram_byte"], log=True),
        y=Scale.over([*layers["macs_per_cycle"], *layers["peak_macs_per_cycle"]], log=True),
        x_label="multiply-accumulates per byte of DRAM",
        y_label="multiply-accumulates per cycle",
        entries=[Entry(look.colour, design_name(name), look.marker) for name, look in looks.items()],
    )
    for name, look in looks.items():
        mine = layers[layers["accelerator"] == name]
        peak = mine["peak_macs_per_cycle"].max()
        plot.line([plot.at(plot.x.low, peak), plot.at(plot.x.high, peak)], look.colour, 1.2, "7 4")
        for line in mine.itertuples():
            x, y = plot.at(line.macs_per_dram_byte, line.macs_per_cycle)
            reached, roof = readable(line.macs_per_cycle), readable(line.roof_macs_per_cycle)
            told = f"{design_name(name)}, {layer_words(line.layer)}: {reached} of {roof} a cycle"
            plot.mark(x, y, look.colour, look.marker, size=4.5, tip=told)
    rate = sums["dram_bytes_per_cycle"].max()
    ends = [max(plot.x.low, plot.y.low / rate), min(plot.x.high, plot.y.high / rate)]
    if ends[0] < ends[1]:
        plot.line([plot.at(x, rate * x) for x in ends], INK, 1.5, "2 3")
    return plot


def _by_layer(layers: pd.DataFrame, looks: Mapping[str, Look]) -> Drawing:
    count = int((layers["accelerator"] == layers["accelerator"].iloc[0]).sum())
    plot = Plot(
        _WIDTH,
        450,
        title="Cycles of every layer",
        x=Scale(0, count),
        y=Scale.over([*layers["latency_cycles"], 0], zero=True),
        x_label="layer, in the order of calls",
        y_label="cycles",
        entries=[Entry(look.colour, design_name(name), dash=look.dash) for name, look in looks.items()],
    )
    for name, look in reversed(looks.items()):  # the first on top
        cycles = layers.loc[layers["accelerator"] == name, "latency_cycles"]
        corners = zip(np.repeat(np.arange(count + 1), 2)[1:-1], np.repeat(cycles, 2), strict=True)
        plot.line([plot.at(x, y) for x, y in corners], look.colour, 1.8, look.dash)
    return plot


def _totals(sums: pd.DataFrame) -> str:
    columns = {
        "latency [ms]": sums["latency_ms"],
        "inputs per second": sums["frames_per_s"],
        "energy [µJ]": sums["energy_pj"] / 1e6,
        "inputs per joule": sums["frames_per_j"],
        "lanes at work [%]": 100 * sums["utilization"],
        "DRAM traffic [MB]": sums["dram_bytes"] / 1e6,
        "area [mm²]": sums["area_mm2"],
    }
    lines = zip(
        map(design_name, sums["accelerator"]),
        sums["format"],
        *(values.astype(float).tolist() for values in columns.values()),
        strict=True,
    )
    return table(("design", "weights", *columns), lines)


def _remarks(found: Simulated) -> list[str]:
    said = [f"{design_name(name)}: {why}." for name, why in (found.refused or {}).items()]
    if found.waiting:
        names = "; ".join(map(design_name, found.waiting))
        said.insert(0, f"Not computed for these sizes: {names}. Press “{_COMPUTE}”.")
    return said


def accelerator(network: Any = None, calibration: Any = None) -> AcceleratorTab:
    """Return the tab in which accelerators run a network side by side.

    ``network`` is any module, with inputs for ``calibration`` as ``swis.quantize`` takes them, or what that
    returns; by default networks of the package can be chosen.

    >>> import torch
    >>> accelerator(torch.nn.Linear(8, 4), torch.ones(1, 8)).sums["latency_ms"].min() > 0
    np.True_
    """
    return AcceleratorTab(Subject.of(network, calibration))


class AcceleratorTab(SubjectTab):
    """The tab ``accelerator`` makes; ``layers`` and ``sums`` are the tables of its picture."""

    def __init__(self, subject: Subject) -> None:
        known, first = subject.format_options(quantized_formats()), subject.first_format
        offered = [
            (design_name(name) + ("" if follows else "*"), name) for name, follows in designs().items()
        ]
        self.designs = Several("designs", offered, ("swis_ss", "swis_ds", "stripes"))
        self.format, self.shifts = chosen("format", known, first), slider("shifts", 2, 1, 7)
        self.group_size = steps("group size", GROUP_SIZES, 4)
        self.sizes = {
            "rows": steps("rows (filters)", (4, 8, 16, 32), 8),
            "columns": steps("columns (pixels)", (4, 8, 16, 32), 8),
            "lanes": steps("lanes of a unit", (2, 4, 8, 16), 4),
            "weight_sram_bytes": steps("weight SRAM", (16, 32, 64, 128, 256), 64, " KiB"),
            "input_sram_bytes": steps("input SRAM", (16, 32, 64, 128, 256), 32, " KiB"),
            "output_sram_bytes": steps("output SRAM", (8, 16, 32, 64, 128), 16, " KiB"),
            "dram_bits_per_cycle": steps("DRAM per cycle", (8, 16, 32, 64, 128, 256), 64, " bits"),
        }
        self.sizes["lanes"].tooltip = "of a SWIS design; one that has more keeps as many times more"
        self.compute = button(_COMPUTE, "those with a *: seconds to a minute", self._compute)
        self._slow = False
        controls = [
            self.format,
            self.shifts,
            self.group_size,
            *self.sizes.values(),
            self.compute,
            self.designs,
        ]
        super().__init__(subject, _SENTENCE, controls, self._picture)

    def _compute(self) -> None:
        self._slow = True
        self._redraw()
        self._slow = False

    def _picture(self) -> Picture:
        if not self.designs.value:
            raise InputError("choose one design or more")
        self.shifts.disabled = self.group_size.disabled = self.format.value == MADE
        changes = {name: control.value for name, control in self.sizes.items()}
        changes |= {name: 1024 * value for name, value in changes.items() if name.endswith("_bytes")}
        settings = (self.format.value, self.shifts.value, self.group_size.value)
        given = {name: self.subject.given(name, *settings) for name in self.subject.names}
        found = simulated(self.subject, self.designs.value, given, changes, self._slow)
        self.layers, self.sums = found.layers, found.totals
        picture = accelerator_picture(found)
        return replace(picture, below=picture.below + notes([_SLOW, *self.subject.remarks]))
