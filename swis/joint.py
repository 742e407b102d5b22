"""Masks of a group chosen together: the least MSE++ over all levels of all its weights.

For one set, MSE++ is the sum of squared errors plus alpha times the square of their sum. No choice has
a smaller sum of squares than the nearest levels, so a set whose nearest levels already reach the best
metric found is skipped: of 35 sets about two remain.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from swis import simd
from swis.fit import few, many, scratch_of, sets_of
from swis.search import INNER, Tables, fill_block, place, run_parts, sums_of_group


def joint(
    codes: np.ndarray,
    table: np.ndarray,
    fields: np.ndarray,
    levels: np.ndarray,
    group_size: int,
    alpha: float,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Give every group the set and the levels of least MSE++.

    As ``swis.search.nearest``, with ``levels`` int16 [sets, 2^N]: every set's levels, ascending. Of
    equal solutions the first set wins, then the smallest level of the first weight that differs.
    """
    tables = Tables(table, fields, codes.dtype, alpha, group_size)
    return run_parts(_part, codes, group_size, threads, tables, sets_of(levels, table.shape[1]))


def _part(codes, weights, group_size, first, last, out, chosen, tables, sets) -> None:
    where = (codes, weights, group_size, first, last)
    search = (few if group_size <= 4 else many, sets, scratch_of(group_size, sets))
    if tables.fast:
        errors = (tables.errors, int(tables.alpha), tables.index_bits)
        _fast(*where, *search, *errors, tables.fields, out, chosen)
    else:
        _plain(*where, *search, tables.by_code, tables.alpha, tables.fields, out, chosen)


@njit(nogil=True)
def _fast(
    codes,
    weights,
    group_size,
    first,
    last,
    fit,
    sets,
    scratch,
    errors,
    alpha,
    index_bits,
    fields,
    out,
    chosen,
):
    slices = (group_size + 3) // 4
    block, result = np.zeros(slices * 64, np.int8), np.empty(slices * 64, np.int8)
    magnitudes, best = np.empty(slices * 64, np.int8), np.empty((2, 16), np.int32)
    squares = np.empty((len(errors), 16), np.int32)
    groups = -(-weights // group_size)
    for group in range(first, last, 16):
        count = min(16, last - group)
        fill_block(block, codes, weights, group_size, groups, group, count)
        simd.search_block(
            block, 0, slices, errors, len(errors), alpha, index_bits, magnitudes, result, best, squares
        )
        for lane in range(count):
            start, size = place(group + lane, groups, weights, group_size)
            least = np.int64(best[0, lane])
            nearest = (best[1, lane], least, least + 1)
            winner = _refine(codes, start, size, squares, lane, nearest, fit, sets, scratch, alpha, out)
            chosen[group + lane] = fields[winner]


@njit(nogil=True)
def _plain(codes, weights, group_size, first, last, fit, sets, scratch, by_code, alpha, fields, out, chosen):
    square, total = np.empty((by_code.shape[1], 1), by_code.dtype), np.empty(by_code.shape[1], by_code.dtype)
    groups = -(-weights // group_size)
    for group in range(first, last):
        start, size = place(group, groups, weights, group_size)
        sums_of_group(codes, start, size, by_code, square[:, 0], total)
        metrics = square[:, 0] + alpha * (total * total)
        winner = metrics.argmin()
        nearest = (winner, metrics[winner], np.nextafter(metrics[winner], np.inf))
        winner = _refine(codes, start, size, square, 0, nearest, fit, sets, scratch, alpha, out)
        chosen[group] = fields[winner]


@njit(**INNER)
def _refine(codes, start, size, squares, lane, nearest, fit, sets, scratch, alpha, out):
    """Write the best levels of the group at codes[start:start + size]; return the index of its set.

    ``nearest``: the set that wins with nearest levels, the metric it reaches, and the next number above
    (all integers, or floats if alpha is one).
    """
    winner, least, bound = nearest
    for j in range(len(squares)):
        square = squares[j, lane]
        if square >= bound:
            continue
        detour = sets.near[j, abs(np.int64(codes[start])), 1]
        for i in range(start + 1, start + size):
            detour = min(detour, sets.near[j, abs(np.int64(codes[i])), 1])
        if square + detour >= bound:  # no other levels than the nearest
            if j == nearest[0] and least < bound:
                bound, winner = least, j
                for i in range(start, start + size):
                    code = np.int64(codes[i])
                    level = sets.levels[j, sets.near[j, abs(code), 0]]
                    out[i] = -level if code < 0 else level
            continue
        found = fit(codes, start, size, j, sets, alpha, bound - square, bound, scratch)
        if found < bound:
            bound, winner = found, j
            for i in range(size):
                level = scratch.chosen[i]
                out[start + i] = -level if codes[start + i] < 0 else level
    return winner
