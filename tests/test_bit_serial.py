"""Bit-serial arrays against BitSim."""

import pandas as pd
import pytest
from conftest import scalesim_layer

from swis.bit_serial import dot_product_steps, stripes_cycles
from swis.workload import Layer


@pytest.fixture(scope="module")
def layers(shared) -> dict[tuple[str, str], Layer]:
    """The layers of the oracles, depthwise ones with all their channels."""
    table = pd.read_csv(shared / "golden" / "scalesim_cycles.csv").drop_duplicates(["net", "layer"])
    return {
        (row.net, row.layer): scalesim_layer(row, row.repeats if row.kind == "dw" else 1)
        for row in table.itertuples()
    }


def test_bitsim_stripes_cycles_on_every_row(shared, layers):
    table = pd.read_csv(shared / "golden" / "bitsim_stripes.csv")
    for net, height, width, lanes, bits, name, cycles, _ in table.itertuples(index=False):
        assert stripes_cycles(layers[net, name], height, width, lanes, bits) == cycles, (net, name)
    assert len(table) > 1000


@pytest.mark.parametrize("groups", [1, 2])
def test_steps_by_hand(groups):
    """Loop over all that the array does, one step at a time."""
    layer, filters, columns, lanes = Layer("conv", 6, 10, 2, 2, 5, 7, 4, 6, groups), 4, 4, 2
    steps = 0
    for _ in range(groups):
        for _ in range(0, 10 // groups, filters):
            for _ in range(layer.out_h):
                for _ in range(0, layer.out_w, columns):
                    if 6 // groups < 4:
                        steps += (6 // groups) * len(range(0, 4, lanes))
                    else:
                        steps += 4 * len(range(0, 6 // groups, lanes))
    assert dot_product_steps(layer, filters, columns, lanes) == steps
