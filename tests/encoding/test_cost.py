"""Bits and cycles, compared with numbers computed by hand."""

import numpy as np
import pytest

from swis.encoding.cost import LayerCost, layer_cost, network_cost, scheduled_cost
from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.registry import weight_format


@pytest.mark.parametrize(
    ("method", "group_size", "shifts", "bits", "compression"),
    [
        ("swis", 4, 2, 18, 1.78),
        ("swis", 4, 3, 25, 1.28),
        ("swis", 4, 4, 32, 1.00),
        ("swis", 16, 1, 35, 3.66),
        ("swis", 16, 2, 54, 2.37),
        ("swis_c", 4, 2, 15, 2.13),
        ("swis_c", 16, 2, 51, 2.51),
        ("truncate", 4, 2, 12, 2.67),
        ("round", 4, 2, 12, 2.67),
        ("uniform", 4, 2, 12, 2.67),
        ("int8", 4, 2, 32, 1.00),
    ],
)
def test_the_cost_of_one_group(method, group_size, shifts, bits, compression):
    cost = layer_cost(weight_format(method, shifts, group_size), 1, group_size, 0)
    assert cost.stored_bits == bits
    assert network_cost([cost])["compression_vs_int8"] == pytest.approx(compression, abs=0.005)


def test_a_partial_group_costs_a_whole_one():
    # 9 weights in groups of 4 are 3 groups
    assert layer_cost(weight_format("swis", 2, 4), 5, 9, 0).stored_bits == 5 * 3 * 18


def test_the_bits_of_an_exponent_depend_on_the_magnitude_bits():
    assert layer_cost(weight_format("swis", 2, 4, magnitude_bits=4), 1, 4, 0).stored_bits == 4 * 3 + 2 * 2
    assert layer_cost(weight_format("swis", 2, 4, magnitude_bits=8), 1, 4, 0).stored_bits == 4 * 3 + 2 * 3


def test_layers_add_up_to_the_network():
    parts = [
        layer_cost(weight_format("swis", 2, 4), 8, 9, 1000),
        layer_cost(weight_format("int8", 2, 4), 4, 16, 500),
    ]
    total = network_cost(parts)
    assert total["ideal_cycles"] == 1000 * 2 + 500 * 7
    assert total["cycles_per_weight"] == (72 * 2 + 64 * 7) / (72 + 64)
    assert total["weight_bits"] == (8 * 3 * 18 + 64 * 8) / (72 + 64)


def test_the_costs_of_scheduled_filters_add_up():
    shifts, cycles = np.array([1, 2, 2, 4]), np.array([2, 2, 4, 4])
    schedule = LayerSchedule(shifts, np.arange(4), filters_per_tile=2)
    assert schedule.cycles.tolist() == cycles.tolist()
    found = scheduled_cost(weight_format("swis", group_size=4), schedule, 9, 400)
    alone = [layer_cost(weight_format("swis", n, 4), 1, 9, 100) for n in shifts.tolist()]
    assert found.stored_bits == sum(cost.stored_bits for cost in alone)
    assert found.weights == 36
    assert found.weight_cycles == 9 * cycles.sum()
    assert found.lane_cycles == 100 * cycles.sum()


def test_float_weights_have_bits_but_no_cycles():
    total = network_cost([layer_cost(weight_format("float", 2, 4), 2, 8, 100)])
    assert total["weight_bits"] == 32
    assert total["compression_vs_int8"] == 0.25
    assert total["ideal_cycles"] == 0


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="ternary"):
        layer_cost(weight_format("ternary", 1, 1), 1, 1, 1)


def test_costs_add_up_in_any_order_and_the_sum_needs_the_metric_of_every_part():
    measured, not_measured = LayerCost(4, 10, 32, 8, 20, metric=1.5), LayerCost(4, 10, 32, 8, 20)
    assert sum([measured, measured]) == LayerCost(8, 20, 64, 16, 40, metric=3.0)
    assert (measured + not_measured).metric is None
    assert measured + not_measured == not_measured + measured
    assert measured + None == None + measured == measured
    with pytest.raises(TypeError):
        measured + "layer"


def test_float_weights_outside_of_layers_take_32_bits_and_have_columns():
    layer = layer_cost(weight_format("swis", 2, 4), 1, 16, 100)
    alone, both = network_cost([layer]), network_cost([layer], float_weights=48, float_macs=300)
    assert (alone["float_weights"], alone["float_macs"]) == (0, 0)
    assert both["weight_bits"] == (16 * alone["weight_bits"] + 48 * 32) / 64
    assert both["compression_vs_int8"] == pytest.approx(8 / both["weight_bits"])
    assert (both["float_weights"], both["float_macs"]) == (0.75, 0.75)
    for column in ("cycles_per_weight", "cycles_per_mac", "ideal_cycles"):
        assert both[column] == alone[column]
