"""Masks of a group chosen together: the least MSE++ over all levels of all its weights.

For one set, MSE++ is the sum of squared errors plus alpha times the square of their sum. No choice has
a smaller sum of squares than the nearest levels, so a set whose nearest levels already reach the best
metric found is skipped: of 35 sets about two remain.
"""

from __future__ import annotations

import numpy as np
from numba import njit  # not kept on disk: a function is an argument, which no other process finds again

from swis.encoding.search import simd
from swis.encoding.search.fit import few, many, scratch_of, sets_of
from swis.encoding.search.nearest import INLINED, Tables, fill_block, least_of_group, place, run_parts


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

    As ``swis.encoding.search.nearest.nearest``, with ``levels`` int16 [sets, 2^N]: every set's levels,
    ascending. Of equal solutions the first set wins, then the smallest level of the first weight that
    differs.
    """
    tables = Tables(table, fields, codes.dtype, alpha, group_size)
    return run_parts(_part, codes, group_size, threads, tables, sets_of(levels, table.shape[1]))


def _part(codes, weights, group_size, first, last, out, chosen, tables, sets) -> None:
    where = (codes, weights, group_size, first, last)
    search = (few if group_size <= 4 else many, sets, scratch_of(group_size, sets))
    metric = (tables.alpha, tables.narrow)
    if tables.fast:
        _blocks(*where, *search, *metric, tables.by_set, tables.index_bits, tables.fields, out, chosen)
    else:
        _singly(*where, *search, *metric, tables.errors, tables.fields, out, chosen)


@njit(nogil=True)
def _blocks(
    codes,
    weights,
    group_size,
    first,
    last,
    fit,
    sets,
    scratch,
    alpha,
    narrow,
    errors,
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
            winner = _refine(codes, start, size, squares, lane, least, fit, sets, scratch, alpha, narrow, out)
            chosen[group + lane] = fields[winner]


@njit(nogil=True)
def _singly(
    codes,
    weights,
    group_size,
    first,
    last,
    fit,
    sets,
    scratch,
    alpha,
    narrow,
    errors,
    fields,
    out,
    chosen,
):
    # 32 bits hold the squares of the largest group, 64 times 255^2
    square, total = np.empty(errors.shape[1], np.int32), np.empty(errors.shape[1], np.int32)
    squares, groups = square.reshape(-1, 1), -(-weights // group_size)
    for group in range(first, last):
        start, size = place(group, groups, weights, group_size)
        least, _ = least_of_group(codes, start, size, errors, alpha, narrow, square, square, total)
        winner = _refine(codes, start, size, squares, 0, least, fit, sets, scratch, alpha, narrow, out)
        chosen[group] = fields[winner]


@njit(**INLINED)
def _refine(codes, start, size, squares, lane, least, fit, sets, scratch, alpha, narrow, out):
    """Write the best levels of the group at codes[start:start + size]; return the index of its set.

    ``least``: the metric that is reached with nearest levels.
    """
    winner, bound = 0, least + 1 + least // 2**40  # any number above it, be it an integer or a float
    count = 0
    for j in range(len(sets.levels)):  # no branch here: it would be mispredicted for every set that passes
        scratch.candidates[count] = j
        count += squares[j, lane] < bound
    for k in range(count):
        j = scratch.candidates[k]
        square = squares[j, lane]
        if square >= bound:
            continue
        found = fit(codes, start, size, j, sets, alpha, narrow, bound - square, bound, scratch)
        if found < bound:
            bound, winner = found, j
    for i in range(size):
        level = scratch.chosen[i]
        out[start + i] = -level if codes[start + i] < 0 else level
    return winner
