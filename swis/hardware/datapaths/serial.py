"""PEs that process weights, activations, or both, bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from swis.hardware.arrays.bit_serial import stripes_work
from swis.hardware.datapaths.base import Datapath, Size
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork

if TYPE_CHECKING:
    from swis.hardware.accelerator import Accelerator


class Serial(Datapath):
    """Bit-serial weights with ``weight_serial``, activations in steps of ``activation_bits_per_cycle``."""

    name: ClassVar[str] = "serial"

    def work(
        self,
        design: Accelerator,
        layer: Layer,
        weights: Operands,
        size: Size,
        activation_bits: int,
    ) -> ArrayWork:
        cycles = int(weights.widths.max()) + design.sign_cycle if design.weight_serial else 1
        if design.activation_bits_per_cycle is not None:
            cycles *= -(-activation_bits // design.activation_bits_per_cycle)
        return stripes_work(layer, *size, design.lanes, cycles, design.side_by_side)
