"""Multiple-choice knapsack problem: one choice for every item, with the least total loss within a budget.

Items are tiles of filters, and choices are numbers of shifts. ``losses`` [items, choices] never rise from one
choice to the next. ``prices`` [items, choices] are whole numbers and never fall.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from math import inf

import numpy as np

from swis.errors import InputError

# The largest number of states that the exact search keeps; it limits the memory to about 250 MB.
_MOST_STATES = 1 << 23


@dataclass(frozen=True)
class Solution:
    """``choices`` [items], their total ``loss`` and ``price``, and a lower ``bound`` of the least loss.

    ``bound`` equals ``loss`` if the choices are proven optimal. It is 0 for greedy choices.
    """

    choices: np.ndarray
    loss: float
    price: int
    bound: float = 0.0


def greedy(losses: np.ndarray, prices: np.ndarray, budget: int) -> Solution:
    """Return the choices of the greedy policy: always the step that saves the most loss per price.

    A step goes to an item's next choice with a lower loss. A step that does not fit into the budget is left
    out. The policy is reconstructed. Raises ``InputError`` if the first choices exceed the budget.

    >>> greedy(np.array([[9.0, 1.0], [5.0, 4.0]]), np.array([[1, 2], [1, 2]]), 3).choices.tolist()
    [1, 0]
    """
    check_budget(prices, budget)
    return solution_of(losses, prices, _spend(losses, prices, budget, np.zeros(len(losses), np.int64)))


def optimal(losses: np.ndarray, prices: np.ndarray, budget: int) -> Solution:
    """Return the choices of least total loss within the budget.

    Lagrangian relaxation gives a multiplier, a lower bound and a first solution. Dynamic programming over the
    core, the items whose choice the bound does not decide, closes the gap. If the core needs too much memory,
    the best solution so far is returned with its bound. Raises ``InputError`` as ``greedy`` does.

    >>> optimal(np.array([[9.0, 1.0], [5.0, 0.0]]), np.array([[1, 2], [1, 3]]), 3).loss
    6.0
    """
    check_budget(prices, budget)
    relaxed, multiplier = _relax(losses, prices, budget)
    starts = (relaxed, np.zeros_like(relaxed))
    known = min(
        (solution_of(losses, prices, _spend(losses, prices, budget, start)) for start in starts),
        key=lambda solution: solution.loss,
    )
    penalised = losses + multiplier * prices
    excess = penalised - penalised.min(1, keepdims=True)
    bound = float(penalised.min(1).sum() - multiplier * budget)
    best, proven = _close(excess, prices, relaxed, multiplier, budget, known.loss - bound)
    if best is not None:
        known = min(known, solution_of(losses, prices, best), key=lambda solution: solution.loss)
    return Solution(known.choices, known.loss, known.price, known.loss if proven else min(bound, known.loss))


def check_budget(prices: np.ndarray, budget: int) -> None:
    """Raise ``InputError`` if the first choices exceed the budget."""
    least = int(prices[:, 0].sum())
    if least > budget:
        raise InputError(
            f"the schedule's budget is only {budget / least:.3g} of the cost of its fewest shifts; "
            "raise bits, or lower schedule.min, schedule.depthwise or schedule.first"
        )


def solution_of(losses: np.ndarray, prices: np.ndarray, choices: np.ndarray) -> Solution:
    """Return choices with their total loss and price.

    >>> solution_of(np.array([[9.0, 1.0]]), np.array([[1, 2]]), np.array([1])).loss
    1.0
    """
    items = np.arange(len(losses))
    return Solution(choices, float(losses[items, choices].sum()), int(prices[items, choices].sum()))


def _spend(losses: np.ndarray, prices: np.ndarray, budget: int, start: np.ndarray) -> np.ndarray:
    """Take steps from ``start`` while they fit: the most loss saved per price first, then the first item."""
    choices = start.copy()
    left = budget - int(prices[np.arange(len(losses)), start].sum())
    heap: list[tuple[float, int, int]] = []

    def offer(item: int) -> None:
        row, now = losses[item], choices[item]
        for step in range(now + 1, len(row)):
            if row[step] < row[now]:
                price, saved = int(prices[item, step] - prices[item, now]), float(row[now] - row[step])
                heapq.heappush(heap, (-saved / price if price else -inf, item, step))
                return

    for item in range(len(losses)):
        offer(item)
    while heap:
        _, item, step = heapq.heappop(heap)
        price = int(prices[item, step] - prices[item, choices[item]])
        if price <= left:
            left -= price
            choices[item] = step
            offer(item)
    return choices


def _relax(losses: np.ndarray, prices: np.ndarray, budget: int) -> tuple[np.ndarray, float]:
    """Solve the linear relaxation: return its whole choices within the budget, and the multiplier.

    Only the lower convex hull of an item's points (price, loss) matters. The edges of all hulls are taken,
    the steepest first, until one does not fit. The slope of that edge is the multiplier (0 if all fit).
    """
    items, choices = np.arange(len(losses)), np.zeros(len(losses), np.int64)
    edges = []
    while True:
        saved = losses[items, choices][:, None] - losses
        paid = prices - prices[items, choices][:, None]
        slopes = np.divide(saved, paid, out=np.zeros(losses.shape), where=(paid > 0) & (saved > 0))
        slopes[(paid == 0) & (saved > 0)] = np.inf  # a step without a price comes first
        # of equal slopes, the farthest choice
        steps = losses.shape[1] - 1 - slopes[:, ::-1].argmax(1)
        moving = np.flatnonzero(slopes[items, steps] > 0)
        if len(moving) == 0:
            break
        to = steps[moving]
        edges.append((slopes[moving, to], moving, to, paid[moving, to]))
        choices[moving] = to
    start = np.zeros(len(losses), np.int64)
    if not edges:
        return start, 0.0
    slopes, owners, to, paid = (np.concatenate(column) for column in zip(*edges, strict=True))
    order = np.lexsort((to, owners, -slopes))
    spent = prices[:, 0].sum() + paid[order].cumsum()
    fitting = int(np.searchsorted(spent, budget, side="right"))
    for edge in order[:fitting]:
        start[owners[edge]] = to[edge]
    return start, float(slopes[order[fitting]]) if fitting < len(order) else 0.0


def _close(
    excess: np.ndarray, prices: np.ndarray, relaxed: np.ndarray, multiplier: float, budget: int, gap: float
) -> tuple[np.ndarray | None, bool]:
    """Search all choices whose loss is less than ``gap`` above the bound.

    Returns the best of them, or None, and whether the search was complete. ``excess`` [items, choices] is
    what a choice adds to the bound; every unspent unit of the budget adds the multiplier. Items enter in the
    order of the least excess of another choice than the relaxed one. A state is the price of the choices so
    far, with all later items at their relaxed choice.
    """
    items = np.arange(len(excess))
    others = excess.copy()
    others[items, relaxed] = np.inf
    entry = others.min(1)
    order = np.argsort(entry, kind="stable")
    change = prices - prices[items, relaxed][:, None]
    base = int(prices[items, relaxed].sum())
    price, cost = np.array([base]), np.array([0.0])
    trail: list[tuple[int, np.ndarray, np.ndarray]] = []
    best, kept = None, 0
    for item in order:
        if entry[item] >= gap:
            return _trace(best, trail, relaxed), True
        options = np.flatnonzero(excess[item] < gap)
        new_price = (price[:, None] + change[item, options]).ravel()
        new_cost = (cost[:, None] + excess[item, options]).ravel()
        parent = np.repeat(np.arange(len(price)), len(options))
        option = np.tile(options.astype(np.int8), len(price))
        keep = np.flatnonzero(new_cost < gap)
        # drop a state if another one has no higher price and no higher loss (cost - multiplier x price)
        loss = new_cost[keep] - multiplier * new_price[keep]
        keep = keep[np.lexsort((loss, new_price[keep]))]
        loss = new_cost[keep] - multiplier * new_price[keep]
        keep = keep[loss < np.concatenate([[np.inf], np.minimum.accumulate(loss)[:-1]])]
        price, cost = new_price[keep], new_cost[keep]
        trail.append((int(item), parent[keep], option[keep]))
        kept += len(keep)
        total = np.where(price <= budget, cost + multiplier * (budget - price), np.inf)
        if len(total) and total.min() < gap:
            gap, best = float(total.min()), (len(trail), int(total.argmin()))
        if kept > _MOST_STATES:
            return _trace(best, trail, relaxed), False
    return _trace(best, trail, relaxed), True


def _trace(
    best: tuple[int, int] | None, trail: list[tuple[int, np.ndarray, np.ndarray]], relaxed: np.ndarray
) -> np.ndarray | None:
    """Return the choices that led to the state ``best`` (number of items, index of the state)."""
    if best is None:
        return None
    choices = relaxed.copy()
    depth, state = best
    for item, parent, option in reversed(trail[:depth]):
        choices[item] = option[state]
        state = parent[state]
    return choices
