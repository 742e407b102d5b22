"""Nearest selection: the best set of every group, compiled by Numba for the CPU.

Compilation takes about a second in every process. It is not cached on disk, because Numba does not notice a
change in a function that it inlined from another file.

There are three paths with equal results. Processors with the necessary AVX-512 instructions search blocks of
16 groups. Other processors search one group at a time, with 16 sets at once in 16-bit lanes. A 64-bit path
handles metrics that do not fit into 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from swis.encoding.search import simd
from swis.encoding.search.lanes import LANES, least_in_lanes, narrow
from swis.runtime.compiled import njit

# The innermost functions own no memory; without reference counting they are much faster.
INNER = {"nogil": True, "_nrt": False}
# Inlining saves passing their many arguments: an array alone is seven numbers or more.
INLINED = {**INNER, "forceinline": True}
# Groups per task of a thread: enough to hide the cost of its start, few enough to balance the threads.
_PART = simd.LANES << 12


def nearest(
    codes: np.ndarray, table: np.ndarray, set_ids: np.ndarray, group_size: int, alpha: float, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels of every weight and the set of least MSE++ of every group.

    ``codes`` int8 or int16 [filters, weights]. ``table`` int16 [sets, 2^B]: the level of each magnitude.
    ``set_ids`` uint8 [sets]: the ids of the sets. Returns the levels with signs in the shape and type of
    ``codes``, and the id of each group's set, uint8 [filters, groups]. A tie goes to the first set.
    """
    return run_parts(
        _part, codes, group_size, threads, Tables(table, set_ids, codes.dtype, alpha, group_size)
    )


class Tables:
    """The candidate sets in the layouts of the kernels, and which kernel can be used."""

    def __init__(
        self, table: np.ndarray, set_ids: np.ndarray, dtype: np.dtype, alpha: float, group_size: int
    ) -> None:
        sets, magnitudes = table.shape
        errors = table - np.arange(magnitudes, dtype=np.int16)
        both = np.concatenate([-errors[:, :0:-1], errors], axis=1)
        # the errors of a code under all sets are contiguous; the last set is repeated to fill the lanes
        self.errors = np.ascontiguousarray(np.pad(both, ((0, -sets % LANES), (0, 0)), mode="edge").T)
        self.sets = sets
        self.set_ids = set_ids
        self.narrow = narrow(alpha, errors, group_size)
        self.alpha = int(alpha) if self.narrow.limit else float(alpha)
        self.index_bits = int(sets - 1).bit_length()
        self.fast = (
            simd.AVAILABLE
            and dtype == np.int8
            and magnitudes <= simd.TABLE
            and alpha in range(simd.LARGEST_ALPHA + 1)
            and group_size <= simd.LARGEST_GROUP
            and simd.fits(errors, alpha, group_size)
        )
        if self.fast:
            self.by_set = np.zeros((sets, simd.TABLE), np.int8)
            self.by_set[:, :magnitudes] = errors


def run_parts(
    part: Callable, codes: np.ndarray, group_size: int, threads: int, *arguments: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Call ``part`` for ranges of groups, in threads; return the levels and the sets that it fills in."""
    filters, weights = codes.shape
    groups = -(-weights // group_size)
    flat = codes.reshape(-1)
    out = np.empty_like(codes)
    chosen = np.empty((filters, groups), np.uint8)
    starts = range(0, filters * groups, _PART)

    def work(start: int) -> None:
        end = min(start + _PART, filters * groups)
        part(flat, weights, group_size, start, end, out.reshape(-1), chosen.reshape(-1), *arguments)

    if threads == 1 or len(starts) <= 1:
        for start in starts:
            work(start)
    else:
        with ThreadPoolExecutor(min(threads, len(starts))) as pool:
            list(pool.map(work, starts))  # list() raises the exceptions of the threads
    return out, chosen


def _part(codes, weights, group_size, first, last, out, chosen, tables) -> None:
    results = (tables.set_ids, out, chosen)
    if not tables.fast:
        forms = (tables.errors, tables.sets, tables.alpha, tables.narrow)
        _singly(codes, weights, group_size, first, last, *forms, *results)
        return
    errors = (tables.by_set, int(tables.alpha), tables.index_bits)
    if group_size == 4 and weights % 4 == 0:
        # the usual case needs no copy: 16 groups of 4 codes are 64 contiguous bytes
        whole = first + (last - first) // simd.LANES * simd.LANES
        _in_place(codes, first, whole, *errors, *results)
        first = whole
    _blocks(codes, weights, group_size, first, last, *errors, *results)


@njit(nogil=True)
def _in_place(codes, first, last, errors, alpha, index_bits, set_ids, out, chosen):
    magnitudes, best = np.empty(64, np.int8), np.empty((2, 16), np.int32)
    for group in range(first, last, 16):
        if alpha == 1:
            simd.search_block(
                codes, group // 16, 1, errors, len(errors), 1, index_bits, magnitudes, out, best, None
            )
        else:
            simd.search_block(
                codes, group // 16, 1, errors, len(errors), alpha, index_bits, magnitudes, out, best, None
            )
        for lane in range(16):
            chosen[group + lane] = set_ids[best[1, lane]]


@njit(nogil=True)
def _blocks(codes, weights, group_size, first, last, errors, alpha, index_bits, set_ids, out, chosen):
    slices = (group_size + 3) // 4
    block, result = np.zeros(slices * 64, np.int8), np.empty(slices * 64, np.int8)
    magnitudes, best = np.empty(slices * 64, np.int8), np.empty((2, 16), np.int32)
    groups = -(-weights // group_size)
    for group in range(first, last, 16):
        count = min(16, last - group)
        fill_block(block, codes, weights, group_size, groups, group, count)
        simd.search_block(
            block, 0, slices, errors, len(errors), alpha, index_bits, magnitudes, result, best, None
        )
        for lane in range(count):
            start, size = place(group + lane, groups, weights, group_size)
            chosen[group + lane] = set_ids[best[1, lane]]
            for i in range(size):
                out[start + i] = result[(i // 4) * 64 + lane * 4 + i % 4]


@njit(nogil=True)
def fill_block(block, codes, weights, group_size, groups, group, count):
    """Copy ``count`` groups into the layout of ``simd.search_block``."""
    for lane in range(count):
        start, size = place(group + lane, groups, weights, group_size)
        for i in range(size):
            block[(i // 4) * 64 + lane * 4 + i % 4] = codes[start + i]
        for i in range(size, group_size):
            block[(i // 4) * 64 + lane * 4 + i % 4] = 0


@njit(inline="always")
def place(group, groups, weights, group_size):
    """Return the index of a group's first weight in the flat codes, and its number of weights."""
    row, number = group // groups, group % groups
    return row * weights + number * group_size, min(group_size, weights - number * group_size)


@njit(nogil=True)
def _singly(codes, weights, group_size, first, last, errors, sets, alpha, narrow, set_ids, out, chosen):
    # allocated here, so that two threads never write to the same cache line
    square, total = np.empty(sets, np.int64), np.empty(sets, np.int64)
    zero, groups = errors.shape[0] // 2, -(-weights // group_size)
    start, end = place(first, groups, weights, group_size)[0], (first // groups + 1) * weights
    for group in range(first, last):
        size = min(group_size, end - start)  # ``place`` divides, which takes as long as half a search
        _, best = least_of_group(codes, start, size, errors, alpha, narrow, None, square, total)
        chosen[group] = set_ids[best]
        for i in range(start, start + size):
            out[i] = codes[i] + errors[zero + codes[i], best]
        start += size
        if start == end:
            end += weights


@njit(**INLINED)
def least_of_group(codes, start, size, errors, alpha, narrow, squares, square, total):
    """Return the least metric of a group, and the first set that has it.

    ``squares`` is None, or the same array as ``square``, which then holds the sum of squares of every set.
    """
    if narrow.limit > 0:
        one, reach = np.uint16(1), narrow.reach
        if size == 4 and narrow.alpha == one:  # the usual case; constants give faster code
            metric, best = least_in_lanes(codes, start, 4, errors, one, reach, squares)
        else:
            metric, best = least_in_lanes(codes, start, size, errors, narrow.alpha, reach, squares)
        if metric < narrow.limit:
            return metric, best
    return _least_in_64_bits(codes, start, size, errors, alpha, square, total)


@njit(**INNER)
def _least_in_64_bits(codes, start, size, errors, alpha, square, total):
    """Return the result of ``least_of_group`` in 64-bit arithmetic, four weights at a time."""
    zero, end = errors.shape[0] // 2, start + size
    for i in range(start, end, 4):
        a = errors[zero + codes[i]]
        b = errors[zero + (codes[i + 1] if i + 1 < end else 0)]
        c = errors[zero + (codes[i + 2] if i + 2 < end else 0)]
        d = errors[zero + (codes[i + 3] if i + 3 < end else 0)]
        if i == start:  # assigned, not added to zeros: reading just-written memory is slow
            for j in range(len(square)):
                total[j] = a[j] + b[j] + c[j] + d[j]
                square[j] = a[j] * a[j] + b[j] * b[j] + c[j] * c[j] + d[j] * d[j]
        else:
            for j in range(len(square)):
                total[j] += a[j] + b[j] + c[j] + d[j]
                square[j] += a[j] * a[j] + b[j] * b[j] + c[j] * c[j] + d[j] * d[j]
    best, least = 0, square[0] + alpha * (total[0] * total[0])
    for j in range(1, len(square)):
        metric = square[j] + alpha * (total[j] * total[j])
        if metric < least:
            best, least = j, metric
    return least, best
