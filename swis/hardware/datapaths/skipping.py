"""PEs that process only the one bits of the weights, and also only those of the inputs (Laconic)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from swis.hardware.arrays.bit_serial import laconic_work, skipping_work
from swis.hardware.datapaths.base import Datapath, Size
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork

if TYPE_CHECKING:
    from swis.hardware.accelerator import Accelerator


class Skipping(Datapath):
    """Bit-serial PEs that skip zero bits; the option ``skipping`` chooses which."""

    name: ClassVar[str] = "skipping"

    def needs_codes(self, design: Accelerator) -> bool:
        return True

    def work(
        self,
        design: Accelerator,
        layer: Layer,
        weights: Operands,
        size: Size,
        activation_bits: int,
    ) -> ArrayWork:
        if design.needs_inputs:
            return laconic_work(weights.codes, weights.inputs, layer, *size, design.lanes)
        return skipping_work(weights.codes, layer, *size, design.lanes, design.skipping, design.side_by_side)
