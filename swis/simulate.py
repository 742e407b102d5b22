"""A network on an accelerator: a table with a line per layer, and its sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from swis.accelerator import Accelerator, LayerWeights
from swis.workload import Layer


def simulate(
    accelerator: Accelerator,
    layers: Sequence[Layer],
    weights: Sequence[LayerWeights],
    activation_bits: int = 8,
) -> pd.DataFrame:
    """Return a line per layer, for one image: cycles [cycles], traffic [bytes].

    ``latency_cycles`` are ``compute_cycles`` and ``stall_cycles``; ``dram_bytes`` those read and written.
    Raises ``InputError`` for SRAMs that hold no tile, and for shapes alone where the bits of weights count.

    >>> import numpy as np
    >>> layer = Layer("fc", 512, 64, 1, 1, 1, 1, 1, 1)
    >>> weights = LayerWeights(np.full(64, 2), 5 * layer.weights, np.full(64, 7))
    >>> table = simulate(Accelerator("swis_ss", "", "swis"), [layer], [weights])
    >>> table[["layer", "macs", "dram_bytes"]].values.tolist()
    [['fc', 32768, 21056.0]]
    """
    lines = []
    for layer, mine in zip(layers, weights, strict=True):
        run = accelerator.run(layer, mine, activation_bits)
        lines.append(
            {
                "layer": layer.name,
                "macs": layer.macs,
                "weights": layer.weights,
                "compute_cycles": run.compute_cycles,
                "stall_cycles": run.stall_cycles,
                "latency_cycles": run.cycles,
                "dram_read_bytes": run.dram_read_bits / 8,
                "dram_write_bytes": run.dram_write_bits / 8,
                "dram_bytes": (run.dram_read_bits + run.dram_write_bits) / 8,
            }
        )
    return pd.DataFrame(lines)


def totals(table: pd.DataFrame, accelerator: Accelerator) -> dict[str, Any]:
    """Return the sums over all layers, one after another, for one image.

    ``macs_per_cycle`` counts a whole MAC, however many cycles its bits take; ``latency_ms`` [ms] and
    ``frames_per_s`` at the accelerator's frequency.

    >>> table = pd.DataFrame({"layer": ["a", "b"], "macs": [100, 200], "latency_cycles": [10, 20]})
    >>> totals(table, Accelerator("swis_ss", "", "swis", frequency_mhz=1.0))["latency_ms"]
    0.03
    """
    sums = table.drop(columns="layer").sum().to_dict()
    latency_ms = sums["latency_cycles"] / (accelerator.frequency_mhz * 1e3)
    return sums | {
        "macs_per_cycle": sums["macs"] / sums["latency_cycles"],
        "latency_ms": latency_ms,
        "frames_per_s": 1e3 / latency_ms,
    }
