"""The operands of a layer for an accelerator, and the result of running it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swis.hardware.sram import OnChip


@dataclass(frozen=True)
class Operands:
    """The weights and inputs of a layer for an accelerator; filters are in the order of the array's rows.

    * ``shifts`` [filters]: the number of shifts of a group.
    * ``stored_bits``: the bits of all weights of the layer in its format.
    * ``widths`` [filters]: the bits of a magnitude on an array without shift sets.
    * ``codes`` int [out_channels, in_channels / groups, kernel_h, kernel_w]: signed magnitudes, if cycles
      depend on the values of the weights.
    * ``inputs`` int [in_channels, maps in_h, in_w]: inputs of one image minus their zero point, if cycles
      depend on the values of the inputs.
    * ``group_size``: weights that share a shift set; None means that there are no shift sets to decode.
    * ``consecutive``: whether the shifts of every set are consecutive.
    * ``signed_digits``: whether a weight has a sign for each shift.
    * ``scaled_groups``: whether a group's sum is multiplied by a number of its own.
    """

    shifts: np.ndarray
    stored_bits: int
    widths: np.ndarray
    codes: np.ndarray | None = None
    inputs: np.ndarray | None = None
    group_size: int | None = None
    consecutive: bool = True
    signed_digits: bool = False
    scaled_groups: bool = False


@dataclass(frozen=True)
class LayerRun:
    """The result of a layer for one image: cycles, bits moved, and useful lane cycles.

    ``unpacked_bits`` is the number of bits that the decoders of compressed weights process.
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
