"""Designs of accelerators, and what a layer in a weight format is for each of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from swis.bit_serial import skipping_work, stripes_work
from swis.bitfusion import FusionArray, FusionModel, FusionRun
from swis.errors import InputError
from swis.offchip import Run, best_run
from swis.pe_array import layer_work
from swis.systolic import systolic_work
from swis.tiling import Memory, Work
from swis.workload import Layer

DATAPATHS = ("swis", "systolic", "serial", "skipping", "fusion")


@dataclass(frozen=True)
class LayerWeights:
    """A layer's weights as hardware sees them, filters in the order that they occupy its rows.

    ``shifts`` [filters], of a group; ``stored_bits`` of the whole layer in its format; ``widths`` [filters],
    the bits of a magnitude without a shift set, which are all of them where sets differ; ``codes`` int
    [out_channels, in_channels / groups, kernel_h, kernel_w], sign-magnitude, for hardware that looks at
    their bits.
    """

    shifts: np.ndarray
    stored_bits: int
    widths: np.ndarray
    codes: np.ndarray | None = None


@dataclass(frozen=True)
class Accelerator:
    """A design: units of ``lanes`` terms of a dot product, ``rows`` for filters, ``columns`` for pixels.

    ``datapath`` is "swis" (``shifts_per_cycle`` of a group's shifts, or, without ``shared_sets``, of all bits
    of a magnitude), "systolic" (bit-parallel MACs in a ``dataflow``, no lanes), "serial" (weights bit by bit
    if ``weight_serial``, with a cycle for the sign bit if ``sign_cycle``; activations in steps of
    ``activation_bits_per_cycle`` if that is given), "skipping" (the ones of the weights' bits, as
    ``skipping`` says) or "fusion" (BitFusion; rows for channels, columns for filters). ``side_by_side`` puts
    the groups of a convolution on rows together (swis). Raises ``ValueError`` for another datapath and for
    sizes of zero.
    """

    name: str
    source: str
    datapath: str
    rows: int = 8
    columns: int = 8
    lanes: int = 4
    shifts_per_cycle: int = 1
    shared_sets: bool = True
    dataflow: str = "os"
    weight_serial: bool = True
    sign_cycle: bool = False
    activation_bits_per_cycle: int | None = None
    skipping: str = "bits"
    side_by_side: bool = False
    frequency_mhz: float = 500.0
    memory: Memory = field(default_factory=Memory)

    def __post_init__(self) -> None:
        if self.datapath not in DATAPATHS:
            raise ValueError(f"datapath is one of {DATAPATHS}, not {self.datapath!r}")
        if self.datapath == "fusion" and self.memory.dram_bits_per_cycle is None:
            raise ValueError("dram_bits_per_cycle must be a number for datapath fusion")
        for name in ("rows", "columns", "lanes", "shifts_per_cycle", "frequency_mhz"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")

    @property
    def decodes(self) -> bool:
        """Whether weights come compressed; others are stored as signs and magnitudes."""
        return self.datapath == "swis" and self.shared_sets

    def weight_bits(self, layer: Layer, weights: LayerWeights) -> int:
        """Return the bits in which the layer's weights are stored and fetched."""
        plain = int((weights.widths + 1).sum()) * layer.filter_weights
        return weights.stored_bits if self.decodes else plain

    @property
    def needs_codes(self) -> bool:
        """Whether cycles depend on the values of the weights."""
        return self.datapath == "skipping"

    def work(self, layer: Layer, weights: LayerWeights, activation_bits: int = 8) -> Work:
        """Return what the array does for a layer; not for "fusion", which fits tiles to its own buffers.

        >>> array = Accelerator("swis_ds", "", "swis", shifts_per_cycle=2)
        >>> layer = Layer("fc", 512, 64, 1, 1, 1, 1, 1, 1)
        >>> array.work(layer, LayerWeights(np.full(64, 4), 8 * layer.weights, np.full(64, 7))).cycles(layer)
        2160
        """
        size = (self.rows, self.columns)
        if self.datapath == "swis":
            shifts = weights.shifts if self.shared_sets else weights.widths
            return layer_work(layer, shifts, self.lanes, *size, self.shifts_per_cycle, self.side_by_side)
        if self.datapath == "systolic":
            return systolic_work(layer, self.columns, self.rows, self.dataflow)
        if self.datapath == "serial":
            cycles = int(weights.widths.max()) + self.sign_cycle if self.weight_serial else 1
            if self.activation_bits_per_cycle is not None:
                cycles *= -(-activation_bits // self.activation_bits_per_cycle)
            return stripes_work(layer, *size, self.lanes, cycles)
        if self.datapath == "skipping":
            if weights.codes is None:
                raise InputError(
                    f"accelerator {self.name} looks at weights' bits; a workload of shapes has none"
                )
            return skipping_work(weights.codes, layer, *size, self.lanes, self.skipping)
        raise ValueError(f"{self.datapath} has no work of its own")

    def run(self, layer: Layer, weights: LayerWeights, activation_bits: int = 8) -> Run | FusionRun:
        """Return the run of a layer with the best tiles and loop order.

        Raises ``InputError`` for SRAMs that hold no tile.
        """
        if self.datapath != "fusion":
            work = self.work(layer, weights, activation_bits)
            bits = self.weight_bits(layer, weights)
            return best_run(layer, work, self.memory, bits, activation_bits)
        array = FusionArray(self.rows, self.columns, self.memory)
        bits = [_fused(count) for count in (int(weights.widths.max()) + 1, activation_bits)]
        runs = [FusionModel(layer, array, *bits, im2col).best_run() for im2col in (False, True)]
        return min(runs, key=lambda run: run.cycles)


def _fused(bits: int) -> int:
    """Return the width that units fuse to for so many bits."""
    fitting = [width for width in (2, 4, 8) if width >= bits]
    if not fitting:
        raise InputError(f"fusion units take operands of up to 8 bits, not {bits}")
    return fitting[0]
