"""Designs of accelerators, and what a layer in a weight format is for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from swis.hardware.arrays.bit_serial import PRODUCTS, SKIPPING
from swis.hardware.arrays.systolic import DATAFLOWS
from swis.hardware.datapaths.base import Datapath
from swis.hardware.datapaths.registry import DATAPATHS
from swis.hardware.layer_run import LayerRun, Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import Memory, Work
from swis.options.names import require_known


@dataclass(frozen=True)
class Accelerator:
    """A design: units of ``lanes`` terms of a dot product, ``rows`` for filters, ``columns`` for pixels.

    ``datapath`` is "swis" (``shifts_per_cycle`` of a group's shifts, or, without ``shared_sets``, of all bits
    of a magnitude; with ``consecutive_sets`` only sets of consecutive shifts are shared; with
    ``groups_share_lanes``, which takes a shifter in every lane, no group leaves lanes idle), "systolic"
    (bit-parallel MACs in a ``dataflow``, no lanes), "serial" (weights bit by bit if ``weight_serial``, with a
    cycle for the sign bit if ``sign_cycle``; activations in steps of ``activation_bits_per_cycle`` if that is
    given), "skipping" (the ones of the weights' bits, as ``skipping`` says) or "fusion" (BitFusion; rows for
    channels, columns for filters, ``sums_to_dram`` as its public optimizer has it). ``side_by_side`` puts the
    groups of a convolution on rows together, ``spread_fc`` the filters of a layer with one output pixel on
    columns as well. With ``systolic`` operands pass from unit to unit, so that every fold fills and drains;
    without, units hear them all at once, as BitSim has it. ``unit`` names what a unit is in an energy table.
    Raises ``ValueError`` for another datapath and for sizes of zero.
    """

    name: str
    source: str
    datapath: str
    unit: str = "swis_ss"
    rows: int = 8
    columns: int = 8
    lanes: int = 4
    shifts_per_cycle: int = 1
    shared_sets: bool = True
    consecutive_sets: bool = False
    groups_share_lanes: bool = False
    dataflow: str = "os"
    weight_serial: bool = True
    sign_cycle: bool = False
    activation_bits_per_cycle: int | None = None
    skipping: str = "bits"
    side_by_side: bool = False
    spread_fc: bool = False
    sums_to_dram: bool = False
    systolic: bool = True
    frequency_mhz: float = 500.0
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        require_known("datapath", self.datapath, DATAPATHS)
        require_known("dataflow", self.dataflow, DATAFLOWS)
        require_known("skipping", self.skipping, (*SKIPPING, PRODUCTS))
        self._datapath.check(self)
        for name in ("rows", "columns", "lanes", "shifts_per_cycle", "frequency_mhz"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")

    def weight_bits(self, layer: Layer, weights: Operands) -> int:
        """Return the bits in which the layer's weights are stored and fetched."""
        return weights.stored_bits if self.shares(weights) else _plain_bits(layer, weights)

    def decodes(self, weights: Operands) -> bool:
        """Say whether weights pass a decoder on their way to the array: those of sets that it shares."""
        return self.shares(weights) and weights.group_size is not None

    def shares(self, weights: Operands) -> bool:
        """Say whether weights reach the array in the shift sets of their groups."""
        return self._datapath.shares_sets(self) and (weights.consecutive or not self.consecutive_sets)

    @property
    def _datapath(self) -> Datapath:
        return DATAPATHS[self.datapath]

    @property
    def needs_codes(self) -> bool:
        """Whether cycles depend on the values of the weights."""
        return self._datapath.needs_codes(self)

    @property
    def needs_inputs(self) -> bool:
        """Whether cycles depend on the values of the inputs as well."""
        return self._datapath.needs_inputs(self)

    @property
    def units(self) -> int:
        return self.rows * self.columns

    @property
    def banks(self) -> dict[str, int]:
        """How many banks each SRAM has."""
        return self._datapath.banks(self)

    def work(self, layer: Layer, weights: Operands, activation_bits: int = 8) -> Work:
        """Return what the array does for a layer; not for "fusion", which fits tiles to its own buffers.

        >>> import numpy as np
        >>> array = Accelerator("swis_ds", "", "swis", shifts_per_cycle=2)
        >>> layer = Layer("fc", 512, 64, 1, 1, 1, 1, 1, 1)
        >>> weights = Operands(np.full(64, 4), 8 * layer.weights, np.full(64, 7), group_size=4)
        >>> array.work(layer, weights).cycles(layer)
        2160
        """
        spread = self.spread_fc and layer.pixels == 1
        size = (self.units, 1) if spread else (self.rows, self.columns)
        work = self._datapath.work(self, layer, weights, size, activation_bits)
        if self._datapath.counts_filling:
            return work
        return replace(work, restart=self.rows + self.columns - 2 if self.systolic else 0)

    def run(self, layer: Layer, weights: Operands, activation_bits: int = 8) -> LayerRun:
        """Return the run of a layer with the best tiles and loop order.

        Raises ``InputError`` for SRAMs that hold no tile.
        """
        return self._datapath.run(self, layer, weights, activation_bits)


def _plain_bits(layer: Layer, weights: Operands) -> int:
    """Return the bits of the layer's weights as signs and magnitudes."""
    return int((weights.widths + 1).sum()) * layer.filter_weights
