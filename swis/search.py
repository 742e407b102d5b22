"""The search for the best shift set of every group, compiled by Numba for the CPU.

Compiling takes about a second in every process. It is not cached on disk: Numba would not notice
that a function which it inlined from another file has changed.

Every path below gives the same answer: the fast one for processors with the right instructions, the
plain one for all others and for what the fast one's integers could not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit

from swis import simd

# Counting references in the innermost functions would take longer than the search: they own no memory.
INNER = {"nogil": True, "_nrt": False}
# Groups that one thread takes at a time: enough to forget its start, few enough to share them out.
_PART = simd.LANES << 12


def nearest(
    codes: np.ndarray, table: np.ndarray, fields: np.ndarray, group_size: int, alpha: float, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Give every group the set of least MSE++ when each weight takes its level of ``table``.

    ``codes`` int8 or int16 [filters, weights]; ``table`` int16 [sets, 2^B], the level of each magnitude;
    ``fields`` uint8 [sets], what to call the sets. Returns the levels with sign, as ``codes``, and the
    field of each group's set [filters, groups]. Of equal sets the first wins.
    """
    return run_parts(_part, codes, group_size, threads, Tables(table, fields, codes.dtype, alpha, group_size))


class Tables:
    """The candidate sets in the forms the kernels read, and whether the fast ones can be used."""

    def __init__(
        self, table: np.ndarray, fields: np.ndarray, dtype: np.dtype, alpha: float, group_size: int
    ) -> None:
        sets, magnitudes = table.shape
        errors = table - np.arange(magnitudes, dtype=np.int16)
        self.fields = fields
        # no metric, alpha (M e)^2 + M e^2 with e < 2^7, exceeds 32 bits
        integral = (
            alpha in range(simd.LARGEST_ALPHA + 1)
            and magnitudes <= simd.TABLE
            and group_size <= simd.LARGEST_GROUP
        )
        self.alpha = np.int32(alpha) if integral else float(alpha)
        # rows or columns for signed codes; a code's errors under all sets lie side by side
        self.levels = np.concatenate([-table[:, :0:-1], table], axis=1).astype(dtype)
        both = np.concatenate([-errors[:, :0:-1], errors], axis=1)
        self.by_code = np.ascontiguousarray(both.T.astype(np.int32 if integral else np.int64))
        self.index_bits = int(sets - 1).bit_length()
        self.fast = integral and simd.AVAILABLE and dtype == np.int8
        if self.fast:
            self.errors = np.zeros((sets, simd.TABLE), np.int8)
            self.errors[:, :magnitudes] = errors


def run_parts(
    part: Callable, codes: np.ndarray, group_size: int, threads: int, *arguments: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Call ``part`` for ranges of groups, in threads; return the arrays it fills."""
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
            list(pool.map(work, starts))  # list: so that an exception is raised here
    return out, chosen


def _part(codes, weights, group_size, first, last, out, chosen, tables) -> None:
    results = (tables.fields, out, chosen)
    if not tables.fast:
        least = _least_float if isinstance(tables.alpha, float) else _least_integer
        plain = (least, tables.by_code, tables.levels, tables.alpha)
        _plain(codes, weights, group_size, first, last, *plain, *results)
        return
    errors = (tables.errors, int(tables.alpha), tables.index_bits)
    if group_size == 4 and weights % 4 == 0:
        # the usual case needs no rearranging: 16 groups of 4 are 64 bytes in a row
        whole = first + (last - first) // simd.LANES * simd.LANES
        _in_place(codes, first, whole, *errors, *results)
        first = whole
    _blocks(codes, weights, group_size, first, last, *errors, *results)


@njit(nogil=True)
def _in_place(codes, first, last, errors, alpha, index_bits, fields, out, chosen):
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
            chosen[group + lane] = fields[best[1, lane]]


@njit(nogil=True)
def _blocks(codes, weights, group_size, first, last, errors, alpha, index_bits, fields, out, chosen):
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
            chosen[group + lane] = fields[best[1, lane]]
            for i in range(size):
                out[start + i] = result[(i // 4) * 64 + lane * 4 + i % 4]


@njit(nogil=True)
def fill_block(block, codes, weights, group_size, groups, group, count):
    """Lay ``count`` groups out as ``simd.search_block`` reads them."""
    for lane in range(count):
        start, size = place(group + lane, groups, weights, group_size)
        for i in range(size):
            block[(i // 4) * 64 + lane * 4 + i % 4] = codes[start + i]
        for i in range(size, group_size):
            block[(i // 4) * 64 + lane * 4 + i % 4] = 0


@njit(inline="always")
def place(group, groups, weights, group_size):
    """Where a group's weights start in the flat codes, and how many there are."""
    row, number = group // groups, group % groups
    return row * weights + number * group_size, min(group_size, weights - number * group_size)


@njit(nogil=True)
def _plain(codes, weights, group_size, first, last, least, by_code, levels, alpha, fields, out, chosen):
    # allocated here, so that no two threads write to the same line of the cache
    square, total = np.empty(by_code.shape[1], by_code.dtype), np.empty(by_code.shape[1], by_code.dtype)
    groups = -(-weights // group_size)
    for group in range(first, last):
        start, size = place(group, groups, weights, group_size)
        best = least(codes, start, size, by_code, alpha, square, total)
        chosen[group] = fields[best]
        for i in range(start, start + size):
            out[i] = levels[best, by_code.shape[0] // 2 + codes[i]]


@njit(**INNER)
def _least_integer(codes, start, size, by_code, alpha, square, total):
    """Return the first set of least metric, without a branch: its index is part of what is compared."""
    sums_of_group(codes, start, size, by_code, square, total)
    best = np.int64(1) << 62
    for j in range(by_code.shape[1]):
        metric = square[j] + alpha * np.int64(total[j]) * np.int64(total[j])
        best = min(best, metric << 8 | j)
    return best & 255


@njit(**INNER)
def _least_float(codes, start, size, by_code, alpha, square, total):
    sums_of_group(codes, start, size, by_code, square, total)
    best, least = 0, np.inf
    for j in range(by_code.shape[1]):
        metric = square[j] + alpha * (total[j] * total[j])
        if metric < least:
            best, least = j, metric
    return best


@njit(inline="always", **INNER)
def sums_of_group(codes, start, size, by_code, square, total):
    """Sum the squares and the errors of a group under every set, four weights at a time."""
    zero, end = by_code.shape[0] // 2, start + size
    for i in range(start, end, 4):
        a = by_code[zero + codes[i]]
        b = by_code[zero + (codes[i + 1] if i + 1 < end else 0)]
        c = by_code[zero + (codes[i + 2] if i + 2 < end else 0)]
        d = by_code[zero + (codes[i + 3] if i + 3 < end else 0)]
        if i == start:  # not added to zeros: reading what was just written takes long
            for j in range(len(a)):
                total[j] = a[j] + b[j] + c[j] + d[j]
                square[j] = a[j] * a[j] + b[j] * b[j] + c[j] * c[j] + d[j] * d[j]
        else:
            for j in range(len(a)):
                total[j] += a[j] + b[j] + c[j] + d[j]
                square[j] += a[j] * a[j] + b[j] * b[j] + c[j] * c[j] + d[j] * d[j]
