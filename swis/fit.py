"""The levels of one group for one set: the least sum of squared errors plus alpha times its sum squared.

Up to four weights are enumerated, larger groups solved by dynamic programming over the sum of errors.
Both are exact. Of equal solutions the smallest level of the first weight that differs wins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from swis.search import INNER

NEVER = np.int64(1) << 60  # above any squared error


class Sets(NamedTuple):
    """What all sets offer: ``levels`` int64 [sets, 2^N], ascending, and ``near`` int64 [sets, 2^B, 5].

    ``near`` says of every magnitude: the place of its nearest level; how much the squared error grows
    with the second nearest; the smaller and the larger of these two; how much it grows with any other.
    """

    levels: np.ndarray
    near: np.ndarray


class Scratch(NamedTuple):
    """Memory of one thread: the ``chosen`` levels of a group, and what the dynamic programming needs."""

    chosen: np.ndarray
    tied: np.ndarray
    levels: np.ndarray
    errors: np.ndarray
    ranges: np.ndarray
    squares: np.ndarray


def sets_of(levels: np.ndarray, magnitudes: int) -> Sets:
    """Tabulate ``levels`` [sets, 2^N] for ``magnitudes`` = 2^B."""
    levels = levels.astype(np.int64)
    squares = (levels[:, :, None] - np.arange(magnitudes)) ** 2
    order = squares.argsort(1, kind="stable")
    two = np.take_along_axis(levels[:, :, None], order[:, :2], 1)
    squares = np.take_along_axis(squares, order, 1)
    squares = np.concatenate([squares, np.full_like(squares[:, :1], NEVER)], 1)
    second, third = squares[:, 1] - squares[:, 0], squares[:, 2] - squares[:, 0]
    return Sets(levels, np.stack([order[:, 0], second, two.min(1), two.max(1), third], 2))


def scratch_of(group_size: int, sets: Sets) -> Scratch:
    """Allocate what a thread needs for groups of ``group_size``."""
    chosen, tied = np.zeros((2, 512), np.int64)  # pages: threads must not write to one line of the cache
    levels, errors = np.empty((2, group_size, sets.levels.shape[1]), np.int64)
    rows = (group_size + 1) * (2 * sets.near.shape[1] * group_size + 1) if group_size > 4 else 0
    return Scratch(
        chosen, tied, levels, errors, np.zeros((group_size + 1, 4), np.int64), np.empty(rows, np.int64)
    )


@njit(**INNER)
def few(codes, start, size, j, sets, alpha, slack, bound, scratch):
    """Return the least metric of up to four weights with set j, or ``bound``; choose its levels if below.

    No level costs ``slack`` or more above the nearest. The two nearest levels of all weights are tried
    at once; rarely others can be better.
    """
    low_a, high_a, under_a, over_a, third_a = _two(codes, start, size, 0, j, sets)
    low_b, high_b, under_b, over_b, third_b = _two(codes, start, size, 1, j, sets)
    low_c, high_c, under_c, over_c, third_c = _two(codes, start, size, 2, j, sets)
    low_d, high_d, under_d, over_d, third_d = _two(codes, start, size, 3, j, sets)
    best, which = bound, -1
    for a in range(2):  # the compiler unrolls these into one line without branches
        error_a = over_a if a else under_a
        for b in range(2):
            error_b = over_b if b else under_b
            for c in range(2):
                error_c = over_c if c else under_c
                for d in range(2):
                    error_d = over_d if d else under_d
                    total = error_a + error_b + error_c + error_d
                    square = error_a * error_a + error_b * error_b + error_c * error_c + error_d * error_d
                    metric = square + alpha * (total * total)
                    which = a * 8 + b * 4 + c * 2 + d if metric < best else which
                    best = min(metric, best)
    if min(min(third_a, third_b), min(third_c, third_d)) <= best - (bound - slack):
        return _enumerate(codes, start, size, j, sets, alpha, slack, bound, scratch.chosen)
    if which >= 0:
        scratch.chosen[0], scratch.chosen[1] = high_a if which & 8 else low_a, high_b if which & 4 else low_b
        scratch.chosen[2], scratch.chosen[3] = high_c if which & 2 else low_c, high_d if which & 1 else low_d
    return best


@njit(inline="always", **INNER)
def _two(codes, start, size, i, j, sets):
    """Return weight i's two nearest levels, its errors with them, and what any other costs more."""
    if i >= size:  # a padded zero
        return 0, 0, 0, 0, NEVER
    code = np.int64(codes[start + i])
    magnitude, sign = abs(code), 1 if code >= 0 else -1
    low, high = sets.near[j, magnitude, 2], sets.near[j, magnitude, 3]
    return low, high, sign * (low - magnitude), sign * (high - magnitude), sets.near[j, magnitude, 4]


@njit(inline="always", **INNER)
def _reach(codes, at, j, sets, slack):
    """Return a weight's magnitude, its sign and the range of levels less than ``slack`` above the nearest."""
    code = np.int64(codes[at])
    magnitude, sign = abs(code), 1 if code >= 0 else -1
    levels, last = sets.levels, sets.levels.shape[1] - 1
    low = high = sets.near[j, magnitude, 0]
    if sets.near[j, magnitude, 1] < slack:
        limit = (levels[j, low] - magnitude) ** 2 + slack
        while low > 0 and (levels[j, low - 1] - magnitude) ** 2 < limit:
            low -= 1
        while high < last and (levels[j, high + 1] - magnitude) ** 2 < limit:
            high += 1
    return magnitude, sign, low, high + 1


@njit(**INNER)
def _enumerate(codes, start, size, j, sets, alpha, slack, bound, chosen):
    """Try all levels of up to four weights, small ones first."""
    levels = sets.levels
    weight_a, sign_a, low_a, high_a = _reach(codes, start, j, sets, slack)
    weight_b = weight_c = weight_d = low_b = low_c = low_d = 0  # level 0 of a weight 0: nothing
    sign_b = sign_c = sign_d = high_b = high_c = high_d = 1
    if size > 1:
        weight_b, sign_b, low_b, high_b = _reach(codes, start + 1, j, sets, slack)
    if size > 2:
        weight_c, sign_c, low_c, high_c = _reach(codes, start + 2, j, sets, slack)
    if size > 3:
        weight_d, sign_d, low_d, high_d = _reach(codes, start + 3, j, sets, slack)
    for a in range(low_a, high_a):
        error_a = sign_a * (levels[j, a] - weight_a)
        for b in range(low_b, high_b):
            error_b = sign_b * (levels[j, b] - weight_b)
            square_b = error_a * error_a + error_b * error_b
            if square_b >= bound:
                continue
            for c in range(low_c, high_c):
                error_c = sign_c * (levels[j, c] - weight_c)
                square_c = square_b + error_c * error_c
                if square_c >= bound:
                    continue
                for d in range(low_d, high_d):
                    error_d = sign_d * (levels[j, d] - weight_d)
                    total = error_a + error_b + error_c + error_d
                    metric = square_c + error_d * error_d + alpha * (total * total)
                    if metric < bound:
                        bound = metric
                        chosen[0], chosen[1] = levels[j, a], levels[j, b]
                        chosen[2], chosen[3] = levels[j, c], levels[j, d]
    return bound


@njit(**INNER)
def many(codes, start, size, j, sets, alpha, slack, bound, scratch):
    """As ``few``, for any number of weights: the least sum of squares for every sum of errors.

    square[i, t] is the least sum of squares of weights i.. whose errors add up to t; ``ranges`` holds
    the number of levels of weight i, the least and the largest t, and where t = 0 lies in ``squares``.
    """
    chosen, tied, levels, errors, ranges, squares = scratch
    ranges[size, 1] = ranges[size, 2] = ranges[size, 3] = squares[0] = 0
    used = 1
    for i in range(size - 1, -1, -1):
        magnitude, sign, first, last = _reach(codes, start + i, j, sets, slack)
        for k in range(last - first):
            levels[i, k] = sets.levels[j, first + k]
            errors[i, k] = sign * (levels[i, k] - magnitude)
        ends = errors[i, 0], errors[i, last - first - 1]
        low, high = ranges[i + 1, 1], ranges[i + 1, 2]
        ranges[i, 0], ranges[i, 1], ranges[i, 2] = last - first, low + min(ends), high + max(ends)
        zero, below = used - ranges[i, 1], ranges[i + 1, 3]
        ranges[i, 3] = zero
        squares[used : zero + ranges[i, 2] + 1] = NEVER
        used = zero + ranges[i, 2] + 1
        for k in range(last - first):
            error = errors[i, k]
            for t in range(low, high + 1):
                value = squares[below + t] + error * error
                squares[zero + t + error] = min(squares[zero + t + error], value)
    zero = ranges[0, 3]
    for t in range(ranges[0, 1], ranges[0, 2] + 1):
        bound = min(bound, squares[zero + t] + alpha * (t * t))
    unset = True
    for t in range(ranges[0, 1], ranges[0, 2] + 1):
        if squares[zero + t] + alpha * (t * t) != bound:
            continue
        rest = t
        smaller = decided = unset  # than the levels chosen for another sum of errors
        for i in range(size):
            for k in range(ranges[i, 0]):
                error = errors[i, k]
                after = rest - error
                if ranges[i + 1, 1] <= after <= ranges[i + 1, 2] and (
                    squares[ranges[i + 1, 3] + after] + error * error == squares[ranges[i, 3] + rest]
                ):
                    tied[i] = levels[i, k]
                    rest = after
                    break
            if not decided and tied[i] != chosen[i]:
                smaller, decided = tied[i] < chosen[i], True
        if smaller:
            for i in range(size):
                chosen[i] = tied[i]
        unset = False
    return bound
