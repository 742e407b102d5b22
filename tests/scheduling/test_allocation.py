"""Schedules keep their budget and constraints, and the optimal policy has the least loss."""

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.options.choices import Scope
from swis.scheduling.allocation import POLICIES, LayerTable, Schedule, allocate

MAGNITUDE_BITS = 4


@st.composite
def networks(draw, most_filters=9):
    """Layers with random losses; some losses rise with the shifts, as is possible with alpha > 0."""
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    tables = {}
    for number in range(draw(st.integers(1, 3))):
        filters = draw(st.integers(1, most_filters))
        losses = random.random((filters, MAGNITUDE_BITS)) ** 3
        if draw(st.booleans()):
            losses = np.sort(losses)[:, ::-1].copy()
        tables[f"layer{number}"] = LayerTable(losses, draw(st.integers(1, 40)))
    return tables


@st.composite
def schedules(draw, policies=tuple(POLICIES)):
    return Schedule(
        draw(st.sampled_from(policies)),
        draw(st.sampled_from([*Scope])),
        draw(st.sampled_from([1, 1, 2])),
        draw(st.integers(1, 4)),
        draw(st.booleans()),
        draw(st.integers(1, 2)),
        draw(st.integers(3, 8)),
    )


BUDGETS = st.sampled_from([2.0, 2.25, 2.5, 2.7, 3.0, 3.3])


def loss_of(tables, found):
    return sum(
        table.losses[np.arange(len(table.losses)), found.layers[name].shifts - 1].sum()
        for name, table in tables.items()
    )


@settings(max_examples=300, deadline=None)
@given(networks(), schedules(), BUDGETS)
def test_the_budget_and_every_constraint_hold(tables, schedule, bits):
    found = allocate(tables, bits, schedule)
    assert list(found.layers) == list(tables)
    paid = total = 0
    for name, table in tables.items():
        layer = found.layers[name]
        filters = len(table.losses)
        assert sorted(layer.order) == list(range(filters))
        assert (layer.shifts >= schedule.min).all()
        assert (layer.shifts <= min(schedule.max, MAGNITUDE_BITS)).all()
        assert (layer.cycles >= layer.shifts).all()
        assert (layer.cycles % schedule.multiple == 0).all()
        for start in range(0, filters, schedule.filters_per_tile):  # a tile runs in lockstep
            tile = layer.order[start : start + schedule.filters_per_tile]
            slowest = -(-layer.shifts[tile].max() // schedule.multiple) * schedule.multiple
            assert (layer.cycles[tile] == slowest).all()
        paid += table.price * int(layer.cycles.sum())
        total += table.price * filters
        if schedule.scope == "layer":
            assert int(layer.cycles.sum()) <= Fraction(str(bits)) * filters
        if not schedule.reorder or schedule.policy == "uniform":
            assert layer.order.tolist() == list(range(filters))
    assert paid <= Fraction(str(bits)) * total
    assert found.spent == paid / total
    assert found.loss == pytest.approx(loss_of(tables, found))
    assert found.bound <= found.loss + 1e-9


@settings(max_examples=200, deadline=None)
@given(networks(), schedules(policies=("optimal",)), BUDGETS)
def test_optimal_never_has_more_loss_than_greedy_or_uniform(tables, schedule, bits):
    losses = {
        policy: allocate(tables, bits, Schedule(policy, *list(vars(schedule).values())[1:])).loss
        for policy in POLICIES
    }
    assert losses["optimal"] <= losses["greedy"] + 1e-9
    assert losses["optimal"] <= losses["uniform"] + 1e-9


@settings(max_examples=100, deadline=None)
@given(networks(), schedules(policies=("optimal",)))
def test_a_larger_budget_never_has_more_loss(tables, schedule):
    losses = [allocate(tables, bits, schedule).loss for bits in (2.0, 2.3, 2.6, 2.9, 3.2, 3.5, 4.0)]
    assert all(more <= less + 1e-9 for less, more in pairwise(losses))


@settings(max_examples=100, deadline=None)
@given(networks(most_filters=5), BUDGETS)
def test_the_optimum_of_a_network_equals_brute_force(tables, bits):
    if sum(len(table.losses) for table in tables.values()) > 7:
        return
    rows = [(loss, table.price) for table in tables.values() for loss in table.losses]
    budget = Fraction(str(bits)) * sum(price for _, price in rows)
    least = min(
        sum(loss[n - 1] for (loss, _), n in zip(rows, shifts, strict=True))
        for shifts in product(range(1, MAGNITUDE_BITS + 1), repeat=len(rows))
        if sum(n * price for (_, price), n in zip(rows, shifts, strict=True)) <= budget
    )
    assert allocate(tables, bits, Schedule("optimal", "network")).loss == pytest.approx(least)


@settings(max_examples=100, deadline=None)
@given(networks(), BUDGETS)
def test_a_budget_for_the_network_never_has_more_loss_than_one_per_layer(tables, bits):
    shared = allocate(tables, bits, Schedule("optimal", "network")).loss
    assert shared <= allocate(tables, bits, Schedule("optimal", "layer")).loss + 1e-9


def test_the_uniform_policy_spreads_the_remaining_shifts_evenly():
    table = LayerTable(np.tile([8.0, 4.0, 2.0, 1.0], (8, 1)), price=9)
    shifts = allocate({"conv": table}, 2.5, Schedule("uniform")).layers["conv"].shifts
    assert shifts.tolist() == [2, 3, 2, 3, 2, 3, 2, 3]


def test_reordered_filters_need_fewer_cycles():
    losses = np.tile([9.0, 4.0, 1.0, 0.0], (8, 1))
    losses[::2] *= 100  # every second filter needs more shifts
    table = {"conv": LayerTable(losses, price=1)}
    kept, moved = (
        allocate(table, 2.5, Schedule("optimal", "layer", 1, 2, reorder)) for reorder in (False, True)
    )
    assert moved.loss < kept.loss
    layer = moved.layers["conv"]
    assert layer.reordered
    assert not kept.layers["conv"].reordered
    assert layer.cycles.sum() < layer.cycles_unordered.sum()


def test_an_order_can_be_undone():
    layer = LayerSchedule(np.array([3, 1, 2, 1]), np.array([2, 0, 3, 1]), filters_per_tile=2)
    outputs = np.array(["a", "b", "c", "d"])
    as_computed = outputs[layer.order]
    assert as_computed[np.argsort(layer.order)].tolist() == outputs.tolist()
    assert layer.cycles.tolist() == [3, 1, 3, 1]
    assert layer.cycles_unordered.tolist() == [3, 3, 2, 2]
    assert layer.stored_bits(magnitude_bits=7) == 4 * (3 + 2)


def test_layers_with_a_minimum_get_it_and_the_others_get_fewer_shifts():
    losses = np.tile([8.0, 4.0, 2.0, 1.0], (10, 1))
    tables = {"first": LayerTable(losses, 1, least=4), "rest": LayerTable(losses, 9)}
    for scope in Scope:
        found = allocate(tables, 2.5, Schedule("optimal", scope))
        assert (found.layers["first"].shifts == 4).all()
        assert found.layers["rest"].shifts.mean() < 2.5
        assert found.spent <= 2.5


def test_a_second_layer_gets_its_minimum_after_the_first_lowered_the_average():
    losses = np.tile([8.0, 4.0, 2.0, 1.0], (10, 1))
    tables = {
        "first": LayerTable(losses, 1, 4),
        "depthwise": LayerTable(losses, 3, 2),
        "rest": LayerTable(losses, 9),
    }
    found = allocate(tables, 2.1, Schedule("optimal"))
    assert (found.layers["first"].shifts == 4).all()
    assert (found.layers["depthwise"].shifts >= 2).all()
    assert found.spent <= 2.1


def test_filters_get_the_minimum_even_if_it_does_not_lower_their_loss():
    table = LayerTable(np.tile([4.0, 1.0, 0.0, 0.0], (4, 1)), 1, least=4)
    assert (allocate({"conv": table}, 4, Schedule("optimal")).layers["conv"].shifts == 4).all()


@pytest.mark.parametrize(
    ("bits", "schedule", "least", "message"),
    [
        (1.5, Schedule("optimal", min=2), 1, "the fewest allowed are 2"),
        (1.5, Schedule("optimal", "network", min=2), 1, "of the cost of its fewest shifts"),
        (1.5, Schedule("greedy", multiple=2), 1, "the fewest allowed are 2"),
        (2.5, Schedule("optimal", multiple=2, min=3, max=3), 1, "no multiple of schedule.multiple=2"),
        (2.5, Schedule("optimal"), 3, "the fewest allowed are 1; raise bits"),
        (2.5, Schedule("optimal", "network"), 3, "of the cost of its fewest shifts"),
        (2.5, Schedule("optimal", max=3), 4, "some layers need 4 shifts, but the most allowed are 3"),
    ],
)
def test_a_budget_or_minimum_that_cannot_be_met_is_refused(bits, schedule, least, message):
    tables = {"conv": LayerTable(np.ones((3, MAGNITUDE_BITS)), 2, least)}
    with pytest.raises(InputError, match=message):
        allocate(tables, bits, schedule)
