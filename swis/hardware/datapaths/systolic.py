"""Bit-parallel PEs that pass operands to their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from swis.hardware.arrays.systolic import systolic_work
from swis.hardware.datapaths.base import Datapath, Size
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork

if TYPE_CHECKING:
    from swis.hardware.accelerator import Accelerator


class Systolic(Datapath):
    """A systolic array of MACs with a ``dataflow``; a PE has one lane."""

    name: ClassVar[str] = "systolic"
    counts_filling: ClassVar[bool] = True

    def work(
        self,
        design: Accelerator,
        layer: Layer,
        weights: Operands,
        size: Size,
        activation_bits: int,
    ) -> ArrayWork:
        return systolic_work(layer, design.columns, design.rows, design.dataflow)
