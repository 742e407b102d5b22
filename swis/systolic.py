"""Cycles of a bit-parallel systolic array, in closed form: what SCALE-Sim counts with ideal memory."""

from __future__ import annotations

from swis.workload import Layer

DATAFLOWS = ("os", "ws")


def systolic_cycles(layer: Layer, rows: int, columns: int, dataflow: str) -> int:
    """Return the cycles of a layer on ``rows`` x ``columns`` MAC units, one fold after another.

    Output stationary: ceil(EF/R) ceil(M/C) folds of W + R + C - 2 cycles; weight stationary:
    ceil(W/R) ceil(M/C) folds of EF + 2R + C - 2 cycles, for E x F output pixels, M filters of W weights. A
    partial fold costs a whole one. The groups of a convolution run one after another. SCALE-Sim 3.0.0
    reports the index of the last cycle, one less. Raises ``ValueError`` for another dataflow.

    >>> layer = Layer("conv", 3, 32, 3, 3, 224, 224, 112, 112, stride_h=2, stride_w=2)
    >>> systolic_cycles(layer, 32, 32, "os")
    34888
    """
    if dataflow not in DATAFLOWS:
        raise ValueError(f"dataflow is one of {DATAFLOWS}, not {dataflow!r}")
    filters, width = layer.out_channels // layer.groups, layer.filter_weights
    across = -(-filters // columns)
    if dataflow == "os":
        folds, cycles = -(-layer.pixels // rows) * across, width + rows + columns - 2
    else:
        folds, cycles = -(-width // rows) * across, layer.pixels + 2 * rows + columns - 2
    return layer.groups * folds * cycles
