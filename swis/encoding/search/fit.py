"""Joint selection for one group and one set: the levels of least sum(e^2) + alpha (sum e)^2.

Groups of up to four weights are enumerated. Larger groups are solved by dynamic programming over the sum of
errors. Both are exact. A tie goes to the smallest level of the first weight that differs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from swis.encoding.search.lanes import least_of_pairs
from swis.encoding.search.nearest import INLINED, INNER
from swis.runtime.compiled import njit

NEVER = np.int64(1) << 60  # above any squared error


class Sets(NamedTuple):
    """The levels of all sets, and tables of every code's nearest levels.

    ``levels`` int64 [sets, 2^N], ascending. ``place`` int64 [sets, 2^B]: the index of a magnitude's nearest
    level. ``pairs`` int32 [sets, codes]: the errors of a code's two nearest levels; the low 16 bits are those
    of the smaller level. ``others`` int64 [sets, 2^B]: the squared error of the third-nearest level minus
    that of the nearest one.
    """

    levels: np.ndarray
    place: np.ndarray
    pairs: np.ndarray
    others: np.ndarray


class Scratch(NamedTuple):
    """The memory of one thread: indices of ``candidates`` sets, ``chosen`` levels, and arrays of ``many``."""

    candidates: np.ndarray
    chosen: np.ndarray
    tied: np.ndarray
    levels: np.ndarray
    errors: np.ndarray
    ranges: np.ndarray
    squares: np.ndarray


def sets_of(levels: np.ndarray, magnitudes: int) -> Sets:
    """Return the tables of ``levels`` [sets, 2^N] for ``magnitudes`` = 2^B magnitudes."""
    levels = levels.astype(np.int64)
    errors = levels[:, :, None] - np.arange(magnitudes)
    order = (errors**2).argsort(1, kind="stable")
    two = np.take_along_axis(errors, np.sort(order[:, :2], 1), 1)
    two = np.concatenate([-two[:, :, :0:-1], two], 2)
    squares = np.take_along_axis(errors**2, order, 1)
    squares = np.concatenate([squares, np.full_like(squares[:, :1], NEVER)], 1)
    pairs = (two[:, 1] << 16 | two[:, 0] & 0xFFFF).astype(np.int32)
    return Sets(levels, order[:, 0].copy(), pairs, squares[:, 2] - squares[:, 0])


def scratch_of(group_size: int, sets: Sets) -> Scratch:
    """Allocate the memory of one thread for groups of ``group_size`` weights."""
    # a page each: two threads must not write to the same cache line
    candidates, chosen, tied = np.zeros((3, 512), np.int64)
    levels, errors = np.empty((2, group_size, sets.levels.shape[1]), np.int64)
    rows = (group_size + 1) * (2 * sets.place.shape[1] * group_size + 1) if group_size > 4 else 0
    ranges, squares = np.zeros((group_size + 1, 4), np.int64), np.empty(rows, np.int64)
    return Scratch(candidates, chosen, tied, levels, errors, ranges, squares)


@njit(**INLINED)
def few(codes, start, size, j, sets, alpha, narrow, slack, bound, scratch):
    """Return the least metric of up to four weights under set j, or ``bound`` if it is not below that.

    If it is below ``bound``, its levels are written to ``scratch.chosen``. A level whose squared error is
    ``slack`` or more above the nearest level's cannot be part of a better solution. All combinations of the
    two nearest levels are tried at once; only in rare cases can another level be better.
    """
    if bound > narrow.limit:
        return _enumerate(codes, start, size, j, sets, alpha, slack, bound, scratch.chosen)
    code_a, a, others_a = _pair(codes, start, size, 0, j, sets)
    code_b, b, others_b = _pair(codes, start, size, 1, j, sets)
    code_c, c, others_c = _pair(codes, start, size, 2, j, sets)
    code_d, d, others_d = _pair(codes, start, size, 3, j, sets)
    metric, which = least_of_pairs(a, b, c, d, narrow.alpha, narrow.reach)
    best = min(metric, bound)
    if min(min(others_a, others_b), min(others_c, others_d)) <= best - (bound - slack):
        return _enumerate(codes, start, size, j, sets, alpha, slack, bound, scratch.chosen)
    if metric < bound:
        scratch.chosen[0], scratch.chosen[1] = _level(code_a, a, which & 8), _level(code_b, b, which & 4)
        scratch.chosen[2], scratch.chosen[3] = _level(code_c, c, which & 2), _level(code_d, d, which & 1)
    return best


@njit(inline="always", **INNER)
def _pair(codes, start, size, i, j, sets):
    """Return the code of weight i, the errors of its two nearest levels, and its entry of ``others``."""
    if i >= size:  # padding
        return 0, np.int32(0), NEVER
    code = np.int64(codes[start + i])
    return code, sets.pairs[j, sets.pairs.shape[1] // 2 + code], sets.others[j, abs(code)]


@njit(inline="always", **INNER)
def _level(code, pair, second):
    return abs(code + np.int16(pair >> 16 if second else pair))


@njit(inline="always", **INNER)
def _reach(codes, at, j, sets, slack):
    """Return a weight's magnitude and sign, and the range of its levels within ``slack`` of the nearest."""
    code = np.int64(codes[at])
    magnitude, sign = abs(code), 1 if code >= 0 else -1
    levels, last = sets.levels, sets.levels.shape[1] - 1
    low = high = sets.place[j, magnitude]
    limit = (levels[j, low] - magnitude) ** 2 + slack
    while low > 0 and (levels[j, low - 1] - magnitude) ** 2 < limit:
        low -= 1
    while high < last and (levels[j, high + 1] - magnitude) ** 2 < limit:
        high += 1
    return magnitude, sign, low, high + 1


@njit(**INNER)
def _enumerate(codes, start, size, j, sets, alpha, slack, bound, chosen):
    """Return the least metric over all levels of up to four weights; small levels are tried first."""
    levels = sets.levels
    weight_a, sign_a, low_a, high_a = _reach(codes, start, j, sets, slack)
    weight_b = weight_c = weight_d = low_b = low_c = low_d = 0  # a missing weight is 0 and has level 0
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
def many(codes, start, size, j, sets, alpha, narrow, slack, bound, scratch):
    """Return the result of ``few`` for any number of weights, by dynamic programming.

    The state (i, t) has the least sum of squared errors of the weights from i on whose errors sum to t.
    ``squares`` holds these values. ``ranges[i]`` holds the number of levels of weight i, the least and the
    largest t, and the index of t = 0 in ``squares``.
    """
    _, chosen, tied, levels, errors, ranges, squares = scratch
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
    zero, before = ranges[0, 3], bound
    for t in range(ranges[0, 1], ranges[0, 2] + 1):
        bound = min(bound, squares[zero + t] + alpha * (t * t))
    if bound == before:
        return bound
    unset = True
    for t in range(ranges[0, 1], ranges[0, 2] + 1):
        if squares[zero + t] + alpha * (t * t) != bound:
            continue
        rest = t
        smaller = decided = unset  # smaller than the levels that another sum of errors gave
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
