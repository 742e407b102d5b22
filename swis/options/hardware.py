"""The groups of the configuration that describe hardware: their fields and their ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from omegaconf import MISSING

from swis.options.choices import Dataflow, Datapath, Skipping
from swis.options.groups import require

# accelerator.lanes=group_size: as many lanes as weights share a shift set.
GROUP_SIZE = "group_size"

_OF_DATAPATH = {
    "shifts_per_cycle": Datapath.swis,
    "shared_sets": Datapath.swis,
    "consecutive_sets": Datapath.swis,
    "groups_share_lanes": Datapath.swis,
    "dataflow": Datapath.systolic,
    "weight_serial": Datapath.serial,
    "sign_cycle": Datapath.serial,
    "activation_bits_per_cycle": Datapath.serial,
    "skipping": Datapath.skipping,
    "sums_to_dram": Datapath.fusion,
}


@dataclass
class AcceleratorConfig:
    """A design, simulated for every row; see ``swis.hardware.accelerator.Accelerator``.

    ``lanes`` are a number, or "group_size": an array made for groups of that size.
    """

    name: str = MISSING
    source: str = MISSING
    datapath: Datapath = Datapath.swis
    unit: str = "swis_ss"
    rows: int = 8
    columns: int = 8
    lanes: int | str = 4
    shifts_per_cycle: int = 1
    shared_sets: bool = True
    consecutive_sets: bool = False
    groups_share_lanes: bool = False
    dataflow: Dataflow = Dataflow.os
    weight_serial: bool = True
    sign_cycle: bool = False
    activation_bits_per_cycle: int | None = None
    skipping: Skipping = Skipping.bits
    side_by_side: bool = False
    spread_fc: bool = False
    systolic: bool = True
    frequency_mhz: float = 500.0
    weight_sram_bytes: int = 65536
    input_sram_bytes: int = 32768
    output_sram_bytes: int = 16384
    dram_bits_per_cycle: int | None = 64
    weight_bus_bits: int | None = None
    input_bus_bits: int | None = None
    array_um2: float | None = None
    sums_to_dram: bool = False

    @property
    def needs_inputs(self) -> bool:
        """Whether it looks at the values of inputs."""
        return self.datapath is Datapath.skipping and self.skipping is Skipping.products

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is int:
                require(value >= 1, f"accelerator.{name} must be at least 1, not {value}")
        require(
            type(self.lanes) is int or self.lanes == GROUP_SIZE,
            f"accelerator.lanes must be a whole number or {GROUP_SIZE}, not {self.lanes}",
        )
        for name, datapath in _OF_DATAPATH.items():
            default = type(self).__dataclass_fields__[name].default
            require(
                getattr(self, name) == default or self.datapath is datapath,
                f"accelerator.{name} is for datapath={datapath}, not {self.datapath}",
            )
        require(
            0 < self.frequency_mhz < math.inf,
            f"accelerator.frequency_mhz must be above 0, and finite, not {self.frequency_mhz:g}",
        )
        require(
            self.systolic or self.datapath not in (Datapath.systolic, Datapath.fusion),
            f"accelerator.systolic=false is not for datapath={self.datapath}",
        )
        require(
            self.lanes == 1 or self.datapath not in (Datapath.systolic, Datapath.fusion),
            f"accelerator.lanes must be 1 for datapath={self.datapath}, not {self.lanes}",
        )
        require(
            self.array_um2 is None or 0 < self.array_um2 < math.inf,
            f"accelerator.array_um2 must be above 0, and finite, not {self.array_um2}",
        )
        require(
            not self.spread_fc or self.datapath not in (Datapath.systolic, Datapath.fusion),
            f"accelerator.spread_fc is not for datapath={self.datapath}",
        )
        require(
            not self.side_by_side
            or (self.datapath not in (Datapath.systolic, Datapath.fusion) and not self.needs_inputs),
            f"accelerator.side_by_side is not for datapath={self.datapath}, nor for skipping=products",
        )
        if self.datapath is Datapath.fusion:
            require(
                self.dram_bits_per_cycle is not None,
                "accelerator.dram_bits_per_cycle must be a number for datapath=fusion, not null",
            )
            for name in ("weight_bus_bits", "input_bus_bits"):
                require(getattr(self, name) is None, f"accelerator.{name} must be null for datapath=fusion")


@dataclass
class NodeConfig:
    """Factors that bring numbers of another node to that of the table."""

    energy: float = 1.0
    area: float = 1.0
    source: str = MISSING


@dataclass
class UnitConfig:
    """A processing unit as published, at a node of ``nodes``; see ``swis.hardware.energy.Unit``."""

    pj_per_cycle: float = MISSING
    area_um2: float = MISSING
    node: str = MISSING
    lanes: int = 1
    shared: float = 0.0
    with_registers: bool = False
    source: str = MISSING


@dataclass
class BankConfig:
    """An SRAM as published: pJ per access of ``port_bits``."""

    size_bytes: int = MISSING
    read_pj: float = MISSING
    write_pj: float = MISSING
    leak_mw: float = MISSING
    area_mm2: float = MISSING


@dataclass
class EnergyConfig:
    """A table of energies at one node; every number has its source in conf/energy."""

    name: str = MISSING
    node: str = MISSING
    nodes: dict[str, NodeConfig] = field(default_factory=dict)
    units: dict[str, UnitConfig] = field(default_factory=dict)
    port_bits: int = MISSING
    banks: list[BankConfig] = field(default_factory=list)
    bank_source: str = MISSING
    dram_pj_per_bit: float = MISSING
    dram_source: str = MISSING
    register_pj_per_bit: float = MISSING
    register_source: str = MISSING
    unpack_pj_per_bit: float = MISSING
    unpack_source: str = MISSING
    logic_leak_uw_per_um2: float = MISSING
    leak_source: str = MISSING

    def __post_init__(self) -> None:
        _check_numbers(self, "energy")
        for name, unit in self.units.items():
            _check_numbers(unit, f"energy.units.{name}")
            require(unit.area_um2 != 0, f"energy.units.{name}.area_um2 must be above 0")
            require(
                unit.shared == MISSING or unit.shared <= 1,
                f"energy.units.{name}.shared must be in [0, 1], not {unit.shared:g}",
            )
            require(
                unit.node in self.nodes,
                f"energy.units.{name}.node={unit.node} is none of energy.nodes: {', '.join(self.nodes)}",
            )
        for name, node in self.nodes.items():
            _check_numbers(node, f"energy.nodes.{name}")
        for index, bank in enumerate(self.banks):
            _check_numbers(bank, f"energy.banks[{index}]")


def _check_numbers(settings: object, name: str) -> None:
    for known in fields(settings):
        value = getattr(settings, known.name)
        if type(value) in (int, float):
            least = 1 if known.type == "int" else 0
            require(
                least <= value < math.inf,
                f"{name}.{known.name} must be at least {least}, and finite, not {value:g}",
            )
