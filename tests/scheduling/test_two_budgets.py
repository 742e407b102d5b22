"""Schedules that keep two budgets, compared with brute force over all choices."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.options.scheduling import Schedule
from swis.scheduling.allocation import LayerTable, allocate
from swis.scheduling.knapsack import optimal
from swis.scheduling.two_budgets import within_both


@st.composite
def cases(draw):
    """Losses, two prices, and two budgets that the first choices keep."""
    random = np.random.default_rng(draw(st.integers(0, 100_000)))
    items, choices = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    losses = np.sort(random.random((items, choices)) ** 3)[:, ::-1].copy()
    prices, others = (random.integers(1, 8, items)[:, None] * np.arange(1, choices + 1) for _ in "12")
    if draw(st.booleans()):
        others = np.cumsum(random.integers(0, 4, (items, choices)), 1)
    budgets = [int(random.integers(cost[:, 0].sum(), cost[:, -1].sum() + 1)) for cost in (prices, others)]
    return losses, prices, others, *budgets


@settings(max_examples=400, deadline=None)
@given(cases())
def test_both_budgets_hold_and_the_bound_is_below_brute_force(case):
    losses, prices, others, budget, limit = case
    items = np.arange(len(losses))
    least = min(
        losses[items, choices].sum()
        for choices in map(list, product(range(losses.shape[1]), repeat=len(losses)))
        if prices[items, choices].sum() <= budget and others[items, choices].sum() <= limit
    )
    found = within_both(losses, prices, budget, others, limit)
    assert found.price == prices[items, found.choices].sum() <= budget
    assert others[items, found.choices].sum() <= limit
    assert found.loss == pytest.approx(losses[items, found.choices].sum())
    assert found.bound - 1e-9 <= least <= found.loss + 1e-9
    if others[items, optimal(losses, prices, budget).choices].sum() <= limit:
        assert found.loss == pytest.approx(least)


def test_the_loss_is_near_the_bound_with_many_filters():
    random = np.random.default_rng(0)
    losses = np.sort(random.random((300, 7)) ** 3)[:, ::-1].copy()
    prices, others = (random.integers(9, 500, 300)[:, None] * np.arange(1, 8) for _ in "12")
    budget, limit = 3 * int(prices[:, 0].sum()), 2 * int(others[:, 0].sum())
    found = within_both(losses, prices, budget, others, limit)
    assert optimal(losses, prices, budget).loss < found.loss < 1.001 * found.bound


def tables(stored=None):
    """Two layers of 10 filters; the second has more weights, and few MACs."""
    losses = np.tile([8.0, 4.0, 2.0, 1.0], (10, 1)) * np.linspace(0.5, 2, 10)[:, None]
    stored = np.array([2, 3, 4, 5]) if stored is None else stored
    return {
        "conv": LayerTable(losses, 90, weights=9, stored=9 * stored),
        "head": LayerTable(losses, 8, weights=80, stored=80 * stored),
    }


def bits_of(found, given_tables):
    stored = weights = 0
    for name, table in given_tables.items():
        layer = found.layers[name]
        stored += int(table.stored[layer.shifts - 1].sum()) + layer.stored_bits(table.losses.shape[1])
        weights += len(table.losses) * table.weights
    return stored / weights


@pytest.mark.parametrize("filters_per_tile", [1, 4])
def test_a_schedule_keeps_cycles_and_stored_bits(filters_per_tile):
    both = Schedule("optimal", "network", filters_per_tile=filters_per_tile, storage_bits=3.5)
    one = Schedule("optimal", "network", filters_per_tile=filters_per_tile)
    free, found = (allocate(tables(), 2.5, schedule) for schedule in (one, both))
    assert bits_of(free, tables()) > 3.5 >= bits_of(found, tables()) > 3.3
    assert found.spent <= 2.5
    assert free.loss < found.loss
    assert found.bound <= found.loss
    loose = Schedule("optimal", "network", filters_per_tile=filters_per_tile, storage_bits=8.0)
    assert allocate(tables(), 2.5, loose).loss == free.loss


def test_every_layer_keeps_both_budgets_with_its_own():
    found = allocate(tables(), 2.5, Schedule("optimal", "layer", storage_bits=3.6))
    for name, table in tables().items():
        shifts = found.layers[name].shifts
        assert shifts.mean() <= 2.5
        stored = table.stored[shifts - 1].sum() + LayerSchedule(shifts, np.arange(10)).stored_bits(4)
        assert stored <= 3.6 * 10 * table.weights


def test_fewer_shifts_may_take_more_bits():
    given = tables(np.array([2, 4, 3, 5]))
    found = allocate(given, 3.0, Schedule("optimal", "network", storage_bits=4.0))
    assert bits_of(found, given) <= 4.0


@pytest.mark.parametrize(
    ("bits", "schedule", "message"),
    [
        (2.5, {"storage_bits": 2.0}, r"storage_bits=2 is too low: the fewest shifts take 2.045 bits"),
        (2.5, {"storage_bits": 2.5, "min": 2}, "storage_bits=2.5 is too low: the fewest shifts take 3.045"),
        (1.5, {"storage_bits": 4.0, "min": 2}, "of the cost of its fewest shifts"),
    ],
)
def test_budgets_that_cannot_be_met_are_refused(bits, schedule, message):
    with pytest.raises(InputError, match=message):
        allocate(tables(), bits, Schedule("optimal", "network", **schedule))


def test_only_the_optimal_policy_keeps_two_budgets():
    for policy in ("uniform", "greedy"):
        with pytest.raises(InputError, match=f"needs schedule.policy=optimal, not {policy}"):
            Schedule(policy, storage_bits=4.0)
    with pytest.raises(InputError, match=r"schedule\.storage_bits must be finite and above 0"):
        Schedule("optimal", storage_bits=0.0)
