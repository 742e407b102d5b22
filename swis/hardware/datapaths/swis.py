"""PEs that process the shifts of a group's shift set one after another, or all bits of the magnitudes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from swis.hardware.arrays.swis import layer_work
from swis.hardware.datapaths.base import Datapath, Size
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork

if TYPE_CHECKING:
    from swis.hardware.accelerator import Accelerator


class Swis(Datapath):
    """SWIS: ``shifts_per_cycle`` shifts of a group per cycle; without ``shared_sets``, all bits."""

    name: ClassVar[str] = "swis"

    def shares_sets(self, design: Accelerator) -> bool:
        return design.shared_sets

    def work(
        self,
        design: Accelerator,
        layer: Layer,
        weights: Operands,
        size: Size,
        activation_bits: int,
    ) -> ArrayWork:
        shared = design.shares(weights)
        return layer_work(
            layer,
            weights.shifts if shared else weights.widths,
            design.lanes,
            *size,
            design.shifts_per_cycle,
            design.side_by_side,
            weights.group_size if shared else None,
            design.groups_share_lanes,
        )
