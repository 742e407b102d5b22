"""BitFusion: PEs that adapt to the bits of their operands, with channels on rows and filters on columns."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from swis.errors import InputError
from swis.hardware.arrays.bitfusion import FusionArray, FusionModel
from swis.hardware.datapaths.base import Datapath
from swis.hardware.dram import SLACK
from swis.hardware.layer_run import LayerRun, Operands
from swis.hardware.layer_shapes import Layer

if TYPE_CHECKING:
    from swis.hardware.accelerator import Accelerator


class Fusion(Datapath):
    """BitFusion's own model of tiles and loops; ``sums_to_dram`` is that of its public optimizer."""

    name: ClassVar[str] = "fusion"

    def banks(self, design: Accelerator) -> dict[str, int]:
        return {"weight": design.units, "input": design.rows, "output": design.columns}

    def run(self, design: Accelerator, layer: Layer, weights: Operands, activation_bits: int) -> LayerRun:
        array = FusionArray(design.rows, design.columns, design.memory)
        bits = (_fused(count) for count in (int(weights.widths.max()) + 1, activation_bits))
        return _best_fusion(layer, array, *bits, design.sums_to_dram)


@lru_cache(maxsize=1 << 12)  # slow, and the same for all points of a sweep
def _best_fusion(
    layer: Layer, array: FusionArray, weight_bits: int, activation_bits: int, sums_to_dram: bool
) -> LayerRun:
    mapped = dict.fromkeys((layer, _merged(layer, array.columns)))
    models = [
        FusionModel(one, array, weight_bits, activation_bits, im2col, sums_to_dram)
        for one in mapped
        for im2col in (False, True)
    ]
    run, model = min(
        ((model.best_run(SLACK), model) for model in models),
        key=lambda pair: (pair[0].cycles, pair[0].dram_bits),
    )
    return LayerRun(
        run.compute_cycles,
        run.stall_cycles,
        -(-layer.macs // model.products),
        run.weight_read_bits,
        run.dram_read_bits,
        run.dram_write_bits,
        0,
        model.on_chip(run),
    )


def _merged(layer: Layer, columns: int) -> Layer:
    """Return a grouped convolution with merged groups, as many as fit the columns, with zeros between them.

    >>> _merged(Layer("dw", 64, 64, 3, 3, 8, 8, 8, 8, groups=64), 8).groups
    8
    """
    fitting = [
        count
        for count in range(1, layer.groups + 1)
        if layer.groups % count == 0 and count * layer.group_filters <= columns
    ]
    return replace(layer, groups=layer.groups // max(fitting, default=1))


def _fused(bits: int) -> int:
    """Return the width of the operands of fusion units that holds ``bits``."""
    fitting = [width for width in (2, 4, 8) if width >= bits]
    if not fitting:
        raise InputError(f"fusion units take operands of up to 8 bits, not {bits}")
    return fitting[0]
