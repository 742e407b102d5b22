"""The energy of a layer by component, from tables of energies per event (reconstructed)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

from swis.errors import InputError
from swis.hardware.accelerator import Accelerator
from swis.hardware.layer_run import LayerRun


@dataclass(frozen=True)
class Unit:
    """A PE with ``lanes`` lanes at the table's node: its energy per cycle [pJ] and its area [um2].

    The fraction ``shared`` of both, such as the accumulator, does not depend on the number of lanes. With
    ``with_registers`` the energy includes the registers that pass operands to the next PE.
    """

    pj_per_cycle: float
    area_um2: float
    lanes: int = 1
    shared: float = 0.0
    with_registers: bool = False

    def of(self, lanes: int) -> Unit:
        """Return the PE with another number of lanes.

        >>> Unit(1.0, 100.0, lanes=8, shared=0.5).of(4)
        Unit(pj_per_cycle=0.75, area_um2=75.0, lanes=4, shared=0.5, with_registers=False)
        """
        part = self.shared + (1 - self.shared) * lanes / self.lanes
        return replace(
            self, pj_per_cycle=part * self.pj_per_cycle, area_um2=part * self.area_um2, lanes=lanes
        )


@dataclass(frozen=True)
class Bank:
    """An SRAM of ``size_bytes``: energy per bit read and written [pJ], leakage [mW], area [mm2]."""

    size_bytes: int
    read_pj_per_bit: float
    write_pj_per_bit: float
    leak_mw: float
    area_mm2: float


@dataclass(frozen=True)
class EnergyTable:
    """Energies per event, all at one technology node; the source of every number is in conf/energy."""

    name: str
    units: Mapping[str, Unit]
    banks: Sequence[Bank]
    dram_pj_per_bit: float
    register_pj_per_bit: float
    unpack_pj_per_bit: float
    logic_leak_uw_per_um2: float

    def unit(self, name: str, lanes: int) -> Unit:
        """Return a PE by its name, with ``lanes`` lanes; raise ``InputError`` if it is not in the table."""
        if name not in self.units:
            known = ", ".join(sorted(self.units))
            raise InputError(
                f"accelerator.unit={name} is not in the energy table {self.name}; choose one of {known}"
            )
        return self.units[name].of(lanes)

    def sram(self, size_bytes: int, banks: int = 1) -> Bank:
        """Return an SRAM of at least ``size_bytes`` in at least ``banks`` banks, the smallest that fit.

        >>> small, large = Bank(1024, 0.1, 0.2, 1.0, 0.01), Bank(4096, 0.3, 0.4, 3.0, 0.03)
        >>> table = EnergyTable("a", {}, [small, large], 15.0, 0.01, 0.0, 0.0)
        >>> table.sram(16384, banks=2)
        Bank(size_bytes=16384, read_pj_per_bit=0.3, write_pj_per_bit=0.4, leak_mw=12.0, area_mm2=0.12)
        """
        known = sorted(self.banks, key=lambda bank: bank.size_bytes)
        each = -(-size_bytes // banks)
        bank = next((bank for bank in known if bank.size_bytes >= each), known[-1])
        count = max(banks, -(-size_bytes // bank.size_bytes))
        return replace(
            bank,
            size_bytes=count * bank.size_bytes,
            leak_mw=count * bank.leak_mw,
            area_mm2=count * bank.area_mm2,
        )


@dataclass(frozen=True)
class Energy:
    """The energy of a layer for one image by component [pJ], as integers, so that sums are exact."""

    datapath_energy_pj: int
    register_energy_pj: int
    weight_sram_energy_pj: int
    input_sram_energy_pj: int
    output_sram_energy_pj: int
    unpack_energy_pj: int
    dram_energy_pj: int
    leakage_energy_pj: int

    @property
    def energy_pj(self) -> int:
        return sum(astuple(self))


@dataclass(frozen=True)
class Chip:
    """The PEs, SRAMs and clock of an accelerator, with their energies and areas."""

    table: EnergyTable
    unit: Unit
    units: int
    srams: dict[str, Bank]
    frequency_mhz: float

    @classmethod
    def of(cls, accelerator: Accelerator, table: EnergyTable) -> Chip:
        """Return the chip of a design; raise ``InputError`` if the table does not have its kind of PE."""
        memory, banks = accelerator.memory, accelerator.banks
        srams = {
            name: table.sram(getattr(memory, f"{name}_sram_bytes"), count) for name, count in banks.items()
        }
        unit = table.unit(accelerator.unit, accelerator.lanes)
        return cls(table, unit, accelerator.units, srams, accelerator.frequency_mhz)

    @property
    def array_mm2(self) -> float:
        return self.units * self.unit.area_um2 * 1e-6

    @property
    def area_mm2(self) -> float:
        return self.array_mm2 + sum(bank.area_mm2 for bank in self.srams.values())

    @property
    def leak_mw(self) -> float:
        """The leakage of PEs and SRAMs [mW]."""
        logic = self.units * self.unit.area_um2 * self.table.logic_leak_uw_per_um2 / 1e3
        return logic + sum(bank.leak_mw for bank in self.srams.values())

    def energy(self, run: LayerRun) -> Energy:
        """Return the energy of a layer.

        All PEs take energy in every compute cycle, even without work, and none in stall cycles. PEs and SRAMs
        leak in all cycles. Registers between PEs are counted separately, unless the energy of a PE includes
        them.

        >>> from swis.hardware.sram import OnChip
        >>> bank = Bank(1024, 0.1, 0.2, 1.0, 0.01)
        >>> table = EnergyTable("a", {}, [bank], 15.0, 0.01, 0.0, 0.0)
        >>> chip = Chip(table, Unit(0.5, 1.0), 64, {"weight": bank, "input": bank, "output": bank}, 500.0)
        >>> energy = chip.energy(LayerRun(100, 100, 0, 80, 80, 20, 0, OnChip(1000, 100, 0, 0, 0, 0)))
        >>> energy.datapath_energy_pj, energy.weight_sram_energy_pj, energy.dram_energy_pj
        (3200, 120, 1500)
        >>> energy.leakage_energy_pj, energy.energy_pj
        (1200, 6020)
        """
        table, moved = self.table, {}
        for name, bank in self.srams.items():
            read, written = (getattr(run.chip, f"{name}_{way}_bits") for way in ("read", "write"))
            moved[name] = round(read * bank.read_pj_per_bit + written * bank.write_pj_per_bit)
        registers = 0 if self.unit.with_registers else run.chip.register_bits
        return Energy(
            datapath_energy_pj=round(self.units * self.unit.pj_per_cycle * run.compute_cycles),
            register_energy_pj=round(registers * table.register_pj_per_bit),
            weight_sram_energy_pj=moved["weight"],
            input_sram_energy_pj=moved["input"],
            output_sram_energy_pj=moved["output"],
            unpack_energy_pj=round(run.unpacked_bits * table.unpack_pj_per_bit),
            dram_energy_pj=round(run.dram_bits * table.dram_pj_per_bit),
            # 1 mW during 1 us is 1000 pJ
            leakage_energy_pj=round(self.leak_mw * 1e3 * run.cycles / self.frequency_mhz),
        )
