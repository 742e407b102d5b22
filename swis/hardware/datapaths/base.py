"""What a design asks its datapath: how the array computes a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from swis.hardware.dram import best_run
from swis.hardware.layer_run import LayerRun, Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.sram import on_chip, paced
from swis.hardware.tiling import ArrayWork

if TYPE_CHECKING:
    from swis.hardware.accelerator import Accelerator


Size = tuple[int, int]  # rows and columns


class Datapath:
    """A datapath, by its ``name`` in the configuration; it has no state of its own."""

    name: ClassVar[str]
    counts_filling: ClassVar[bool] = False  # whether its work has the array's filling and draining in it

    def work(
        self,
        design: Accelerator,
        layer: Layer,
        weights: Operands,
        size: Size,
        activation_bits: int,
    ) -> ArrayWork:
        """Return what the array does for a layer, its filters and pixels on ``size`` rows and columns."""
        raise NotImplementedError(f"{self.name} has no work of its own")

    def run(self, design: Accelerator, layer: Layer, weights: Operands, activation_bits: int) -> LayerRun:
        """Return the run of a layer with the best tiles and loop order."""
        bits = design.weight_bits(layer, weights)
        work = design.work(layer, weights, activation_bits)
        work = paced(work, layer, design.memory, bits, activation_bits)
        run = best_run(layer, work, design.memory, bits, activation_bits)
        chip = on_chip(layer, work, run, bits, activation_bits, design.systolic)
        return LayerRun(
            run.compute_cycles,
            run.stall_cycles,
            work.useful_lane_cycles,
            run.weight_read_bits,
            run.dram_read_bits,
            run.dram_write_bits,
            chip.weight_read_bits if design.decodes(weights) else 0,
            chip,
        )

    def shares_sets(self, design: Accelerator) -> bool:
        """Say whether weights come in their format; to others all are signs and magnitudes."""
        return False

    def needs_codes(self, design: Accelerator) -> bool:
        """Say whether cycles depend on the values of the weights."""
        return False

    def banks(self, design: Accelerator) -> dict[str, int]:
        """Return how many banks each SRAM has: one for every row or column, as in BitSim."""
        return {"weight": design.rows, "input": design.columns, "output": design.rows}
