"""Accelerators, chips and energy tables made from the configuration."""

from __future__ import annotations

from dataclasses import asdict, fields, replace

from swis.errors import InputError
from swis.hardware.accelerator import Accelerator
from swis.hardware.energy import Bank, Chip, EnergyTable, Unit
from swis.options.hardware import GROUP_SIZE, MEMORY, AcceleratorConfig, EnergyConfig


def design(settings: AcceleratorConfig, table: EnergyTable, group_size: int) -> tuple[Accelerator, Chip]:
    """Return the configured accelerator, and its chip according to an energy table.

    With ``array_um2`` it has as many columns as fit into that area [um2]. Raises ``InputError`` for a kind of
    PE that the table does not have, and for an area smaller than one column.

    >>> from swis.experiments.config import load
    >>> config = load(["accelerator=systolic_os", "accelerator.array_um2=81712"])
    >>> design(config.accelerator, energy_table(config.energy), config.group_size)[0].columns
    20
    """
    values = asdict(settings)
    if values["lanes"] == GROUP_SIZE:
        values["lanes"] = group_size
    area = values.pop("array_um2")
    accelerator = Accelerator(**values)
    if area is not None:
        row = accelerator.rows * table.unit(accelerator.unit, accelerator.lanes).area_um2
        if area < row:
            raise InputError(f"accelerator.array_um2={area:g} is less than a column of PEs, {row:.0f} um2")
        # a design's own area must give its own columns, despite rounding
        accelerator = replace(accelerator, columns=int(area / row + 1e-6))
    return accelerator, Chip.of(accelerator, table)


def baseline(
    theirs: AcceleratorConfig, mine: AcceleratorConfig, table: EnergyTable, group_size: int
) -> tuple[Accelerator, Chip]:
    """Return a design to compare with; it gets the clock, SRAMs, DRAM and ``array_um2`` of ``mine``.

    If ``mine`` has other than 8 x 8 PEs, the rows and columns of the baseline are scaled in the same way; its
    lanes are not changed. The baseline takes over ``side_by_side``, ``spread_fc`` and, as a "swis" array,
    ``systolic``, as far as it supports them. Raises ``InputError`` if such a design is not possible.
    """
    known = AcceleratorConfig()
    same = {key: getattr(mine, key) for key in ("frequency_mhz", "array_um2", *MEMORY)}
    same |= {key: getattr(mine, key) for key in theirs.known.follows}
    if theirs.needs_inputs:
        same["side_by_side"] = False
    same |= {key: theirs.known.fixed[key] for key in same.keys() & theirs.known.fixed}
    for side in ("rows", "columns"):
        same[side] = max(1, getattr(theirs, side) * getattr(mine, side) // getattr(known, side))
    return design(replace(theirs, **same), table, group_size)


def energy_table(settings: EnergyConfig) -> EnergyTable:
    """Return the configured energies, scaled to one node; raise ``InputError`` for a table without SRAMs.

    >>> from swis.experiments.config import load
    >>> round(energy_table(load().energy).units["stripes"].pj_per_cycle, 3)
    0.786
    """
    if not settings.banks:
        raise InputError("energy.banks is empty; give at least one SRAM")
    units = {}
    for name, unit in settings.units.items():
        node = settings.nodes[unit.node]
        scaled = (node.energy * unit.pj_per_cycle, node.area * unit.area_um2)
        units[name] = Unit(*scaled, unit.lanes, unit.shared, unit.with_registers)
    bits = settings.port_bits
    banks = [
        Bank(bank.size_bytes, bank.read_pj / bits, bank.write_pj / bits, bank.leak_mw, bank.area_mm2)
        for bank in settings.banks
    ]
    numbers = {known.name: getattr(settings, known.name) for known in fields(EnergyTable)[3:]}
    return EnergyTable(settings.name, units, banks, **numbers)
