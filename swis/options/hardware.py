"""The options of hardware: accelerator designs and energy tables."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields
from typing import Any

from omegaconf import MISSING

from swis.options.choices import Dataflow, Skipping
from swis.options.datapaths import DATAPATHS, DatapathOptions, datapath_names
from swis.options.names import require_known
from swis.options.option import option
from swis.options.ranges import require

# accelerator.lanes=group_size: a PE has one lane for each weight of a group.
GROUP_SIZE = "group_size"
UNNAMED = MISSING


@dataclass(frozen=True)
class Memory:
    """The memories of a design: SRAM sizes [bytes], and bandwidths [bits per cycle of the array].

    ``dram_bits_per_cycle`` is the bandwidth of the DRAM; ``weight_bus_bits`` and ``input_bus_bits`` are those
    from the SRAMs into the array. None: no limit, so that the array never waits. Weights are decoded behind
    their bus, so the bus carries them in their stored format. Raises ``InputError`` for a value below 1.
    """

    weight_sram_bytes: int = 65536  # size of the SRAM for weights, double-buffered
    input_sram_bytes: int = 32768  # size of the SRAM for input activations
    output_sram_bytes: int = 16384  # size of the SRAM for outputs and partial sums
    dram_bits_per_cycle: int | None = 64  # bandwidth of the DRAM; null: no limit
    # bandwidth of the SRAM of weights; null: no limit
    weight_bus_bits: int | None = None
    input_bus_bits: int | None = None  # bandwidth of the SRAM of inputs; null: no limit

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is int:
                require(value >= 1, f"accelerator.{name} must be at least 1, not {value}")

    def tile_bits(self) -> dict[str, int]:
        """Return the bits for a tile of weights, inputs and outputs: half of each SRAM (double buffering).

        >>> Memory(output_sram_bytes=2).tile_bits()["output"]
        8
        """
        return {name: 4 * getattr(self, f"{name}_sram_bytes") for name in ("weight", "input", "output")}


MEMORY = tuple(known.name for known in fields(Memory))


@dataclass(frozen=True)
class Design(Memory):
    """A design: an array of PEs, with ``rows`` for filters and ``columns`` for output pixels.

    A PE has ``lanes``: it computes that many terms of a dot product. ``unit`` is its name in the energy
    table. The ``datapath`` says how a PE works:

    * "swis": ``shifts_per_cycle`` shifts of a group's shift set in each cycle. Without ``shared_sets`` the
      shifts are all bits of a magnitude. With ``consecutive_sets`` the array takes only consecutive shifts.
      With ``groups_share_lanes`` every lane has its own shifter, so that a small group leaves no lane idle.
      With ``signed_digits`` a lane adds or subtracts at each shift, as the format swis_signed needs.
    * "systolic": bit-parallel MACs without lanes, in a ``dataflow``.
    * "serial": weights bit by bit if ``weight_serial``, with one cycle for the sign if ``sign_cycle``;
      activations in steps of ``activation_bits_per_cycle`` if it is given.
    * "skipping": zero bits of the weights are skipped, in the way that ``skipping`` names.
    * "fusion": BitFusion, with rows for input channels and columns for filters. ``sums_to_dram``: partial
      sums go to the DRAM, as in its public optimizer.

    ``side_by_side``: the groups of a convolution share the rows. ``spread_fc``: the filters of a layer with
    one output pixel use the columns too. ``systolic``: operands move from PE to PE, so that every fold fills
    and drains the array; otherwise they are broadcast to all PEs, as in BitSim. Raises ``InputError`` for
    options that contradict each other and for sizes below 1.
    """

    name: str = MISSING  # name of the design and of its file
    source: str = MISSING  # where the design is from
    datapath: str = option("swis", names=datapath_names)  # how a PE works
    unit: str = "swis_ss"  # name of the PE in the energy table
    rows: int = 8  # rows of PEs, for filters
    columns: int = 8  # columns of PEs, for output pixels
    lanes: int = 4  # terms of a dot product that a PE computes at once
    shifts_per_cycle: int = 1  # datapath=swis: shifts of a group in a cycle; 2: a double-shift PE
    shared_sets: bool = True  # datapath=swis: false: the shifts are all bits of a magnitude
    consecutive_sets: bool = False  # datapath=swis: true: only consecutive shifts are shared
    groups_share_lanes: bool = False  # datapath=swis: true: every lane has its own shifter
    # datapath=swis: true: lanes add or subtract at each shift
    signed_digits: bool = option(False, younger=True)
    dataflow: Dataflow = Dataflow.os  # datapath=systolic: os, output stationary; ws, weight stationary
    weight_serial: bool = True  # datapath=serial: true: weights come bit by bit
    sign_cycle: bool = False  # datapath=serial: true: the sign takes its own cycle
    activation_bits_per_cycle: int | None = None  # datapath=serial; null: all bits at once
    skipping: Skipping = Skipping.bits  # datapath=skipping: what is skipped
    side_by_side: bool = False  # true: the groups of a convolution share the rows
    spread_fc: bool = False  # true: filters of a layer with one output pixel use the columns too
    sums_to_dram: bool = False  # datapath=fusion: true: partial sums go to the DRAM
    systolic: bool = True  # true: operands move from PE to PE, which fill and drain; false: broadcast
    frequency_mhz: float = 500.0  # clock frequency

    @property
    def known(self) -> DatapathOptions:
        """The options of this design's datapath."""
        return DATAPATHS[self.datapath]

    @property
    def needs_inputs(self) -> bool:
        """Whether cycles depend on the values of the inputs."""
        looks = self.known.looks_at_inputs
        return looks is not None and getattr(self, looks[0]) == looks[1]

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("accelerator.datapath", self.datapath, DATAPATHS)
        require_known("accelerator.dataflow", self.dataflow, Dataflow)
        require_known("accelerator.skipping", self.skipping, Skipping)
        owners = {own: owner for owner, known in DATAPATHS.items() for own in known.own}
        for name, owner in owners.items():
            default = type(self).__dataclass_fields__[name].default
            require(
                getattr(self, name) == default or owner == self.datapath,
                f"accelerator.{name} is only for datapath={owner}, not {self.datapath}",
            )
        for name, value in self.known.fixed.items():
            expected = json.dumps(value)
            require(
                getattr(self, name) == value,
                f"accelerator.{name} must be {expected} for datapath={self.datapath}, "
                f"not {json.dumps(getattr(self, name))}",
            )
        for name in self.known.needed:
            require(
                getattr(self, name) is not None,
                f"accelerator.{name} must be a number for datapath={self.datapath}, not null",
            )
        require(
            not self.signed_digits or (self.shared_sets and not self.consecutive_sets),
            "accelerator.signed_digits needs shared_sets=true and consecutive_sets=false",
        )
        require(
            not (self.side_by_side and self.needs_inputs),
            f"accelerator.side_by_side cannot be used with {'='.join(self.known.looks_at_inputs or ())}",
        )
        require(
            0 < self.frequency_mhz < math.inf,
            f"accelerator.frequency_mhz must be finite and above 0, not {self.frequency_mhz:g}",
        )


@dataclass(frozen=True)
class AcceleratorConfig(Design):
    """A design as the command line gives it.

    ``lanes`` is a number, or "group_size" for as many lanes as a group has weights. With ``array_um2`` the
    array gets as many columns as fit into that area [um2]. Raises ``InputError`` for a value out of range.
    """

    # terms of a dot product that a PE computes at once; group_size: as many as a group has weights
    lanes: int | str = 4  # type: ignore[assignment] # a word becomes a number before
    array_um2: float | None = None  # area that the columns fill; null: columns says how many

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            type(self.lanes) is int or self.lanes == GROUP_SIZE,
            f"accelerator.lanes must be a whole number or {GROUP_SIZE}, not {self.lanes}",
        )
        require(
            self.array_um2 is None or 0 < self.array_um2 < math.inf,
            f"accelerator.array_um2 must be finite and above 0, not {self.array_um2}",
        )


@dataclass
class NodeConfig:
    """A technology node: factors that scale its energies and areas to the node of the table."""

    energy: float = 1.0
    area: float = 1.0
    source: str = MISSING


@dataclass
class UnitConfig:
    """A published PE: energy [pJ per cycle] and area [um2] at a node; see ``swis.hardware.energy.Unit``."""

    pj_per_cycle: float = MISSING
    area_um2: float = MISSING
    node: str = MISSING
    lanes: int = 1
    shared: float = 0.0
    with_registers: bool = False
    source: str = MISSING


@dataclass
class BankConfig:
    """A published SRAM: energies [pJ per access of ``port_bits`` bits], leakage [mW] and area [mm2]."""

    size_bytes: int = MISSING
    read_pj: float = MISSING
    write_pj: float = MISSING
    leak_mw: float = MISSING
    area_mm2: float = MISSING


@dataclass
class EnergyConfig:
    """An energy table at one node; conf/energy gives the source of every number.

    Raises ``InputError`` for a number that is negative or not finite, and for an unknown node.
    """

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
                f"energy.units.{name}.node={unit.node} is not in energy.nodes: {', '.join(self.nodes)}",
            )
        for name, node in self.nodes.items():
            _check_numbers(node, f"energy.nodes.{name}")
        for index, bank in enumerate(self.banks):
            _check_numbers(bank, f"energy.banks[{index}]")


def _check_numbers(settings: Any, name: str) -> None:
    for known in fields(settings):
        value = getattr(settings, known.name)
        if type(value) in (int, float):
            least = 1 if known.type == "int" else 0
            require(
                least <= value < math.inf,
                f"{name}.{known.name} must be finite and at least {least}, not {value:g}",
            )
