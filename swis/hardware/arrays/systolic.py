"""Cycles of a bit-parallel systolic array in closed form, as SCALE-Sim counts them with ideal memory."""

from __future__ import annotations

from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork
from swis.options.choices import Dataflow
from swis.options.names import require_known


def systolic_work(layer: Layer, rows: int, columns: int, dataflow: str) -> ArrayWork:
    """Return the work of a layer on ``rows`` x ``columns`` MAC PEs, one fold after another.

    For E x F output pixels, M filters of W weights, R rows and C columns:

    * output stationary ("os"): ceil(EF/R) ceil(M/C) folds of W + R + C - 2 cycles;
    * weight stationary ("ws"): ceil(W/R) ceil(M/C) folds of EF + 2R + C - 2 cycles.

    A partial fold costs as much as a whole one. The groups of a convolution run one after another. SCALE-Sim
    3.0.0 reports the index of the last cycle, which is one less. Raises ``ValueError`` for another dataflow.

    >>> layer = Layer("conv", 3, 32, 3, 3, 224, 224, 112, 112, stride_h=2, stride_w=2)
    >>> systolic_work(layer, 32, 32, "os").cycles(layer)
    34888
    """
    width, across = layer.filter_weights, layer.groups * -(-layer.group_filters // columns)
    require_known("dataflow", dataflow, Dataflow)
    if dataflow == "os":
        return ArrayWork(columns, rows, 1, across * width, across, layer.macs, restart=rows + columns - 2)
    passes = -(-width // rows)
    folds = across * passes
    load = folds * (2 * rows + columns - 2)
    return ArrayWork(columns, 1, rows, folds, folds, layer.macs, load=load, passes=passes)
