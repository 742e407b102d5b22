"""Designs of accelerators, and what a layer in a weight format is for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from swis.errors import InputError
from swis.hardware.arrays.bit_serial import SKIPPING, laconic_work, skipping_work, stripes_work
from swis.hardware.arrays.bitfusion import FusionArray, FusionModel
from swis.hardware.arrays.swis import layer_work
from swis.hardware.arrays.systolic import DATAFLOWS, systolic_work
from swis.hardware.dram import SLACK, best_run
from swis.hardware.layer_shapes import Layer
from swis.hardware.sram import OnChip, on_chip, paced
from swis.hardware.tiling import Memory, Work
from swis.options.names import require_known

DATAPATHS = ("swis", "systolic", "serial", "skipping", "fusion")


@dataclass(frozen=True)
class Operands:
    """A layer's weights, and inputs, as hardware sees them; filters in the order that they occupy its rows.

    ``shifts`` [filters], of a group; ``stored_bits`` of the whole layer in its format; ``widths`` [filters],
    the bits of a magnitude without a shift set, which are all of them where sets differ; ``codes`` int
    [out_channels, in_channels / groups, kernel_h, kernel_w], sign-magnitude, for hardware that looks at
    their bits; ``inputs`` int [in_channels, maps in_h, in_w], distances from the zero point on one
    image, for hardware that looks at theirs as well. ``group_size`` weights share a shift set; None: there
    are no sets, and nothing to decode. ``consecutive`` says that the shifts of every set are.
    """

    shifts: np.ndarray
    stored_bits: int
    widths: np.ndarray
    codes: np.ndarray | None = None
    inputs: np.ndarray | None = None
    group_size: int | None = None
    consecutive: bool = True


@dataclass(frozen=True)
class LayerRun:
    """What a layer takes for one image: cycles, bits moved, and lane-cycles that were not in vain.

    ``unpacked_bits`` pass the decoders of compressed weights.
    """

    compute_cycles: int
    stall_cycles: int
    busy: int
    weight_dram_bits: int
    dram_read_bits: int
    dram_write_bits: int
    unpacked_bits: int
    chip: OnChip

    @property
    def cycles(self) -> int:
        return self.compute_cycles + self.stall_cycles

    @property
    def dram_bits(self) -> int:
        return self.dram_read_bits + self.dram_write_bits


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
        require_known("skipping", self.skipping, (*SKIPPING, "products"))
        if self.datapath == "fusion" and self.memory.dram_bits_per_cycle is None:
            raise ValueError("dram_bits_per_cycle must be a number for datapath fusion")
        for name in ("rows", "columns", "lanes", "shifts_per_cycle", "frequency_mhz"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")

    @property
    def shares_sets(self) -> bool:
        """Whether weights come in their format; to others all are signs and magnitudes."""
        return self.datapath == "swis" and self.shared_sets

    def weight_bits(self, layer: Layer, weights: Operands) -> int:
        """Return the bits in which the layer's weights are stored and fetched."""
        return weights.stored_bits if self._shares(weights) else _plain_bits(layer, weights)

    def decodes(self, weights: Operands) -> bool:
        """Say whether weights pass a decoder on their way to the array: those of sets that it shares."""
        return self._shares(weights) and weights.group_size is not None

    def _shares(self, weights: Operands) -> bool:
        return self.shares_sets and (weights.consecutive or not self.consecutive_sets)

    @property
    def needs_codes(self) -> bool:
        """Whether cycles depend on the values of the weights."""
        return self.datapath == "skipping"

    @property
    def needs_inputs(self) -> bool:
        """Whether cycles depend on the values of the inputs as well."""
        return self.needs_codes and self.skipping == "products"

    @property
    def units(self) -> int:
        return self.rows * self.columns

    @property
    def banks(self) -> dict[str, int]:
        """Return how many banks each SRAM has: one for every row or column, as in BitSim and BitFusion."""
        if self.datapath == "fusion":
            return {"weight": self.units, "input": self.rows, "output": self.columns}
        return {"weight": self.rows, "input": self.columns, "output": self.rows}

    def work(self, layer: Layer, weights: Operands, activation_bits: int = 8) -> Work:
        """Return what the array does for a layer; not for "fusion", which fits tiles to its own buffers.

        >>> array = Accelerator("swis_ds", "", "swis", shifts_per_cycle=2)
        >>> layer = Layer("fc", 512, 64, 1, 1, 1, 1, 1, 1)
        >>> weights = Operands(np.full(64, 4), 8 * layer.weights, np.full(64, 7), group_size=4)
        >>> array.work(layer, weights).cycles(layer)
        2160
        """
        spread = self.spread_fc and layer.pixels == 1
        size = (self.units, 1) if spread else (self.rows, self.columns)
        if self.datapath == "swis":
            shared = self._shares(weights)
            work = layer_work(
                layer,
                weights.shifts if shared else weights.widths,
                self.lanes,
                *size,
                self.shifts_per_cycle,
                self.side_by_side,
                weights.group_size if shared else None,
                self.groups_share_lanes,
            )
        elif self.datapath == "systolic":
            return systolic_work(layer, self.columns, self.rows, self.dataflow)
        elif self.datapath == "serial":
            cycles = int(weights.widths.max()) + self.sign_cycle if self.weight_serial else 1
            if self.activation_bits_per_cycle is not None:
                cycles *= -(-activation_bits // self.activation_bits_per_cycle)
            work = stripes_work(layer, *size, self.lanes, cycles, self.side_by_side)
        elif self.needs_inputs:
            work = laconic_work(weights.codes, weights.inputs, layer, *size, self.lanes)
        elif self.needs_codes:
            work = skipping_work(weights.codes, layer, *size, self.lanes, self.skipping, self.side_by_side)
        else:
            raise ValueError(f"{self.datapath} has no work of its own")
        return replace(work, restart=self.rows + self.columns - 2 if self.systolic else 0)

    def run(self, layer: Layer, weights: Operands, activation_bits: int = 8) -> LayerRun:
        """Return the run of a layer with the best tiles and loop order.

        Raises ``InputError`` for SRAMs that hold no tile.
        """
        if self.datapath == "fusion":
            return self._fusion_run(layer, weights, activation_bits)
        bits = self.weight_bits(layer, weights)
        work = self.work(layer, weights, activation_bits)
        work = paced(work, layer, self.memory, bits, activation_bits)
        run = best_run(layer, work, self.memory, bits, activation_bits)
        chip = on_chip(layer, work, run, bits, activation_bits, self.systolic)
        return LayerRun(
            run.compute_cycles,
            run.stall_cycles,
            work.busy,
            run.weight_read_bits,
            run.dram_read_bits,
            run.dram_write_bits,
            chip.weight_read_bits if self.decodes(weights) else 0,
            chip,
        )

    def _fusion_run(self, layer: Layer, weights: Operands, activation_bits: int) -> LayerRun:
        array = FusionArray(self.rows, self.columns, self.memory)
        bits = (_fused(count) for count in (int(weights.widths.max()) + 1, activation_bits))
        return _best_fusion(layer, array, *bits, self.sums_to_dram)


@lru_cache(maxsize=1 << 12)  # the same in all points of a sweep, and slow to find
def _best_fusion(
    layer: Layer, array: FusionArray, weight_bits: int, activation_bits: int, sums_to_dram: bool
) -> LayerRun:
    mapped = dict.fromkeys((layer, _merged(layer, array.columns)))
    models = [
        FusionModel(one, array, weight_bits, activation_bits, im2col, sums_to_dram)
        for one in mapped
        for im2col in (False, True)
    ]
    run, model = min(
        ((model.best_run(SLACK), model) for model in models),
        key=lambda pair: (pair[0].cycles, pair[0].dram_bits),
    )
    return LayerRun(
        run.compute_cycles,
        run.stall_cycles,
        -(-layer.macs // model.products),
        run.weight_read_bits,
        run.dram_read_bits,
        run.dram_write_bits,
        0,
        model.on_chip(run),
    )


def _plain_bits(layer: Layer, weights: Operands) -> int:
    """Return the bits of the layer's weights as signs and magnitudes."""
    return int((weights.widths + 1).sum()) * layer.filter_weights


def _merged(layer: Layer, columns: int) -> Layer:
    """Return a grouped convolution with as many groups made one as fit the columns, zeros between them.

    >>> _merged(Layer("dw", 64, 64, 3, 3, 8, 8, 8, 8, groups=64), 8).groups
    8
    """
    fitting = [
        count
        for count in range(1, layer.groups + 1)
        if layer.groups % count == 0 and count * layer.group_filters <= columns
    ]
    return replace(layer, groups=layer.groups // max(fitting, default=1))


def _fused(bits: int) -> int:
    """Return the width that units fuse to for so many bits."""
    fitting = [width for width in (2, 4, 8) if width >= bits]
    if not fitting:
        raise InputError(f"fusion units take operands of up to 8 bits, not {bits}")
    return fitting[0]
