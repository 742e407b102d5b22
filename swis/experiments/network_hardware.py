"""The layers of a network on the accelerator of a run, and on the designs to compare with."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from swis.errors import InputError
from swis.experiments.config import Config
from swis.formats.registry import int8_of
from swis.formats.weight_format import CODINGS, WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.designs import baseline, design, energy_table
from swis.hardware.energy import Chip, EnergyTable
from swis.hardware.network_operands import NetworkOperands
from swis.hardware.operands import ShapeOperands
from swis.hardware.simulate import simulate, totals
from swis.options.conf_files import accelerator_named, accelerator_names
from swis.options.hardware import MEMORY
from swis.options.option import identity
from swis.results import records
from swis.results.hardware_results import ARRAY, REASON, SIMULATED
from swis.runtime.notices import warn_once


@dataclass(frozen=True)
class Hardware:
    """Simulations of a network's layers on the configured accelerator and others; the tables are cached."""

    config: Config
    operands: NetworkOperands | ShapeOperands
    _tables: dict[tuple[Accelerator, WeightFormat], pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def table(self) -> EnergyTable:
        return energy_table(self.config.energy)

    @cached_property
    def mine(self) -> tuple[Accelerator, Chip]:
        return design(self.config.accelerator, self.table, self.config.group_size)

    @cached_property
    def baselines(self) -> dict[str, tuple[Accelerator, Chip] | None]:
        """The designs in ``versus``; None, with a warning, for a design that these options do not allow."""
        config, found = self.config, {}
        for name in config.baselines:
            try:
                found[name] = baseline(
                    accelerator_named(name), config.accelerator, self.table, config.group_size
                )
            except InputError as error:
                found[name] = None
                warn_once(f"no comparison with {name}: {error}")
        return found

    def layers(self, fmt: WeightFormat, on: tuple[Accelerator, Chip] | None = None) -> pd.DataFrame:
        """Return a row per layer of a format on the configured accelerator, or on another one.

        Accelerators read plain coding: the hardware of an entropy decoder is not modelled.
        """
        accelerator, chip = on or self.mine
        fmt = replace(fmt, coding=CODINGS[0])
        if (accelerator, fmt) not in self._tables:
            operands, bits = self.operands.of(fmt, accelerator), self.config.activation_bits
            table = simulate(accelerator, self.operands.layers, operands, chip, bits)
            self._tables[accelerator, fmt] = table
        return self._tables[accelerator, fmt]

    def totals(self, fmt: WeightFormat) -> dict[str, Any]:
        """Return the totals of a format for one image on the configured accelerator."""
        return totals(self.layers(fmt), *self.mine)

    def columns(self, fmt: WeightFormat) -> dict[str, Any]:
        """Return the hardware columns of a row; none for float weights.

        ``speedup_vs_NAME`` and ``energy_gain_vs_NAME`` compare with 8-bit weights on another design; they are
        None if that design cannot run the network.
        """
        if not fmt.quantized:
            return {}
        mine = self.totals(fmt)
        found = {name: mine[name] for name in SIMULATED}
        base = int8_of(fmt)
        for name, other in self.baselines.items():
            layers = self.on_baseline(base, name)
            theirs = None if layers is None else totals(layers, *other)
            for column, quantity in (("speedup", "latency_ms"), ("energy_gain", "energy_pj")):
                found[f"{column}_vs_{name}"] = theirs[quantity] / mine[quantity] if theirs else None
        return found

    def on_baseline(self, fmt: WeightFormat, name: str) -> pd.DataFrame | None:
        """Return a row per layer of a format on a design in ``versus``.

        Return None, with a warning, if the design cannot run it.
        """
        try:
            return self.layers(fmt, self.baselines[name]) if self.baselines[name] else None
        except InputError as error:  # such as weights with more bits than its PEs take
            warn_once(f"no comparison with {fmt.name} on {name}: {error}")
            return None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that a hardware result depends on besides its row."""
        return {"version": records.HARDWARE_VERSION, **_facts(*self.mine)}

    def result(self, fmt: WeightFormat, key: str, folder: Path) -> pd.DataFrame:
        """Compute or read the hardware result of the row ``key``, and return it.

        If the network does not fit the accelerator, the result has no numbers, and the reason in ``REASON``.
        On disk, the result keeps the comparisons with other designs that it had before.
        """
        found = None if self.config.force else self.kept(key, folder)
        if found is None:
            with records.locked(f"{key}-hardware", folder):
                before = records.compared(key, self.identity, folder)
                versus = list(self.baselines)
                versus += [name for name in accelerator_names() if name in before and name not in versus]
                # all designs are simulated again, so that a result has one commit and one energy table
                whole = Hardware(replace(self.config, versus=versus), self.operands, self._tables)
                columns = describe(self.mine[0], self.config) | whole._columns_or_reason(fmt)
                records.write_hardware(columns, self.identity, whole.versus, key, folder)
                found = self.kept(key, folder)
        return found

    def kept(self, key: str, folder: Path) -> pd.DataFrame | None:
        """Return the stored hardware result of a row if it compares with these designs, else None."""
        return records.read_hardware(key, self.identity, self.versus, folder)

    def _columns_or_reason(self, fmt: WeightFormat) -> dict[str, Any]:
        try:
            return self.columns(fmt)
        except InputError as error:  # the run goes on, because accuracies do not depend on the hardware
            return {REASON: str(error)}

    @cached_property
    def versus(self) -> dict[str, Any]:
        return {name: pair and _facts(*pair) for name, pair in self.baselines.items()}


def describe(accelerator: Accelerator, config: Config) -> dict[str, Any]:
    """Return the columns of tables that describe a design and its energy table."""
    return (
        {"accelerator": accelerator.name, "energy_table": config.energy.name}
        | {"dram_pj_per_bit": config.energy.dram_pj_per_bit}
        | {name: getattr(accelerator, name) for name in ARRAY}
    )


def _facts(accelerator: Accelerator, chip: Chip) -> dict[str, Any]:
    """Return a design and its energies, without those of other designs, so that a table may be extended."""
    prices = asdict(chip)
    table = prices.pop("table")
    del table["units"], table["banks"]
    array = identity(accelerator)
    array["memory"] = {name: array.pop(name) for name in MEMORY}
    return {"accelerator": array, "energy": table | prices}
