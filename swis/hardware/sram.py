"""The traffic of SRAMs and operand registers for a layer (reconstructed)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from swis.hardware.dram import SUM_BITS, Run
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork
from swis.options.hardware import Memory


@dataclass(frozen=True)
class OnChip:
    """Bits read from and written to SRAMs; ``register_bits`` counts each bit once per register."""

    weight_read_bits: int
    weight_write_bits: int
    input_read_bits: int
    input_write_bits: int
    output_read_bits: int
    output_write_bits: int
    register_bits: int = 0


def paced(work: ArrayWork, layer: Layer, memory: Memory, weight_bits: int, activation_bits: int) -> ArrayWork:
    """Return the work slowed down to the rate at which the SRAMs' buses deliver weights and inputs.

    >>> layer = Layer("fc", 64, 8, 1, 1, 1, 1, 1, 1)
    >>> work = ArrayWork(8, 8, 4, 32, folds=1, useful_lane_cycles=0)
    >>> paced(work, layer, Memory(weight_bus_bits=64), 8 * layer.weights, 8).steps
    64
    """
    inputs = work.columns * layer.filter_weights * work.input_folds(layer) * activation_bits
    steps, load = work.steps, work.load
    if memory.input_bus_bits is not None:
        steps = max(steps, -(-inputs // memory.input_bus_bits))
    if memory.weight_bus_bits is not None:
        weights = -(-weight_bits // memory.weight_bus_bits)
        if load:  # weights stay in the array for all pixels of a tile
            load = max(load, weights)
        else:
            steps = max(steps, weights)
    return replace(work, steps=steps, load=load)


def on_chip(
    layer: Layer, work: ArrayWork, run: Run, weight_bits: int, activation_bits: int, systolic: bool
) -> OnChip:
    """Return the on-chip traffic of a run.

    * Everything that the DRAM moves is written to, or read from, an SRAM once.
    * The array reads the weights of all filters once per fold of pixels; stationary weights, once per tile of
      pixels.
    * For every fold of filters it reads the inputs of every pixel; inputs that kernels share are read again.
    * It writes partial sums of 32 bits, reads them again, and writes the finished outputs.
    * In a ``systolic`` array, inputs pass the registers of all rows, and weights those of all columns; if
      weights are stationary, sums pass those of all lanes instead.

    >>> from swis.hardware.dram import best_run
    >>> layer = Layer("fc", 64, 8, 1, 1, 1, 1, 1, 1)
    >>> work = ArrayWork(8, 8, 4, 32, folds=1, useful_lane_cycles=0)
    >>> run = best_run(layer, work, Memory(dram_bits_per_cycle=None), 8 * layer.weights)
    >>> chip = on_chip(layer, work, run, 8 * layer.weights, 8, systolic=True)
    >>> chip.weight_read_bits, chip.input_read_bits, chip.output_write_bits, chip.register_bits
    (4096, 512, 64, 36864)
    """
    stationary = work.load > 0
    weights = weight_bits * (run.pixel_tiles if stationary else run.pixel_folds)
    inputs = layer.pixels * layer.filter_weights * work.input_folds(layer) * activation_bits
    unfinished = (run.channel_tiles * work.passes - 1) * layer.outputs * SUM_BITS
    registers = 0
    if systolic:
        registers = inputs * (work.rows // work.bundle)
        if stationary:
            registers += work.passes * layer.outputs * work.lanes * SUM_BITS
        else:
            registers += weights * work.columns
    return OnChip(
        weight_read_bits=weights,
        weight_write_bits=run.weight_read_bits,
        input_read_bits=inputs,
        input_write_bits=run.input_read_bits,
        output_read_bits=unfinished + run.output_write_bits,
        output_write_bits=unfinished + layer.outputs * activation_bits + run.sum_read_bits,
        register_bits=registers,
    )
