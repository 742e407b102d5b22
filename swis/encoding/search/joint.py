"""Joint selection: the levels of a group are chosen together, for the least MSE++.

The nearest levels have the least sum of squared errors, which is a lower bound of a set's metric. A set whose
bound is not below the best metric so far is skipped: about two of 35 sets remain.
"""

from __future__ import annotations

import numpy as np
from numba import njit  # without a cache on disk, because a function argument has no stable key

from swis.encoding.search import simd
from swis.encoding.search.fit import few, many, scratch_of, sets_of
from swis.encoding.search.nearest import INLINED, Tables, fill_block, least_of_group, place, run_parts


def joint(
    codes: np.ndarray,
    table: np.ndarray,
    set_ids: np.ndarray,
    levels: np.ndarray,
    group_size: int,
    alpha: float,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels and the set of least MSE++ of every group.

    Arguments and results are those of ``swis.encoding.search.nearest.nearest``. ``levels`` int16 [sets, 2^N]
    are the levels of every set, ascending. A tie goes to the first set, then to the smallest level of the
    first weight that differs.
    """
    tables = Tables(table, set_ids, codes.dtype, alpha, group_size)
    return run_parts(_part, codes, group_size, threads, tables, sets_of(levels, table.shape[1]))


def _part(codes, weights, group_size, first, last, out, chosen, tables, sets) -> None:
    where = (codes, weights, group_size, first, last)
    search = (few if group_size <= 4 else many, sets, scratch_of(group_size, sets))
    metric = (tables.alpha, tables.narrow)
    if tables.fast:
        _blocks(*where, *search, *metric, tables.by_set, tables.index_bits, tables.set_ids, out, chosen)
    else:
        _singly(*where, *search, *metric, tables.errors, tables.set_ids, out, chosen)


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
    set_ids,
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
            chosen[group + lane] = set_ids[winner]


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
    set_ids,
    out,
    chosen,
):
    # the largest sum of squares, 64 x 255^2, fits into 32 bits
    square, total = np.empty(errors.shape[1], np.int32), np.empty(errors.shape[1], np.int32)
    squares, groups = square.reshape(-1, 1), -(-weights // group_size)
    for group in range(first, last):
        start, size = place(group, groups, weights, group_size)
        least, _ = least_of_group(codes, start, size, errors, alpha, narrow, square, square, total)
        winner = _refine(codes, start, size, squares, 0, least, fit, sets, scratch, alpha, narrow, out)
        chosen[group] = set_ids[winner]


@njit(**INLINED)
def _refine(codes, start, size, squares, lane, least, fit, sets, scratch, alpha, narrow, out):
    """Write the best levels of the group codes[start:start + size] to ``out``; return the index of its set.

    ``least`` is the least metric with nearest levels.
    """
    winner, bound = 0, least + 1 + least // 2**40  # above ``least``, for integers and for floats
    count = 0
    for j in range(len(sets.levels)):  # without a branch, because it would be mispredicted too often
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
