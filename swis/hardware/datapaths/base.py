"""The base class of datapaths, which determine how the array of a design computes a layer."""

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
    """A datapath with its ``name`` in the configuration; it has no state."""

    name: ClassVar[str]
    counts_filling: ClassVar[bool] = False  # whether ``work`` includes the cycles to fill and drain the array

    def work(
        self,
        design: Accelerator,
        layer: Layer,
        weights: Operands,
        size: Size,
        activation_bits: int,
    ) -> ArrayWork:
        """Return the work of an array for a layer; ``size`` is its number of rows and columns."""
        raise NotImplementedError(f"the datapath {self.name} does not define its work")

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
        """Return whether the array uses shift sets; other arrays get signs and magnitudes."""
        return False

    def needs_codes(self, design: Accelerator) -> bool:
        """Return whether cycles depend on the values of the weights."""
        return False

    def banks(self, design: Accelerator) -> dict[str, int]:
        """Return the number of banks of each SRAM: one per row or column, as in BitSim."""
        return {"weight": design.rows, "input": design.columns, "output": design.rows}
