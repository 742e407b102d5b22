"""A network, or the shapes of one, in a run's methods on its accelerator and on those to compare with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from swis import records
from swis.accelerator import Accelerator
from swis.apply import WeightFormat
from swis.config import Config
from swis.designs import design, energy_table, rival
from swis.energy import Chip, EnergyTable
from swis.files import check_output
from swis.operands import NetworkOperands, ShapeOperands
from swis.simulate import simulate, totals
from swis.study import formats, prepare
from swis.workload import read_workload

# Raised when simulated numbers change: older ones are then computed anew.
VERSION = 1

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
        return {name: rival(name, config.accelerator, self.table, *sizes) for name in config.versus}

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
        """Return a row's columns of hardware; None for "float".

        ``speedup_vs_NAME`` and ``energy_gain_vs_NAME`` compare with the base format on another design.
        """
        if form.method == "float":
            return {}
        mine = self.totals(form)
        found = {name: mine[name] for name in COLUMNS}
        base = next(form for form in formats(self.config) if form.method == "base")
        for name, other in self.rivals.items():
            theirs = self.totals(base, other) if other else {"latency_ms": None, "energy_pj": None}
            for column, quantity in (("speedup", "latency_ms"), ("energy_gain", "energy_pj")):
                value = theirs[quantity]
                found[f"{column}_vs_{name}"] = None if value is None else value / mine[quantity]
        return found

    def row(self, form: WeightFormat, key: str, folder: Path) -> pd.DataFrame:
        """Return, computed or read, the line of hardware that belongs to the row of results ``key``."""
        facts = {"version": VERSION, "accelerator": asdict(self.config.accelerator)}
        facts |= {"energy": _numbers(asdict(self.config.energy)), "versus": self.config.versus}
        digest = records.digest(facts)
        row = None if self.config.force else records.read_hardware(key, digest, folder)
        if row is None:
            names = {"accelerator": self.mine[0].name, "energy_table": self.config.energy.name}
            row = records.write_hardware(names | self.columns(form), facts, key, digest, folder)
        return row


def simulate_methods(config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate the base format and every configured method; return a line per method, and one per layer.

    Layers and weights are those of the configured model, before any calibration; ``workload`` names a file of
    shapes instead. Layers in ``skip`` have the base format. Raises ``InputError`` for hardware and files that
    do not fit.
    """
    if config.out is not None:
        check_output(Path(config.out), config.force)
    design(config.accelerator, energy_table(config.energy), config.group_size, config.activation_bits)
    if config.workload is None:
        study = prepare(config)
        name, weights = config.model.label, study.network.weights
        operands = NetworkOperands(study)
    else:
        name, weights = Path(config.workload).stem, "none"
        operands = ShapeOperands(read_workload(config.workload), config.seed)
    hardware = Hardware(config, operands)
    accelerator = hardware.mine[0]
    if config.workload is not None and accelerator.needs_codes:
        weights = "gaussian"
    lines, tables = [], []
    for form in formats(config):
        if form.method == "float":
            continue
        facts = {"network": name, "weights": weights, "accelerator": accelerator.name, "method": form.method}
        facts["bits"] = float(form.magnitude_bits if form.method == "base" else config.bits)
        lines.append(facts | hardware.totals(form))
        tables.append(hardware.layers(form).assign(**facts))
    whole = pd.concat(tables, ignore_index=True)
    whole = whole.assign(group_size=config.group_size, config=json.dumps(asdict(config)))
    if config.out is not None:
        records.write_table(whole, Path(config.out))
    return pd.DataFrame(lines), whole


def _numbers(energy: dict[str, Any]) -> dict[str, Any]:
    """Leave out where numbers of an energy table are from, which conf/energy says."""
    kept = {}
    for name, value in energy.items():
        if isinstance(value, dict):
            kept[name] = _numbers(value)
        elif not name.endswith("source"):
            kept[name] = value
    return kept
