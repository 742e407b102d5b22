"""Accelerator: designs side by side, their cycles, energy and roofline, as their sizes change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from swis.explore.drawing import COLOURS, MARKERS, Drawing, Picture, Plot, Scale, bars, readable
from swis.explore.subject import MODELS, Subject
from swis.explore.tab import Tab, chosen, several, slider, steps
from swis.explore.words import described, design_words, format_words
from swis.formats.registry import formats, int8_of, weight_format
from swis.formats.swis_c import SwisC
from swis.formats.weight_format import WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.designs import design, energy_table
from swis.hardware.energy import Chip
from swis.hardware.simulate import totals
from swis.options.conf_files import accelerator_named, accelerator_names, energies_named

_SENTENCE = (
    "What accelerators take for one image: designs of the same array and memories side by side, SWIS designs "
    "with weights in the format chosen here, all others with weights of 8 bits."
)
_ENERGIES = "nm45"
_WIDTH = 560


@cache
def designs() -> list[str]:
    """Return the accelerators that can follow a slider: those that look at shapes and shifts, not at values.

    >>> designs()[-3:]
    ['systolic_os', 'systolic_ws', 'truncation']
    """
    known = {name: design_of(name, 4)[0] for name in accelerator_names()}
    return [
        name
        for name, array in known.items()
        if not (array.needs_codes or array.needs_inputs or array.known.searches_tiles)
    ]


def design_of(
    name: str, group_size: int, changes: Mapping[str, Any] | None = None
) -> tuple[Accelerator, Chip]:
    """Return a design, with ``changes`` of its options, and its chip; what its datapath fixes stays.

    ``lanes`` are those of a design of 4 lanes; others have as many times their own.

    >>> design_of("swis_ss", 4, {"rows": 16})[0].rows
    16
    """
    settings = accelerator_named(name)
    wanted = dict(changes or {})
    if "lanes" in wanted and type(settings.lanes) is int:
        wanted["lanes"] = max(1, settings.lanes * wanted["lanes"] // 4)
    wanted = {key: value for key, value in wanted.items() if key not in settings.known.fixed}
    return design(replace(settings, **wanted), energy_table(energies_named(_ENERGIES)), group_size)


def format_on(array: Accelerator, fmt: WeightFormat) -> WeightFormat:
    """Return the format whose weights a design is given: one that it can decode, or 8 bits.

    >>> format_on(design_of("stripes", 4)[0], weight_format("swis")).name
    'int8'
    """
    if array.known is not accelerator_named("swis_ss").known or not array.shared_sets:
        return int8_of(fmt)
    if array.consecutive_sets and fmt.grouped and not fmt.consecutive:
        return SwisC(**{key: value for key, value in asdict(fmt).items() if key in asdict(SwisC())})
    return fmt


def simulated(
    subject: Subject, names: Sequence[str], fmt: WeightFormat, changes: Mapping[str, Any] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what every layer takes on designs by ``names``, and the designs' totals for one image.

    Columns are those of ``swis.hardware.simulate``, with ``accelerator`` and ``format``.

    >>> import torch
    >>> subject = Subject.of(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> int(simulated(subject, ["swis_ss"], weight_format("swis"))[1]["macs"].iloc[0])
    32
    """
    layers, sums = [], []
    for name in names:
        array, chip = design_of(name, fmt.group_size, changes)
        mine = format_on(array, fmt)
        table = pd.DataFrame(subject.runs(dict.fromkeys(subject.names, mine), array, chip))
        who = {"accelerator": name, "format": described(mine)}
        layers.append(table.assign(**who))
        sums.append(who | totals(table, array, chip))
    return pd.concat(layers, ignore_index=True), pd.DataFrame(sums)


def accelerator_picture(layers: pd.DataFrame, sums: pd.DataFrame) -> Picture:
    """Draw what ``simulated`` returns: cycles, energy, roofline, cycles of layers, and a table of totals."""
    names = [f"{design_words(line.accelerator)}, weights: {line.format}" for line in sums.itertuples()]
    cycles = {"computing": sums["compute_cycles"], "waiting for DRAM": sums["stall_cycles"]}
    energy = {
        column.removesuffix("_energy_pj").replace("_", " ").replace("dram", "DRAM").replace("sram", "SRAM"): (
            sums[column] / 1e6
        )
        for column in sums
        if column.endswith("_energy_pj")
    }
    drawings = [
        bars("Cycles of one image", names, _lists(cycles), "cycles", width=_WIDTH),
        bars("Energy of one image", names, _lists(energy), "µJ", width=_WIDTH),
        _roofline(layers, sums),
        _by_layer(layers),
    ]
    return Picture(drawings, below=_totals(sums))


def _lists(parts: Mapping[str, pd.Series]) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in parts.items()}


def _roofline(layers: pd.DataFrame, sums: pd.DataFrame) -> Drawing:
    names = list(sums["accelerator"])
    plot = Plot(
        _WIDTH,
        430 + 20 * len(names),
        title="Roofline: a mark is a layer",
        x=Scale.over(layers["macs_per_dram_byte"], log=True),
        y=Scale.over([*layers["macs_per_cycle"], *layers["peak_macs_per_cycle"]], log=True),
        x_label="multiply-accumulates per byte of DRAM",
        y_label="multiply-accumulates per cycle",
        bottom=60 + 20 * len(names),
    )
    for colour, marker, name in zip(COLOURS, MARKERS * 2, names, strict=False):
        mine = layers[layers["accelerator"] == name]
        peak = mine["peak_macs_per_cycle"].max()
        plot.line([plot.at(plot.x.low, peak), plot.at(plot.x.high, peak)], colour, 1.2, "6 4")
        for line in mine.itertuples():
            x, y = plot.at(line.macs_per_dram_byte, line.macs_per_cycle)
            reached, roof = readable(line.macs_per_cycle), readable(line.roof_macs_per_cycle)
            plot.mark(x, y, colour, marker, size=4.5, tip=f"{line.layer}: {reached} of {roof} a cycle")
    slope = (layers["roof_macs_per_cycle"] / layers["macs_per_dram_byte"])[
        layers["roof_macs_per_cycle"] < layers["peak_macs_per_cycle"] * (1 - 1e-9)
    ]
    if len(slope):  # the DRAM limits some layers
        rate = slope.iloc[0]
        ends = [max(plot.x.low, plot.y.low / rate), min(plot.x.high, plot.y.high / rate)]
        if ends[0] < ends[1]:
            plot.line([plot.at(x, rate * x) for x in ends], "#222222", 1.5, "2 3")
    looks = zip(COLOURS, names, MARKERS * 2, strict=False)
    entries = [(colour, design_words(name), marker) for colour, name, marker in looks]
    plot.legend(72, plot.height - 20 * len(names), entries, 300)
    plot.text(
        _WIDTH - 20, 22, "dashed: all lanes at work; dotted: DRAM", size=12, anchor="end", colour="#666666"
    )
    return plot


def _by_layer(layers: pd.DataFrame) -> Drawing:
    names = list(dict.fromkeys(layers["accelerator"]))
    count = int((layers["accelerator"] == names[0]).sum())
    plot = Plot(
        _WIDTH,
        430 + 20 * len(names),
        title="Cycles of every layer",
        x=Scale(0, count),
        y=Scale.over([*layers["latency_cycles"], 0], zero=True),
        x_label="layer, in the order of calls",
        y_label="cycles",
        bottom=60 + 20 * len(names),
    )
    for colour, name in zip(COLOURS, names, strict=False):
        cycles = layers.loc[layers["accelerator"] == name, "latency_cycles"]
        steps_of = zip(np.repeat(np.arange(count + 1), 2)[1:-1], np.repeat(cycles, 2), strict=True)
        plot.line([plot.at(x, y) for x, y in steps_of], colour, 1.8)
    entries = [(colour, design_words(name)) for colour, name in zip(COLOURS, names, strict=False)]
    plot.legend(72, plot.height - 20 * len(names), entries, 300)
    return plot


def _totals(sums: pd.DataFrame) -> str:
    columns = {
        "latency [ms]": sums["latency_ms"],
        "images per second": sums["frames_per_s"],
        "images per joule": sums["frames_per_j"],
        "lanes at work [%]": 100 * sums["utilization"],
        "DRAM traffic [MB]": sums["dram_bytes"] / 1e6,
        "area [mm²]": sums["area_mm2"],
    }
    head = "".join(f"<th>{name}</th>" for name in ("design", "weights", *columns))
    rows = [
        f"<tr><td>{escape(design_words(name))}</td><td>{escape(fmt)}</td>"
        + "".join(f"<td>{readable(values.iloc[place])}</td>" for values in columns.values())
        for place, (name, fmt) in enumerate(zip(sums["accelerator"], sums["format"], strict=True))
    ]
    return (
        f'<div style="overflow-x:auto"><table class="swis-table"><tr>{head}</tr>{"".join(rows)}</table></div>'
    )


def accelerator(network: Any = None, calibration: Any = None) -> Tab:
    """Return the tab in which accelerators run a network side by side.

    ``network`` and ``calibration`` are as ``Subject.of`` takes them; by default networks of the package can
    be chosen.

    >>> import torch
    >>> accelerator(torch.nn.Linear(8, 4), torch.ones(1, 8)).sums["latency_ms"].min() > 0
    np.True_
    """
    return AcceleratorTab(Subject.of(network, calibration), embedded=network is None)


class AcceleratorTab(Tab):
    """The tab ``accelerator`` makes; ``layers`` and ``sums`` are the tables of its picture."""

    def __init__(self, subject: Subject, embedded: bool) -> None:
        self.subject = subject
        grouped = [(format_words(name), name) for name, kind in formats().items() if kind.grouped]
        self.designs = several(
            "designs", [(design_words(name), name) for name in designs()], ("swis_ss", "swis_ds", "stripes")
        )
        self.format, self.shifts = chosen("format", grouped, grouped[0][1]), slider("shifts", 2, 1, 7)
        self.sizes = {
            "rows": steps("rows (filters)", (4, 8, 16, 32), 8),
            "columns": steps("columns (pixels)", (4, 8, 16, 32), 8),
            "lanes": steps("lanes of a unit", (2, 4, 8, 16), 4),
            "weight_sram_bytes": steps("weight SRAM", (16, 32, 64, 128, 256), 64, " kB"),
            "input_sram_bytes": steps("input SRAM", (16, 32, 64, 128, 256), 32, " kB"),
            "output_sram_bytes": steps("output SRAM", (8, 16, 32, 64, 128), 16, " kB"),
            "dram_bits_per_cycle": steps("DRAM per cycle", (8, 16, 32, 64, 128, 256), 64, " bits"),
        }
        controls = [self.designs, self.format, self.shifts, *self.sizes.values()]
        if embedded:
            self.network = chosen("network", MODELS, next(iter(MODELS.values())))
            self.network.observe(lambda change: self.take(Subject.of(change["new"])), "value")
            controls.insert(0, self.network)
        super().__init__(_SENTENCE, controls, self._picture)

    def take(self, subject: Subject) -> None:
        """Run another network."""
        with self.held():
            self.subject = subject

    def _picture(self) -> Picture:
        changes = {name: control.value for name, control in self.sizes.items()}
        changes |= {name: 1024 * value for name, value in changes.items() if name.endswith("_bytes")}
        fmt = weight_format(self.format.value, self.shifts.value)
        self.layers, self.sums = simulated(self.subject, self.designs.value or ("swis_ss",), fmt, changes)
        return accelerator_picture(self.layers, self.sums)
