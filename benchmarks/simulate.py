"""Time to simulate networks [ms]: python benchmarks/simulate.py

The networks have 224 x 224 pixels and run on the single-shift SWIS array with N = 2 and M = 4. "cycles" is
the time for the compute cycles, in closed form. "run" also searches over tiles and loop orders. Both are the
best of three. "1000" is the time of 1000 runs with different sizes of the array, bandwidths, and shifts from
1 to 4.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import timm

from swis.experiments.config import load
from swis.hardware.accelerator import Accelerator
from swis.hardware.designs import energy_table
from swis.hardware.dram import _best
from swis.hardware.energy import Chip
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.simulate import simulate

NETWORKS = ("mobilenetv2_100", "resnet18", "vgg16_bn", "tf_efficientnet_lite0")
ARRAY = Accelerator(name="swis_ss")
TABLE = energy_table(load().energy)


def main() -> None:
    """Measure and print the table."""
    print(f"{'network':24}{'layers':>8}{'cycles':>10}{'run':>10}{'1000':>10}")
    for name in NETWORKS:
        layers = workload(timm.create_model(name), (3, 224, 224))
        weights = {shifts: [_weights(layer, shifts) for layer in layers] for shifts in (1, 2, 3, 4)}

        def cycles(layers: list[Layer] = layers, operands: list[Operands] = weights[2]) -> None:
            sum(ARRAY.work(*pair).cycles(pair[0]) for pair in zip(layers, operands, strict=True))

        def run(layers: list[Layer] = layers, operands: list[Operands] = weights[2]) -> None:
            _best.cache_clear()
            simulate(ARRAY, layers, operands, Chip.of(ARRAY, TABLE))

        times = [_milliseconds(task) for task in (cycles, run)]
        start = time.perf_counter()
        grid = list(product((4, 8, 16, 32), (4, 8, 16, 32, 64), range(8, 112, 8), weights))
        for rows, columns, bus, shifts in grid:
            array = replace(ARRAY, rows=rows, columns=columns, dram_bits_per_cycle=bus)
            simulate(array, layers, weights[shifts], Chip.of(array, TABLE))
        times.append(1e3 * (time.perf_counter() - start) * 1000 / len(grid))
        print(f"{name:24}{len(layers):8}" + "".join(f"{value:10.1f}" for value in times), flush=True)


def _weights(layer: Layer, shifts: int) -> Operands:
    filters = layer.out_channels
    return Operands(np.full(filters, shifts), (1 + shifts) * layer.weights, np.full(filters, 7), group_size=4)


def _milliseconds(task: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        task()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


if __name__ == "__main__":
    main()
