"""What an accelerator is given of a layer, and what the layer takes on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swis.hardware.sram import OnChip


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
    useful_lane_cycles: int
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
