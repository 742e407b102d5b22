"""Energies computed by hand, and tables whose numbers equal those of their sources."""

import pytest
import yaml
from conftest import ROOT

from swis.experiments.config import load
from swis.hardware.designs import design, energy_table
from swis.hardware.energy import Bank, Chip, EnergyTable, Unit
from swis.hardware.layer_run import LayerRun
from swis.hardware.sram import OnChip
from swis.options.conf_files import accelerator_named, accelerator_names

TABLES = sorted(path.stem for path in (ROOT / "conf" / "energy").glob("*.yaml"))
BANKS = [Bank(1024, 0.1, 0.2, 1.0, 0.01), Bank(4096, 0.3, 0.4, 3.0, 0.03)]


def test_every_component_computed_by_hand():
    table = EnergyTable("t", {}, BANKS, 15.0, 0.01, 0.02, 0.5)
    srams = {"weight": table.sram(8192, 2), "input": table.sram(1000), "output": table.sram(5000)}
    chip = Chip(table, Unit(0.5, 200.0), 64, srams, 250.0)
    whole = Chip(table, Unit(0.5, 200.0, with_registers=True), 64, srams, 250.0)
    run = LayerRun(1000, 200, 0, 10, 70, 30, 40, OnChip(100, 10, 200, 20, 300, 30, 5000))
    energy = chip.energy(run)
    assert energy.datapath_energy_pj == 64 * 0.5 * 1000  # stall cycles take no energy of PEs
    assert (energy.register_energy_pj, whole.energy(run).register_energy_pj) == (50, 0)
    assert energy.weight_sram_energy_pj == 100 * 0.3 + 10 * 0.4
    assert energy.input_sram_energy_pj == 200 * 0.1 + 20 * 0.2
    assert energy.output_sram_energy_pj == 300 * 0.3 + 30 * 0.4
    assert energy.unpack_energy_pj == round(40 * 0.02)
    assert energy.dram_energy_pj == 100 * 15
    # 64 x 200 um2 x 0.5 uW/um2 and banks of 3, 3, 1, 3 and 3 mW, during 1200 cycles of 4 ns
    assert energy.leakage_energy_pj == round((6.4 + 13) * 1200 * 4)
    parts = [value for name, value in vars(energy).items() if name.endswith("_energy_pj")]
    assert len(parts) == 8
    assert energy.energy_pj == sum(parts)
    assert chip.area_mm2 == pytest.approx(64 * 200e-6 + 0.06 + 0.01 + 0.06)


@pytest.mark.parametrize("name", TABLES)
def test_every_number_of_a_table_has_its_source(name):
    energy = load([f"energy={name}"]).energy
    assert energy.name == name
    assert all(len(unit.source) > 15 for unit in energy.units.values())
    assert all(len(node.source) > 15 for node in energy.nodes.values())
    for kind in ("bank", "dram", "register", "unpack", "leak"):
        assert len(getattr(energy, f"{kind}_source")) > 15
    sizes = [bank.size_bytes for bank in energy.banks]
    assert sizes == sorted(set(sizes))


def test_tables_have_a_pe_for_every_design():
    for table in (energy_table(load([f"energy={name}"]).energy) for name in TABLES):
        for name in accelerator_names():
            _, chip = design(accelerator_named(name), table, 4)
            assert chip.unit.pj_per_cycle > 0


def test_published_numbers_are_scaled_to_the_table_s_node():
    """BitFusion's MAC is published at 45 nm, others at 28 nm; one table has high-performance SRAMs."""
    plain, code, fast = (
        energy_table(load([f"energy={name}"]).energy) for name in ("nm45", "nm45_bitsim", "nm45_hp")
    )
    assert plain.unit("mac_8x8", 1).pj_per_cycle == 0.2034
    assert plain.unit("fusion", 1).area_um2 == 1734.6
    assert plain.unit("stripes", 8).pj_per_cycle == pytest.approx(0.37 / 0.8 * 0.63 / 0.37, rel=2e-3)
    assert code.unit("bitwave", 8).pj_per_cycle == pytest.approx(0.371 * 1.70, rel=2e-3)
    for size, read, write, leak in ((1024, 1.13, 3.30, 1.79), (16384, 9.98, 8.42, 27.1)):
        bank = fast.sram(size)
        assert 32 * bank.read_pj_per_bit == pytest.approx(read, rel=5e-3)
        assert 32 * bank.write_pj_per_bit == pytest.approx(write, rel=5e-3)
        assert leak <= bank.leak_mw <= 1.05 * leak  # includes the gate leakage


def test_a_double_shift_pe_costs_less_than_two_and_lanes_share_parts():
    units = energy_table(load().energy).units
    single, double = units["swis_ss"].of(4), units["swis_ds"].of(4)
    for name in ("pj_per_cycle", "area_um2"):
        assert getattr(single, name) < getattr(double, name) < 2 * getattr(single, name)
        assert getattr(units["swis_ss"].of(8), name) < 2 * getattr(single, name)


def test_derived_tables_have_only_differences():
    main = yaml.safe_load((ROOT / "conf" / "energy" / "nm45.yaml").read_text())
    for name in TABLES:
        if name != "nm45":
            other = yaml.safe_load((ROOT / "conf" / "energy" / f"{name}.yaml").read_text())
            assert other["defaults"] == ["nm45"]
            for unit, changed in other.get("units", {}).items():
                assert changed["pj_per_cycle"] != main["units"][unit]["pj_per_cycle"]
