"""Where the constants of the hardware model come from: the files of conf/accelerator and conf/energy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from swis.hardware.designs import design, energy_table
from swis.options.conf_files import CONF, accelerator_named, accelerator_names, choices, energies_named
from swis.options.datapaths import DATAPATHS
from swis.plots.names import design_name

_TABLE = "nm45"


@table()
def constants_designs(results: Path) -> pd.DataFrame:
    """The designs in conf/accelerator."""
    designs = {name: accelerator_named(name) for name in accelerator_names()}
    order = list(DATAPATHS)  # SWIS's own first
    designs = sorted(designs.items(), key=lambda pair: order.index(pair[1].datapath))
    return pd.DataFrame(
        {
            "design": [design_name(name) for name, _ in designs],
            "`accelerator=`": [f"`{name}`" for name, _ in designs],
            "unit": [f"`{one.unit}`" for _, one in designs],
            "lanes": [one.lanes for _, one in designs],
            "source": [one.source for _, one in designs],
        }
    ).set_index("design")


@table()
def constants_memory(results: Path) -> pd.DataFrame:
    """What all designs share unless it is overridden."""
    one = accelerator_named("swis_ss")
    lines = {
        "rows (filters)": (one.rows, ""),
        "columns (output pixels)": (one.columns, ""),
        "clock": (one.frequency_mhz, "MHz"),
        "weight SRAM": (one.weight_sram_bytes / 1024, "KiB"),
        "input SRAM": (one.input_sram_bytes / 1024, "KiB"),
        "output SRAM": (one.output_sram_bytes / 1024, "KiB"),
        "DRAM": (one.dram_bits_per_cycle, "bits a cycle"),
    }
    found = pd.DataFrame.from_dict(lines, orient="index", columns=["value", "unit"])
    return found.rename_axis("constant")


@table(decimals={"published [pJ/cycle]": 4, "at 45 nm [pJ/cycle]": 4, "at 45 nm [µm²]": 0})
def constants_units(results: Path) -> pd.DataFrame:
    """Energy and area of a PE, as published and brought to 45 nm (conf/energy/nm45.yaml)."""
    settings = energies_named(_TABLE)
    scaled = energy_table(settings).units
    return pd.DataFrame(
        {
            "unit": [f"`{name}`" for name in settings.units],
            "lanes": [one.lanes for one in settings.units.values()],
            "node": [one.node.removeprefix("nm") + " nm" for one in settings.units.values()],
            "published [pJ/cycle]": [one.pj_per_cycle for one in settings.units.values()],
            "at 45 nm [pJ/cycle]": [scaled[name].pj_per_cycle for name in settings.units],
            "at 45 nm [µm²]": [scaled[name].area_um2 for name in settings.units],
            "shared by lanes": [one.shared for one in settings.units.values()],
        }
    ).set_index("unit")


@table()
def constants_unit_sources(results: Path) -> pd.DataFrame:
    """Where the energy and the area of each PE come from."""
    units = energies_named(_TABLE).units
    names = pd.Index([f"`{name}`" for name in units], name="unit")
    return pd.DataFrame({"source": [one.source for one in units.values()]}, names)


@table()
def constants_nodes(results: Path) -> pd.DataFrame:
    """The factors that bring other nodes to 45 nm."""
    nodes = energies_named(_TABLE).nodes
    return pd.DataFrame(
        {
            "node": [name.removeprefix("nm") + " nm" for name in nodes],
            "energy, times": [one.energy for one in nodes.values()],
            "area, times": [one.area for one in nodes.values()],
            "source": [one.source for one in nodes.values()],
        }
    ).set_index("node")


@table(decimals={"read [pJ]": 3, "write [pJ]": 3, "leakage [µW]": 2, "area [mm²]": 4})
def constants_sram(results: Path) -> pd.DataFrame:
    """An SRAM bank, per access of 32 bits."""
    banks = energies_named(_TABLE).banks
    return pd.DataFrame(
        {
            "size": [f"{bank.size_bytes} B" for bank in banks],
            "read [pJ]": [bank.read_pj for bank in banks],
            "write [pJ]": [bank.write_pj for bank in banks],
            "leakage [µW]": [1e3 * bank.leak_mw for bank in banks],
            "area [mm²]": [bank.area_mm2 for bank in banks],
        }
    ).set_index("size")


@table()
def constants_others(results: Path) -> pd.DataFrame:
    """All other constants of energy."""
    found = energies_named(_TABLE)
    lines = {
        "DRAM": (found.dram_pj_per_bit, "pJ/bit", found.dram_source),
        "register between PEs": (found.register_pj_per_bit, "pJ/bit", found.register_source),
        "unpacking of weights": (found.unpack_pj_per_bit, "pJ/bit", found.unpack_source),
        "leakage of PEs": (found.logic_leak_uw_per_um2, "µW/µm²", found.leak_source),
        "SRAM": (None, "see the table", found.bank_source),
    }
    table = pd.DataFrame.from_dict(lines, orient="index", columns=["value", "unit", "source"])
    return table.rename_axis("constant")


@table()
def constants_tables(results: Path) -> pd.DataFrame:
    """The tables of energies to choose from."""
    about = {
        name: (CONF / "energy" / f"{name}.yaml").read_text().splitlines()[0] for name in choices("energy")
    }
    found = pd.DataFrame({"what it has": [text.removeprefix("# ") for text in about.values()]})
    return found.set_axis(pd.Index([f"`energy={name}`" for name in about], name="table"))


@values
def constants(results: Path) -> dict[str, str]:
    found = energy_table(energies_named(_TABLE))
    units, one = found.units, accelerator_named("swis_ss")
    swis, bitlet = (design(each, found, one.lanes)[1] for each in (one, accelerator_named("bitlet")))
    single, double, stripes, mac = (units[name] for name in ("swis_ss", "swis_ds", "stripes", "mac_8x8"))
    return {
        "double_shift": f"{double.pj_per_cycle / single.pj_per_cycle:.2f}",
        "stripes_pj": f"{stripes.pj_per_cycle:.2f}",
        "mac_pj": f"{mac.pj_per_cycle:.2f}",
        "bitlet_area": f"{bitlet.unit.area_um2 / swis.unit.area_um2:.1f}",
    }
