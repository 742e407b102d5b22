"""Networks with weights in a format: which layers change, their weights, and their costs."""

import numpy as np
import pytest
import torch
from torch import nn

from swis.encoding.cost import network_cost
from swis.encoding.decompose import decompose, to_filters
from swis.encoding.encode import approximate, encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.encoding.metrics import mse_plus_plus
from swis.encoding.quantizer import quantize
from swis.errors import InputError
from swis.formats.registry import weight_format
from swis.networks.apply import skipped_layers, weight_layers, with_weights
from swis.networks.macs import layer_macs


def test_swis_weights_are_the_decomposed_codes_times_the_scale(model):
    weight = model.blocks[3][0].conv_dw.weight
    q = quantize(weight)
    codes = decompose(to_filters(q.codes), weight_format("swis", 2, 4)).codes
    expected = torch.stack([row.reshape(3, 3) for row in codes])[:, None] * q.scale
    assert torch.equal(approximate(weight, weight_format("swis", shifts=2, group_size=4)), expected)


def test_with_all_shifts_the_weights_equal_those_of_int8(model):
    weight = model.conv_head.weight
    base = approximate(weight, weight_format("int8"))
    for method in ("swis", "swis_c", "truncate", "round"):
        assert torch.equal(approximate(weight, weight_format(method, shifts=7)), base)


def test_uniform_weights_have_at_most_its_number_of_levels(model):
    hat = approximate(model.conv_head.weight, weight_format("uniform", shifts=2))
    for row in hat.flatten(1)[:20]:
        assert len(row.unique()) <= 7  # -3..3 x scale


def test_float_weights_do_not_change(model):
    assert torch.equal(approximate(model.conv_head.weight, weight_format("float")), model.conv_head.weight)


def test_only_weights_of_convolutions_and_linear_layers_change(model):
    macs = layer_macs(model, (1, 32, 32))
    changed, costs = with_weights(model, weight_format("swis"), macs)
    layers = weight_layers(model)
    before, after = model.state_dict(), changed.state_dict()
    names = {f"{name}.weight" for name in layers}
    assert len(costs) == len(layers)
    assert sum(cost.weights for cost in costs) == sum(before[name].numel() for name in names)
    for key, value in before.items():
        assert torch.equal(value, after[key]) == (key not in names), key


def test_the_metric_is_the_sum_over_the_groups(model):
    fmt = weight_format("swis", shifts=2, group_size=4, alpha=0.5)
    weight = model.conv_head.weight
    found = encode(weight, fmt)
    error = (found.codes.long() - to_filters(quantize(weight).codes).long()).reshape(-1, 4)
    assert found.metric == pytest.approx(4 * float(mse_plus_plus(error, 0.5).sum()))
    _, costs = with_weights(model, fmt, layer_macs(model, (1, 32, 32)), {"conv_stem"})
    assert costs[0].metric is None
    total = sum(cost.metric for cost in costs[1:])
    weights = sum(cost.weights for cost in costs[1:])
    assert network_cost(costs)["mse_plus_plus"] == pytest.approx(total / weights)
    assert found.metrics.sum() == pytest.approx(found.metric)
    assert found.metrics[3] == pytest.approx(
        4 * float(mse_plus_plus(error.reshape(len(weight), -1, 4)[3], 0.5).sum())
    )
    assert encode(weight, weight_format("round")).metric is None


@pytest.mark.parametrize(
    "method", ["swis", "swis_c", "swis_signed", "truncate", "round", "uniform", "uniform_group"]
)
@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_a_scheduled_filter_equals_one_with_its_number_of_shifts(model, method, granularity):
    weight = model.blocks[3][0].conv_pw.weight
    filters = len(weight)
    schedule = LayerSchedule(np.arange(filters) % 3 + 2, np.arange(filters))
    found = encode(weight, weight_format(method, 2, granularity=granularity), schedule)
    for shifts in (2, 3, 4):
        mine = schedule.shifts == shifts
        alone = encode(weight, weight_format(method, shifts, granularity=granularity))
        assert torch.equal(found.weight()[mine], alone.weight()[mine])
        if method == "swis":
            assert torch.equal(found.shift_sets[mine], alone.shift_sets[mine])
            assert (found.metrics[mine] == alone.metrics[mine]).all()


def test_the_cost_of_a_schedule_is_the_sum_over_its_filters(model):
    macs = layer_macs(model, (1, 32, 32))
    order = np.arange(10)[::-1].copy()
    schedule = LayerSchedule(np.array([1, 2, 3, 1, 2, 3, 1, 2, 3, 4]), order, filters_per_tile=2)
    _, costs = with_weights(model, weight_format("swis"), macs, schedules={"classifier": schedule})
    cost, per_filter = costs[-1], model.classifier.weight.shape[1]
    groups = per_filter // 4
    formula = sum(groups * (4 * (1 + n) + 3 * n) for n in schedule.shifts.tolist())
    assert cost.stored_bits == formula + 10 * (3 + 4)  # shifts and position of each filter
    # tiles of filters (9, 8), (7, 6), (5, 4), (3, 2), (1, 0)
    assert schedule.cycles.tolist() == [2, 2, 3, 3, 3, 3, 2, 2, 4, 4]
    assert cost.weight_cycles == per_filter * 28
    assert cost.lane_cycles == macs["classifier"] // 10 * 28


def test_skipped_layers_stay_at_eight_bits(model):
    macs = layer_macs(model, (1, 32, 32))
    changed, costs = with_weights(model, weight_format("swis"), macs, {"classifier"})
    base = approximate(model.classifier.weight, weight_format("int8"))
    assert torch.equal(changed.classifier.weight, base)
    assert costs[-1].stored_bits == 8 * costs[-1].weights
    assert costs[-1].weight_cycles == 7 * costs[-1].weights


def test_a_pattern_that_matches_nothing_is_an_error(model):
    names = list(weight_layers(model))
    assert skipped_layers(names, ["conv_stem", "blocks.3.*"]) >= {"conv_stem", "blocks.3.0.conv_dw"}
    with pytest.raises(InputError, match="'stem' matches no layer"):
        skipped_layers(names, ["stem"])


def test_macs_of_known_layers(model):
    macs = layer_macs(model, (1, 32, 32))
    assert macs["conv_stem"] == 16 * 16 * 9 * model.conv_stem.out_channels
    assert macs["classifier"] == 256 * 10
    depthwise = model.blocks[3][0].conv_dw
    assert macs["blocks.3.0.conv_dw"] == 2 * 2 * 9 * depthwise.out_channels


def test_a_weight_used_by_two_layers_is_stored_once():
    tied = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    tied[1].weight = tied[0].weight
    changed, costs = with_weights(tied, weight_format("swis"), {"0": 64, "1": 64})
    assert torch.equal(changed[0].weight, approximate(tied[0].weight, weight_format("swis")))
    assert changed[1].weight is changed[0].weight
    assert [cost.weights for cost in costs] == [64, 0]
    assert costs[0].lane_cycles == costs[1].lane_cycles == 128


def test_a_parametrized_weight_is_replaced_by_its_approximation():
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    expected = approximate(layer.weight, weight_format("round"))
    changed, _ = with_weights(nn.Sequential(layer), weight_format("round"), {"0": 64})
    assert torch.equal(changed[0].weight, expected)
