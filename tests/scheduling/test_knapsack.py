"""The knapsack solvers, compared with brute force over all choices."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.errors import InputError
from swis.scheduling import knapsack
from swis.scheduling.knapsack import greedy, optimal


def brute_force(losses, prices, budget):
    """Return the least loss within the budget, by trying all choices in plain Python."""
    best = None
    for choices in product(*(range(len(row)) for row in losses)):
        price = sum(prices[i][c] for i, c in enumerate(choices))
        loss = sum(losses[i][c] for i, c in enumerate(choices))
        if price <= budget and (best is None or loss < best):
            best = loss
    return best


@st.composite
def cases(draw):
    items, choices = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    # small integers give ties, and both convex and concave losses
    drops = draw(st.lists(st.lists(st.integers(0, 9), min_size=choices, max_size=choices), min_size=items))
    losses = np.array([np.cumsum(row[::-1])[::-1] for row in drops], float)
    units = draw(st.lists(st.integers(1, 7), min_size=len(losses), max_size=len(losses)))
    steps = draw(st.lists(st.lists(st.integers(0, 2), min_size=choices, max_size=choices), min_size=1))
    # prices that grow with every choice, and prices where some choices cost the same
    grown = np.cumsum([steps[item % len(steps)] for item in range(len(losses))], axis=1)
    shifts = draw(st.sampled_from([np.arange(1, choices + 1), grown]))
    prices = np.array(units)[:, None] * shifts
    return losses[:5], prices[:5], draw(st.integers(0, int(prices[:5].sum())))


@settings(max_examples=400, deadline=None)
@given(cases())
def test_optimal_equals_brute_force(case):
    losses, prices, budget = case
    least = brute_force(losses.tolist(), prices.tolist(), budget)
    if least is None:
        with pytest.raises(InputError, match="of the cost of its fewest shifts"):
            optimal(losses, prices, budget)
        return
    found = optimal(losses, prices, budget)
    items = np.arange(len(losses))
    assert found.loss == losses[items, found.choices].sum() == pytest.approx(least)
    assert found.price == prices[items, found.choices].sum() <= budget
    assert found.bound == found.loss


@settings(max_examples=200, deadline=None)
@given(cases())
def test_greedy_keeps_the_budget_and_is_never_better_than_optimal(case):
    losses, prices, budget = case
    if prices[:, 0].sum() > budget:
        return
    found = greedy(losses, prices, budget)
    assert found.price <= budget
    assert found.loss >= optimal(losses, prices, budget).loss - 1e-9


def test_greedy_takes_the_step_with_the_most_loss_saved_per_price():
    losses = np.array([[10.0, 4.0, 0.0], [9.0, 1.0, 0.5]])
    prices = np.array([[1, 2, 3], [2, 4, 6]])
    # loss saved per price: 6 and 4 for the steps of the first item, 4 and 0.25 for those of the second
    assert greedy(losses, prices, 4).choices.tolist() == [1, 0]
    assert greedy(losses, prices, 5).choices.tolist() == [2, 0]
    assert greedy(losses, prices, 7).choices.tolist() == [2, 1]


def test_a_step_without_a_price_is_always_taken():
    """For example, a layer without MACs if the budget counts MACs."""
    losses = np.array([[27.0, 17.0, 6.0], [59.0, 45.0, 29.0]])
    found = optimal(losses, np.array([[1, 3, 3], [0, 0, 2]]), 3)
    assert (found.choices.tolist(), found.loss, found.bound) == ([2, 1], 51, 51)
    for solve in (greedy, optimal):
        assert solve(losses, np.zeros((2, 3), int), 0).choices.tolist() == [2, 2]


def test_greedy_can_miss_the_optimum():
    losses, prices = np.array([[9.0, 0.0], [10.0, 0.0]]), np.array([[1, 3], [1, 5]])
    assert greedy(losses, prices, 6).loss == 10
    assert optimal(losses, prices, 6).loss == 9


def test_a_search_that_needs_too_much_memory_returns_a_bound(monkeypatch):
    random = np.random.default_rng(0)
    losses = np.sort(random.random((40, 7)))[:, ::-1].copy()
    prices = random.integers(50, 500, 40)[:, None] * np.arange(1, 8)
    budget = int(prices[:, 0].sum() * 2.5)
    exact = optimal(losses, prices, budget)
    assert exact.bound == exact.loss
    monkeypatch.setattr(knapsack, "_MOST_STATES", 3)
    bounded = optimal(losses, prices, budget)
    assert bounded.bound <= exact.loss <= bounded.loss
    assert bounded.bound < bounded.loss
    assert bounded.price <= budget
