"""A network on an accelerator: a table with a row per layer, and its totals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from swis.hardware.accelerator import Accelerator
from swis.hardware.energy import Chip
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer

# Columns of ratios: those of a network are not sums over its layers.
_RATIOS = (
    *("utilization", "weight_to_activation", "macs_per_cycle", "roof_macs_per_cycle", "peak_macs_per_cycle"),
    "macs_per_dram_byte",
)


def simulate(
    accelerator: Accelerator,
    layers: Sequence[Layer],
    operands: Sequence[Operands],
    chip: Chip,
    activation_bits: int = 8,
) -> pd.DataFrame:
    """Return a table with a row per layer, for one image: cycles, DRAM traffic [bytes] and energy [pJ].

    * ``latency_cycles`` = ``compute_cycles`` + ``stall_cycles``.
    * ``busy_lane_cycles``: the part of ``lane_cycles`` with necessary work; their ratio is ``utilization``.
    * ``dram_bytes`` = ``dram_read_bytes`` + ``dram_write_bytes`` = ``weight_dram_bytes`` +
      ``activation_dram_bytes``, where the latter includes partial sums.
    * ``energy_pj``: the sum of the components before it.
    * ``peak_macs_per_cycle``: MACs per cycle if all lanes were always busy; ``roof_macs_per_cycle``: the
      smaller of this and the limit of the DRAM's bandwidth (roofline).

    Raises ``InputError`` for SRAMs that are too small for any tile.

    >>> import numpy as np
    >>> from swis.hardware.energy import Bank, EnergyTable, Unit
    >>> layer = Layer("fc", 512, 64, 1, 1, 1, 1, 1, 1)
    >>> operands = Operands(np.full(64, 2), 5 * layer.weights, np.full(64, 7))
    >>> table = EnergyTable("a", {"swis_ss": Unit(1.0, 1e3)}, [Bank(16384, 0.3, 0.3, 0, 0.1)], 15, 0, 0, 0)
    >>> array = Accelerator(name="swis_ss")
    >>> row = simulate(array, [layer], [operands], Chip.of(array, table)).iloc[0]
    >>> int(row.macs), float(row.dram_bytes), int(row.dram_energy_pj)
    (32768, 21056.0, 2526720)
    """
    rows = []
    for number, (layer, mine) in enumerate(zip(layers, operands, strict=True)):
        run = accelerator.run(layer, mine, activation_bits)
        energy = chip.energy(run)
        facts = {
            "layer": layer.name,
            "kind": "first" if number == 0 else layer.kind,
            "macs": layer.macs,
            "weight_count": layer.weights,
            "compute_cycles": run.compute_cycles,
            "stall_cycles": run.stall_cycles,
            "latency_cycles": run.cycles,
            "lane_cycles": accelerator.units * accelerator.lanes * run.cycles,
            "busy_lane_cycles": run.useful_lane_cycles,
            "dram_read_bytes": run.dram_read_bits / 8,
            "dram_write_bytes": run.dram_write_bits / 8,
            "dram_bytes": run.dram_bits / 8,
            "weight_dram_bytes": run.weight_dram_bits / 8,
            "activation_dram_bytes": (run.dram_bits - run.weight_dram_bits) / 8,
        }
        rows.append(facts | _ratios(facts, accelerator) | asdict(energy) | {"energy_pj": energy.energy_pj})
    return pd.DataFrame(rows)


def totals(table: pd.DataFrame, accelerator: Accelerator, chip: Chip) -> dict[str, Any]:
    """Return the totals over all layers for one image; layers run one after another.

    Also ``latency_ms`` [ms] and ``frames_per_s`` [1/s] at the accelerator's clock, ``frames_per_j`` [1/J],
    ``array_mm2`` [mm2], and ``area_mm2`` [mm2], which includes the SRAMs.
    """
    sums = table.drop(columns=["layer", "kind", *_RATIOS]).sum().to_dict()
    latency_ms = sums["latency_cycles"] / (accelerator.frequency_mhz * 1e3)
    return (
        sums
        | _ratios(sums, accelerator)
        | {
            "latency_ms": latency_ms,
            "frames_per_s": 1e3 / latency_ms,
            "frames_per_j": 1e12 / sums["energy_pj"],
            "array_mm2": chip.array_mm2,
            "area_mm2": chip.area_mm2,
        }
    )


def _ratios(counts: dict[str, Any], accelerator: Accelerator) -> dict[str, float]:
    lanes, bus = accelerator.units * accelerator.lanes, accelerator.memory.dram_bits_per_cycle
    peak = counts["macs"] * lanes / counts["busy_lane_cycles"] if counts["busy_lane_cycles"] else 0.0
    intensity = counts["macs"] / counts["dram_bytes"]
    return {
        "utilization": counts["busy_lane_cycles"] / counts["lane_cycles"],
        "weight_to_activation": counts["weight_dram_bytes"] / counts["activation_dram_bytes"],
        "macs_per_cycle": counts["macs"] / counts["latency_cycles"],
        "peak_macs_per_cycle": peak,
        "roof_macs_per_cycle": peak if bus is None else min(peak, intensity * bus / 8),
        "macs_per_dram_byte": intensity,
    }
