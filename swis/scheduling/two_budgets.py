"""The knapsack problem with a second budget, such as stored bits beside cycles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from swis.scheduling.knapsack import Solution, optimal, solution_of

# Bisection stops when the multiplier of the second budget is known to this share of it.
_PRECISION = 1e-3
_STEPS = 40


def within_both(
    losses: np.ndarray, prices: np.ndarray, budget: int, others: np.ndarray, limit: int
) -> Solution:
    """Return choices of small total loss within the budget and within a ``limit`` of the ``others``.

    ``others`` [items, choices] are second prices, such as bits in storage; they never fall from one choice to
    the next. They are added to the losses with a multiplier, which bisection finds. Then steps that fit both
    budgets are taken. The loss is rarely the least, and ``bound`` says how far it can be from it. The first
    choices must keep both budgets.

    >>> losses, prices = np.array([[9.0, 1.0], [5.0, 0.0]]), np.array([[1, 2], [1, 2]])
    >>> within_both(losses, prices, 4, np.array([[8, 16], [2, 4]]), 13).choices.tolist()
    [0, 1]
    """
    items = np.arange(len(losses))

    def stored(solution: Solution) -> int:
        return int(others[items, solution.choices].sum())

    free = optimal(losses, prices, budget)
    if stored(free) <= limit:
        return free
    bound, best = free.bound, solution_of(losses, prices, np.zeros(len(losses), np.int64))

    def fits(multiplier: float) -> bool:
        nonlocal bound, best
        penalised = optimal(losses + multiplier * others, prices, budget)
        bound = max(bound, penalised.bound - multiplier * limit)
        if stored(penalised) > limit:
            return False
        filled = _filled(losses, (prices, others), (budget, limit), penalised.choices)
        best = min(best, solution_of(losses, prices, filled), key=lambda solution: solution.loss)
        return True

    _bisect(fits, _largest_slope(losses, others))
    return replace(best, bound=min(bound, best.loss))


def _bisect(fits: Callable[[float], bool], high: float) -> None:
    """Try multipliers up to ``high`` around the smallest one that fits; the scale is logarithmic."""
    low = high / 2**_STEPS
    if not fits(high):
        return
    for _ in range(_STEPS):
        if high <= low * (1 + _PRECISION):
            return
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if fits(middle) else (middle, high)


def _largest_slope(losses: np.ndarray, others: np.ndarray) -> float:
    """Return a multiplier with which no step to a choice of higher second price pays."""
    saved, paid = losses[:, :1] - losses, others - others[:, :1]
    steepest = np.divide(saved, paid, out=np.zeros(losses.shape), where=paid > 0)
    return 2 * float(steepest.max()) + np.finfo(float).tiny


def _filled(
    losses: np.ndarray, prices: tuple[np.ndarray, ...], budgets: tuple[int, ...], start: np.ndarray
) -> np.ndarray:
    """Take steps from ``start`` while they fit all budgets: those that save the most loss first."""
    items, choices = np.arange(len(losses)), start.copy()
    left = [budget - int(price[items, start].sum()) for price, budget in zip(prices, budgets, strict=True)]
    while True:
        saved = losses[items, choices][:, None] - losses
        for price, rest in zip(prices, left, strict=True):
            saved = np.where(price - price[items, choices][:, None] <= rest, saved, 0.0)
        item, step = np.unravel_index(saved.argmax(), saved.shape)
        if saved[item, step] <= 0:
            return choices
        for number, price in enumerate(prices):
            left[number] -= int(price[item, step] - price[item, choices[item]])
        choices[item] = step
