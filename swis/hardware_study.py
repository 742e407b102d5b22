"""A network, or the shapes of one, in a run's methods on its accelerator and on those to compare with."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from swis import records
from swis.accelerator import Accelerator
from swis.apply import WeightFormat
from swis.config import Config, accelerator_named, accelerator_names
from swis.designs import design, energy_table, rival
from swis.energy import Chip, EnergyTable
from swis.errors import InputError
from swis.files import check_output
from swis.operands import NetworkOperands, ShapeOperands
from swis.simulate import simulate, totals
from swis.study import Study, formats, prepare
from swis.workload import read_workload

log = logging.getLogger("swis")

# Of a network's totals, what a row of results has; with ``speedup_vs_*`` and ``energy_gain_vs_*``.
COLUMNS = (
    *("latency_cycles", "stall_cycles", "latency_ms", "frames_per_s", "utilization"),
    *("dram_bytes", "weight_dram_bytes", "energy_pj", "frames_per_j"),
    *("datapath_energy_pj", "register_energy_pj", "weight_sram_energy_pj", "input_sram_energy_pj"),
    *("output_sram_energy_pj", "unpack_energy_pj", "dram_energy_pj", "leakage_energy_pj"),
    *("array_mm2", "area_mm2"),
)


@dataclass(frozen=True)
class Hardware:
    """The configured accelerator under a network's layers; what has been simulated is kept."""

    config: Config
    operands: NetworkOperands | ShapeOperands
    _tables: dict[tuple[Accelerator, WeightFormat], pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def table(self) -> EnergyTable:
        return energy_table(self.config.energy)

    @cached_property
    def mine(self) -> tuple[Accelerator, Chip]:
        config = self.config
        return design(config.accelerator, self.table, config.group_size, config.activation_bits)

    @cached_property
    def rivals(self) -> dict[str, tuple[Accelerator, Chip] | None]:
        config = self.config
        sizes = (config.group_size, config.activation_bits)
        return {name: rival(name, config.accelerator, self.table, *sizes) for name in config.rivals}

    def layers(self, form: WeightFormat, on: tuple[Accelerator, Chip] | None = None) -> pd.DataFrame:
        """Return a line per layer of a format on the configured accelerator, or on another."""
        accelerator, chip = on or self.mine
        if (accelerator, form) not in self._tables:
            operands, bits = self.operands.of(form, accelerator), self.config.activation_bits
            table = simulate(accelerator, self.operands.layers, operands, chip, bits)
            self._tables[accelerator, form] = table
        return self._tables[accelerator, form]

    def totals(self, form: WeightFormat, on: tuple[Accelerator, Chip] | None = None) -> dict[str, Any]:
        """Return what a format takes for one image."""
        return totals(self.layers(form, on), *(on or self.mine))

    def columns(self, form: WeightFormat) -> dict[str, Any]:
        """Return a row's columns of hardware; none for "float".

        ``speedup_vs_NAME`` and ``energy_gain_vs_NAME`` compare with the base format on another design; None
        where that cannot run it.
        """
        if form.method == "float":
            return {}
        mine = self.totals(form)
        found = {name: mine[name] for name in COLUMNS}
        for name in self.rivals:
            theirs = self._base_on(name)
            for column, quantity in (("speedup", "latency_ms"), ("energy_gain", "energy_pj")):
                found[f"{column}_vs_{name}"] = theirs[quantity] / mine[quantity] if theirs else None
        return found

    def _base_on(self, name: str) -> dict[str, Any] | None:
        base = next(form for form in formats(self.config) if form.method == "base")
        try:
            return self.totals(base, self.rivals[name]) if self.rivals[name] else None
        except InputError:  # such as weights of more bits than its units take
            return None

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What simulated numbers depend on beside the row that they belong to."""
        energy = _numbers(asdict(self.config.energy))
        return {"version": records.HARDWARE_VERSION, "accelerator": asdict(self.mine[0]), "energy": energy}

    def row(self, form: WeightFormat, key: str, folder: Path) -> pd.DataFrame:
        """Return, computed or read, the line of hardware that belongs to the row of results ``key``."""
        versus = {name: pair and asdict(pair[0]) for name, pair in self.rivals.items()}
        row = None if self.config.force else records.read_hardware(key, self.facts, folder)
        if row is None or json.loads(row["hardware"].item())["versus"] != versus:
            names = _design(self.mine[0], self.config)
            row = records.write_hardware(names | self.columns(form), self.facts, versus, key, folder)
        return row


def simulated_lines(config: Config, study: Study) -> dict[str, pd.DataFrame]:
    """Return the line of hardware of every method's row, computed or read; none if activations are float.

    Raises ``InputError`` for hardware that does not fit. Where it is as its file says, and so perhaps not
    asked for at all, that is a warning, and there are no lines.
    """
    if config.activation_bits is None:
        return {}
    hardware, forms = Hardware(config, NetworkOperands(study)), formats(config)
    lines, name, _ = {}, hardware.mine[0].name, hardware.rivals
    try:
        for form in forms:
            if form.method != "float":
                lines[form.method] = hardware.row(form, study.key(form), study.folder)
    except InputError as error:
        if name not in accelerator_names() or config.accelerator != accelerator_named(name):
            raise
        log.warning("rows without columns of hardware: %s: %s", name, error)
        return {}
    return lines


def simulate_methods(config: Config) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Simulate the base format and every configured method on the configured accelerator.

    Return a line per method, their lines per layer, and, if there is an ``out`` file for it, its table: of
    these and of all methods on all designs in ``versus``, a line per layer, or per network. Layers and
    weights are those of the configured model, before any calibration; ``workload`` names a file of shapes
    instead. Layers in ``skip`` have the base format. Raises ``InputError`` for hardware and files that do not
    fit.
    """
    if config.out is not None:
        check_output(Path(config.out), config.force)
    design(config.accelerator, energy_table(config.energy), config.group_size, config.activation_bits)
    if config.workload is None:
        study = prepare(config)
        facts = {"network": config.model.label, "weights": study.network.weights}
        operands = NetworkOperands(study)
    else:
        facts = {"network": Path(config.workload).stem, "weights": "shapes"}
        operands = ShapeOperands(read_workload(config.workload), config.seed, config.activation_bits)
    hardware = Hardware(config, operands)
    forms = [form for form in formats(config) if form.method != "float"]

    def labelled(table: pd.DataFrame, form: WeightFormat, accelerator: Accelerator) -> pd.DataFrame:
        bits = float(form.magnitude_bits if form.method == "base" else config.bits)
        names = facts | _design(accelerator, config)
        if accelerator.name == hardware.mine[0].name and accelerator != hardware.mine[0]:
            names["accelerator"] += ", as in its file"
        return table.assign(**names, method=form.method, bits=bits, group_size=config.group_size)

    mine, lines, layers = hardware.mine[0], [], []
    for form in tqdm(forms, desc=mine.name, leave=False):
        line = pd.DataFrame([hardware.totals(form) | hardware.columns(form)])
        lines.append(labelled(line, form, mine))
        layers.append(labelled(hardware.layers(form), form, mine))
    lines, layers = pd.concat(lines, ignore_index=True), pd.concat(layers, ignore_index=True)
    if config.out is None:
        return lines, layers, None
    whole = [layers if config.per_layer else lines]
    pairs = [(other, form) for other in hardware.rivals.values() if other for form in forms]
    for other, form in tqdm(pairs, desc="other designs", leave=False):
        table = (
            hardware.layers(form, other) if config.per_layer else pd.DataFrame([hardware.totals(form, other)])
        )
        whole.append(labelled(table, form, other[0]))
    whole = pd.concat(whole, ignore_index=True)
    records.write_table(whole.assign(config=json.dumps(asdict(config))), Path(config.out))
    return lines, layers, whole


def _design(accelerator: Accelerator, config: Config) -> dict[str, Any]:
    """What lines say of a design, and of the energy table that prices it."""
    names = ("rows", "columns", "lanes", "systolic", "side_by_side", "spread_fc", "frequency_mhz")
    memory = ("dram_bits_per_cycle", "weight_sram_bytes", "input_sram_bytes", "output_sram_bytes")
    return (
        {"accelerator": accelerator.name, "energy_table": config.energy.name}
        | {"dram_pj_per_bit": config.energy.dram_pj_per_bit}
        | {name: getattr(accelerator, name) for name in names}
        | {name: getattr(accelerator.memory, name) for name in memory}
    )


def _numbers(energy: dict[str, Any]) -> dict[str, Any]:
    """Leave out where numbers of an energy table are from, which conf/energy says."""
    kept = {}
    for name, value in energy.items():
        if isinstance(value, dict):
            kept[name] = _numbers(value)
        elif not name.endswith("source"):
            kept[name] = value
    return kept
