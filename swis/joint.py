"""Masks of a group chosen together: the least MSE++ over all levels of all its weights.

For one set, MSE++ is the sum of squared errors plus alpha times the square of their sum. No choice has
a smaller sum of squares than the nearest levels, so a set whose nearest levels already reach the best
metric found is skipped: of 35 sets about two remain. Those are searched exactly, groups of up to four
weights by enumeration, larger ones by dynamic programming over the sum of errors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from swis import simd
from swis.search import Tables, fill_block, place, run_parts, sums_of_group


def joint(
    codes: np.ndarray,
    table: np.ndarray,
    fields: np.ndarray,
    choices: np.ndarray,
    group_size: int,
    alpha: float,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Give every group the set and the levels of least MSE++.

    As ``swis.search.nearest``, with ``choices`` int16 [sets, 2^N]: every set's levels, ascending. Of
    equal solutions the first set wins, then the smallest level of the first weight that differs.
    """
    tables = Tables(table, fields, codes.dtype, alpha, group_size)
    rank = np.stack([np.searchsorted(row, nearest) for row, nearest in zip(choices, table, strict=True)])
    squares = (choices[:, :, None].astype(np.int64) - np.arange(table.shape[1])) ** 2
    squares.partition(1, axis=1)
    sets = _Sets(choices.astype(np.int64), rank.astype(np.int64), squares[:, 1] - squares[:, 0])
    return run_parts(_part, codes, group_size, threads, tables, sets)


class _Sets(NamedTuple):
    """Of every set: its levels, and for each magnitude the nearest one's place and the next one's price.

    ``detours`` [sets, 2^B] is how much the squared error grows when a weight takes the second
    nearest level instead of the nearest.
    """

    choices: np.ndarray
    ranks: np.ndarray
    detours: np.ndarray


def _part(codes, weights, group_size, first, last, out, chosen, tables, sets) -> None:
    where = (codes, weights, group_size, first, last)
    solve = _enumerate if group_size <= 4 else _programme
    if tables.fast:
        errors = (tables.errors, int(tables.alpha), tables.index_bits)
        _fast(*where, solve, *errors, sets, tables.fields, out, chosen)
    else:
        _plain(*where, solve, tables.by_code, tables.alpha, sets, tables.fields, out, chosen)


@njit(nogil=True)
def _fast(
    codes, weights, group_size, first, last, solve, errors, alpha, index_bits, sets, fields, out, chosen
):
    slices = (group_size + 3) // 4
    block, result = np.zeros(slices * 64, np.int8), np.empty(slices * 64, np.int8)
    magnitudes, best = np.empty(slices * 64, np.int8), np.empty((2, 16), np.int32)
    squares = np.empty((len(errors), 16), np.int32)
    levels = np.zeros(max(group_size, 4), np.int64)
    groups = -(-weights // group_size)
    for group in range(first, last, 16):
        count = min(16, last - group)
        fill_block(block, codes, weights, group_size, groups, group, count)
        simd.search_block(
            block, 0, slices, errors, len(errors), alpha, index_bits, magnitudes, result, best, squares
        )
        for lane in range(count):
            start, size = place(group + lane, groups, weights, group_size)
            least, winner = np.int64(best[0, lane]), best[1, lane]
            winner = _refine(
                codes,
                start,
                size,
                squares[:, lane],
                least,
                least + 1,
                winner,
                alpha,
                sets,
                solve,
                levels,
                out,
            )
            chosen[group + lane] = fields[winner]


@njit(nogil=True)
def _plain(codes, weights, group_size, first, last, solve, by_code, alpha, sets, fields, out, chosen):
    square, total = np.empty(by_code.shape[1], np.int64), np.empty(by_code.shape[1], np.int64)
    levels = np.zeros(max(group_size, 4), np.int64)
    groups = -(-weights // group_size)
    for group in range(first, last):
        start, size = place(group, groups, weights, group_size)
        sums_of_group(codes, start, size, by_code, square, total)
        metrics = square + alpha * (total * total)
        winner = metrics.argmin()
        least, above = metrics[winner], np.nextafter(metrics[winner], np.inf)
        winner = _refine(codes, start, size, square, least, above, winner, alpha, sets, solve, levels, out)
        chosen[group] = fields[winner]


@njit(nogil=True, inline="always")
def _refine(codes, start, size, squares, least, bound, nearest, alpha, sets, solve, levels, out):
    """Write the best levels of the group at codes[start:start + size]; return the index of its set.

    ``least`` is the metric that the set ``nearest`` reaches with nearest levels, ``bound`` the next
    number above it (all integers, or floats if alpha is one).
    """
    winner = nearest
    for j in range(len(squares)):
        if squares[j] >= bound:
            continue
        detour = sets.detours[j, abs(np.int64(codes[start]))]
        for i in range(start + 1, start + size):
            detour = min(detour, sets.detours[j, abs(np.int64(codes[i]))])
        if squares[j] + detour >= bound:  # no other levels than the nearest
            if j == nearest and least < bound:
                bound, winner = least, j
                for i in range(start, start + size):
                    code = np.int64(codes[i])
                    level = sets.choices[j, sets.ranks[j, abs(code)]]
                    out[i] = -level if code < 0 else level
            continue
        found = solve(codes, start, size, j, sets, alpha, bound - squares[j], bound, levels)
        if found < bound:
            bound, winner = found, j
            for i in range(size):
                out[start + i] = -levels[i] if codes[start + i] < 0 else levels[i]
    return winner


@njit(nogil=True, inline="always")
def _reach(codes, at, j, sets, slack):
    """Return a weight's magnitude, its sign and the range of levels less than ``slack`` above the nearest."""
    code = np.int64(codes[at])
    magnitude, sign = abs(code), 1 if code >= 0 else -1
    low = high = sets.ranks[j, magnitude]
    if sets.detours[j, magnitude] < slack:
        limit = (sets.choices[j, low] - magnitude) ** 2 + slack
        while low > 0 and (sets.choices[j, low - 1] - magnitude) ** 2 < limit:
            low -= 1
        while high + 1 < sets.choices.shape[1] and (sets.choices[j, high + 1] - magnitude) ** 2 < limit:
            high += 1
    return magnitude, sign, low, high + 1


@njit(nogil=True)
def _enumerate(codes, start, size, j, sets, alpha, slack, bound, chosen):
    """Try the levels of up to four weights, small ones first; keep the first of the best below ``bound``."""
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
        error_a = sign_a * (sets.choices[j, a] - weight_a)
        for b in range(low_b, high_b):
            error_b = sign_b * (sets.choices[j, b] - weight_b)
            square_b = error_a * error_a + error_b * error_b
            if square_b >= bound:
                continue
            for c in range(low_c, high_c):
                error_c = sign_c * (sets.choices[j, c] - weight_c)
                square_c = square_b + error_c * error_c
                if square_c >= bound:
                    continue
                for d in range(low_d, high_d):
                    error_d = sign_d * (sets.choices[j, d] - weight_d)
                    total = error_a + error_b + error_c + error_d
                    metric = square_c + error_d * error_d + alpha * (total * total)
                    if metric < bound:
                        bound = metric
                        chosen[0], chosen[1] = sets.choices[j, a], sets.choices[j, b]
                        chosen[2], chosen[3] = sets.choices[j, c], sets.choices[j, d]
    return bound


@njit(nogil=True)
def _programme(codes, start, size, j, sets, alpha, slack, bound, chosen):
    """Find the least metric below ``bound`` by the least sum of squares for every sum of errors.

    square[i][t]: the least sum of squares of weights i.. whose errors add up to t.
    """
    counts = np.empty(size, np.int64)
    levels, errors = (
        np.empty((size, sets.choices.shape[1]), np.int64),
        np.empty((size, sets.choices.shape[1]), np.int64),
    )
    low, high = np.zeros(size + 1, np.int64), np.zeros(size + 1, np.int64)
    for i in range(size - 1, -1, -1):
        magnitude, sign, first, last = _reach(codes, start + i, j, sets, slack)
        counts[i] = last - first
        for k in range(counts[i]):
            levels[i, k] = sets.choices[j, first + k]
            errors[i, k] = sign * (levels[i, k] - magnitude)
        row = errors[i, : counts[i]]
        low[i], high[i] = low[i + 1] + row.min(), high[i + 1] + row.max()
    unreached = np.int64(1) << 60
    square = np.full((size + 1, (high - low).max() + 1), unreached)
    square[size, 0] = 0
    for i in range(size - 1, -1, -1):
        for k in range(counts[i]):
            error = errors[i, k]
            for t in range(low[i + 1], high[i + 1] + 1):
                value = square[i + 1, t - low[i + 1]] + error * error
                column = t + error - low[i]
                square[i, column] = min(square[i, column], value)
    for t in range(low[0], high[0] + 1):
        metric = square[0, t - low[0]] + alpha * (t * t)
        bound = min(bound, metric)
    tied, unset = np.zeros(size, np.int64), True
    for t in range(low[0], high[0] + 1):
        if square[0, t - low[0]] + alpha * (t * t) != bound:
            continue
        rest = t
        smaller = unset  # than the levels chosen for another sum of errors
        decided = unset
        for i in range(size):
            for k in range(counts[i]):
                error = errors[i, k]
                after = rest - error
                if low[i + 1] <= after <= high[i + 1] and (
                    square[i + 1, after - low[i + 1]] + error * error == square[i, rest - low[i]]
                ):
                    tied[i] = levels[i, k]
                    rest = after
                    break
            if not decided and tied[i] != chosen[i]:
                smaller, decided = tied[i] < chosen[i], True
        if smaller:
            chosen[:size] = tied
        unset = False
    return bound
