"""Allocation of shifts to filters: the least loss within a budget on the average number of shifts.

The filters of a tile run in lockstep, so a tile takes the cycles of its filter with the most shifts. The
allocation therefore chooses one number of shifts per tile. Each filter of the tile then gets the number of
shifts up to this one that has the least loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np

from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.options.scheduling import Schedule
from swis.scheduling.knapsack import Solution, check_budget, greedy, optimal, solution_of
from swis.scheduling.two_budgets import within_both


@dataclass(frozen=True)
class LayerTable:
    """The losses and the price of a layer's filters.

    ``losses`` [filters, B]: the loss of each filter with 1..B shifts. ``price``: what one shift of one filter
    takes from the budget (its weights, MACs or bits). ``least``: the fewest shifts of a filter of this layer.
    ``weights`` of a filter and ``stored`` [B], its bits in storage with 1..B shifts, are for a second budget.
    """

    losses: np.ndarray
    price: int
    least: int = 1
    weights: int = 0
    stored: np.ndarray | None = None


@dataclass(frozen=True)
class NetworkSchedule:
    """The schedules of all layers, by name.

    ``spent``: the average of the filters' cycles, weighted by price. ``loss``: the sum over all filters.
    ``bound``: a lower bound of the loss for these tiles and orders. ``policy``: its name in tables.
    """

    layers: dict[str, LayerSchedule]
    spent: float
    loss: float
    bound: float
    policy: str = ""


def allocate(tables: dict[str, LayerTable], bits: float, schedule: Schedule) -> NetworkSchedule:
    """Return a schedule with at most ``bits`` shifts on average, weighted by price.

    Layers whose ``least`` is above the average get ``least``, and the other layers get fewer shifts. With
    ``schedule.storage_bits`` the bits per weight in storage, with those of the schedule itself, are limited
    too. Raises ``InputError`` if no number of shifts is allowed, or if the fewest allowed shifts exceed a
    budget.

    >>> table = LayerTable(np.array([[9.0, 1.0, 0.0], [4.0, 3.0, 0.0]]), price=4)
    >>> allocate({"conv": table}, 1.5, Schedule("optimal")).layers["conv"].shifts.tolist()
    [2, 1]
    """
    options = _options(schedule, next(iter(tables.values())).losses.shape[1])
    layers: dict[str, LayerSchedule] = {}
    loss = bound = 0.0
    for names, budget in _shares(tables, Fraction(str(bits)), schedule, options):
        found, solution = _solve({name: tables[name] for name in names}, budget, schedule, options)
        layers |= found
        loss += solution.loss
        bound += solution.bound
    paid = sum(table.price * int(layers[name].cycles.sum()) for name, table in tables.items())
    total = sum(table.price * len(table.losses) for table in tables.values())
    return NetworkSchedule({name: layers[name] for name in tables}, paid / total, loss, bound)


def _options(schedule: Schedule, magnitude_bits: int) -> np.ndarray:
    high = min(schedule.max or magnitude_bits, magnitude_bits)
    options = np.arange(schedule.min, high + 1)
    options = options[options % schedule.multiple == 0]
    if len(options) == 0:
        raise InputError(
            f"there is no multiple of schedule.multiple={schedule.multiple} in {schedule.min}..{high} shifts"
        )
    return options


def _shares(
    tables: dict[str, LayerTable], bits: Fraction, schedule: Schedule, options: np.ndarray
) -> list[tuple[list[str], int]]:
    """Return the parts of the budget, each with the names of the layers that share it."""
    prices = {name: table.price * len(table.losses) for name, table in tables.items()}
    total = sum(prices.values())
    if schedule.over_layers:
        return [(list(tables), int(bits * total))]
    least = {name: _first_of(options, table.least) for name, table in tables.items()}
    at_least: set[str] = set()  # the layers that get their ``least``, because it is above the average
    share, rest, spent = bits, total, 0
    while more := {name for name in tables if name not in at_least and least[name] > share}:
        at_least |= more  # this lowers the average of the others, so that it can fall below ``least`` of more
        spent = sum(least[name] * prices[name] for name in at_least)
        rest = total - sum(prices[name] for name in at_least)
        share = (bits * total - spent) / rest if rest else bits
    if share < options[0] or (not rest and spent > bits * total):
        raise InputError(
            f"a budget of {float(bits):g} shifts leaves {float(share):.3g} for the other layers, but the "
            f"fewest allowed are {options[0]}; raise bits, or lower schedule.min, .depthwise or .first"
        )
    return [([name], int((least[name] if name in at_least else share) * prices[name])) for name in tables]


def _solve(
    tables: dict[str, LayerTable], budget: int, schedule: Schedule, options: np.ndarray
) -> tuple[dict[str, LayerSchedule], Solution]:
    """Schedule the layers that share a budget, with the filters in the best of several orders.

    The orders are the original one and those sorted by loss, one for each number of shifts. They do not
    depend on the budget, so that a larger budget never gives more loss.
    """
    orders = [{name: np.arange(len(table.losses)) for name, table in tables.items()}]
    if schedule.reorder and schedule.filters_per_tile > 1 and POLICIES[schedule.policy].looks_at_losses:
        orders += [
            {name: np.argsort(-table.losses[:, n - 1], kind="stable") for name, table in tables.items()}
            for n in options[:-1]
        ]
    limits: list[int | None] = [None] * len(orders)
    if schedule.storage_bits is not None:
        limits = [_limit(tables, schedule.storage_bits, order) for order in orders]
        fewest = sum(
            len(table.losses) * int(_stored(table, _first_of(options, table.least)))
            for table in tables.values()
        )
        kept = [place for place, limit in enumerate(limits) if fewest <= limit]
        if not kept:
            weights = sum(len(table.losses) * table.weights for table in tables.values())
            needed = ceil(1e4 * (schedule.storage_bits + (fewest - max(limits)) / weights)) / 1e4
            raise InputError(
                f"schedule.storage_bits={schedule.storage_bits:g} is too low: the fewest shifts take "
                f"{needed:g} bits per weight; raise it, or lower schedule.min, .depthwise or .first"
            )
        orders, limits = [orders[place] for place in kept], [limits[place] for place in kept]
    solved = [
        _assign(tables, budget, limit, schedule, options, order)
        for order, limit in zip(orders, limits, strict=True)
    ]
    return min(solved, key=lambda pair: pair[1].loss)


def _limit(tables: dict[str, LayerTable], storage_bits: float, orders: dict[str, np.ndarray]) -> int:
    """Return the bits that all filters may take in storage, besides those that store the schedule."""
    weights = sum(len(table.losses) * table.weights for table in tables.values())
    of_schedule = sum(
        LayerSchedule(orders[name], orders[name]).stored_bits(table.losses.shape[1])
        for name, table in tables.items()
    )
    return int(Fraction(str(storage_bits)) * weights) - of_schedule


def _stored(table: LayerTable, shifts: int | np.ndarray) -> np.ndarray:
    """Return the most bits that a filter with at most this many shifts takes in storage."""
    return np.maximum.accumulate(table.stored)[shifts - 1]


def _assign(
    tables: dict[str, LayerTable],
    budget: int,
    limit: int | None,
    schedule: Schedule,
    options: np.ndarray,
    orders: dict[str, np.ndarray],
) -> tuple[dict[str, LayerSchedule], Solution]:
    """Choose the shifts of every tile, for given orders of the filters.

    ``limit``: the bits that the filters may take in storage, or None.
    """
    policy = POLICIES[schedule.policy]
    losses, prices, stored, allowed, sizes = [], [], [], {}, {}
    for name, table in tables.items():
        starts = np.arange(0, len(table.losses), schedule.filters_per_tile)
        sizes[name] = np.diff([*starts, len(table.losses)])
        # a choice below ``least`` becomes ``least``
        allowed[name] = np.maximum(options, _first_of(options, table.least))
        fewest = max(schedule.min, table.least)
        best = np.minimum.accumulate(table.losses[:, fewest - 1 :], 1)[:, allowed[name] - fewest]
        losses.append(np.add.reduceat(best[orders[name]], starts, 0))
        prices.append(table.price * sizes[name][:, None] * allowed[name])
        if limit is not None:
            stored.append(sizes[name][:, None] * _stored(table, allowed[name]))
    given = np.concatenate(losses), np.concatenate(prices), budget
    if limit is None:
        solution = policy.solve(*given)
    else:
        check_budget(*given[1:])
        solution = policy.solve_both(*given, np.concatenate(stored), limit)
    layers, at = {}, 0
    for name, table in tables.items():
        paid = allowed[name][solution.choices[at : at + len(sizes[name])]]
        at += len(sizes[name])
        most = np.empty(len(table.losses), np.int64)
        most[orders[name]] = np.repeat(paid, sizes[name])
        numbers = np.arange(1, table.losses.shape[1] + 1)
        affordable = (numbers >= max(schedule.min, table.least)) & (numbers <= most[:, None])
        shifts = np.where(affordable, table.losses, np.inf).argmin(1) + 1  # a tie takes the fewest
        layers[name] = LayerSchedule(shifts, orders[name], schedule.filters_per_tile, schedule.multiple)
    return layers, solution


def _first_of(options: np.ndarray, least: int) -> int:
    enough = options[options >= least]
    if len(enough) == 0:
        raise InputError(f"some layers need {least} shifts, but the most allowed are {options[-1]}")
    return int(enough[0])


def _spread(losses: np.ndarray, prices: np.ndarray, budget: int) -> Solution:
    """Give all items the largest choice that fits, and the next one to as many as fit, evenly spread."""
    check_budget(prices, budget)
    low = int(np.flatnonzero(prices.sum(0) <= budget)[-1])
    high = min(low + 1, prices.shape[1] - 1)
    steps = prices[:, high] - prices[:, low]
    left, total = budget - int(prices[:, low].sum()), int(steps.sum())
    choices, due, spent = np.full(len(prices), low), 0, 0
    for item, step in enumerate(steps.tolist()):
        due += step
        if step and (spent + step) * total <= left * due:
            choices[item] = high
            spent += step
    return solution_of(losses, prices, choices)


@dataclass(frozen=True)
class Policy:
    """A policy: ``solve`` gets losses and prices [items, choices] and the budget.

    ``solve_both`` also gets second prices and their budget, if the policy can keep two. If the policy does
    not look at losses, the filters are not reordered.
    """

    solve: Callable[[np.ndarray, np.ndarray, int], Solution]
    looks_at_losses: bool = True
    solve_both: Callable[[np.ndarray, np.ndarray, int, np.ndarray, int], Solution] | None = None


POLICIES = {
    "uniform": Policy(_spread, looks_at_losses=False),
    "greedy": Policy(greedy),
    "optimal": Policy(optimal, solve_both=within_both),
}
