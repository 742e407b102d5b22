"""The bit-parallel systolic array compared with SCALE-Sim 3.0.0, and with counting cycle by cycle."""

import pandas as pd
import pytest
from conftest import scalesim_layer

from swis.hardware.arrays.systolic import systolic_work
from swis.hardware.layer_shapes import Layer
from swis.options.choices import Dataflow


def test_scalesim_3_0_0_cycles_on_every_row(shared):
    table = pd.read_csv(shared / "golden" / "scalesim_cycles.csv")
    for row in table.itertuples():
        # a depthwise row is about one of ``repeats`` layers with one channel
        layer = scalesim_layer(row)
        rows, columns = map(int, row.array.split("x"))
        assert layer.macs == row.macs_per_repeat
        assert systolic_work(layer, rows, columns, row.dataflow).cycles(layer) - 1 == row.total_cycles, row
    assert len(table) > 100


@pytest.mark.parametrize("dataflow", Dataflow)
def test_a_depthwise_layer_is_one_layer_per_channel(dataflow):
    together = Layer("dw", 32, 32, 3, 3, 14, 14, 14, 14, groups=32)
    alone = Layer("dw", 1, 1, 3, 3, 14, 14, 14, 14)
    assert systolic_work(together, 8, 8, dataflow).cycles(together) == 32 * systolic_work(
        alone, 8, 8, dataflow
    ).cycles(alone)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 3), (4, 5)])
def test_one_output_stationary_fold_counted_cycle_by_cycle(rows, columns):
    """Operands enter a row or column one cycle after its neighbour, so the last PE starts last."""
    layer = Layer("fold", 7, columns, 1, 1, rows, 1, rows, 1)
    last = 0
    for row in range(rows):
        for column in range(columns):
            for product in range(layer.filter_weights):
                last = max(last, row + column + product)
    assert systolic_work(layer, rows, columns, "os").cycles(layer) == last + 1


def test_other_dataflows_are_refused():
    with pytest.raises(ValueError, match="'is'"):
        systolic_work(Layer("fc", 4, 4, 1, 1, 1, 1, 1, 1), 8, 8, "is")
