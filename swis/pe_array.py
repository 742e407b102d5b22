"""One fold of the SWIS array, in closed form and cycle by cycle with real operands (reconstructed).

The array is output stationary: a row of processing elements computes one filter, a column one output pixel.
An element holds a group of M activations and, of a filter's group, signs, masks and shift set. Every cycle it
adds, for one shift (single-shift) or two (double-shift), the activations that the masks let through, shifts
that sum and accumulates it. Groups of activations move down the columns, groups of weights along the rows,
one element a cycle, so all rows keep the pace of the filter with the most shifts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from swis.tiling import Work, filter_folds
from swis.workload import Layer


def fold_cycles(groups: int, shifts: np.ndarray, rows: int, columns: int, shifts_per_cycle: int) -> int:
    """Return the cycles from the first operand to the last sum of a fold.

    ``groups`` of every filter; ``shifts`` [filters], at most ``rows`` of them: a group takes as long as the
    most shifts in the fold, an odd one of a double-shift element half in vain. The last element starts
    rows + columns - 2 cycles after the first, used or not.

    >>> fold_cycles(groups=9, shifts=np.array([2, 3]), rows=8, columns=8, shifts_per_cycle=2)
    32
    """
    return groups * int(-(-shifts.max() // shifts_per_cycle)) + rows + columns - 2


def layer_work(
    layer: Layer,
    shifts: np.ndarray,
    group_size: int,
    rows: int,
    columns: int,
    shifts_per_cycle: int,
    side_by_side: bool = False,
) -> Work:
    """Return the work of a layer, one fold after another.

    ``shifts`` [out_channels] are those of the filters in the order they occupy the rows; a fold has ``rows``
    of one convolution group and ``columns`` output pixels. With groups of one weight and one shift it is the
    output-stationary ``swis.systolic.systolic_work``. With ``side_by_side`` the rows hold filters of as many
    whole groups of a convolution as fit, such as ``rows`` channels of a depthwise layer, each fed with
    activations of its own. Raises ``ValueError`` for another number of filters.

    >>> layer = Layer("dw", 64, 64, 3, 3, 56, 56, 56, 56, groups=64)
    >>> [layer_work(layer, np.full(64, 2), 4, 8, 8, 1, side).cycles(layer) for side in (False, True)]
    [501760, 62720]
    """
    if shifts.shape != (layer.out_channels,):
        raise ValueError(f"layer {layer.name} has {layer.out_channels} filters, shifts are {shifts.shape}")
    groups = -(-layer.filter_weights // group_size)
    starts, bundle = filter_folds(layer, rows, side_by_side)
    paces = -(-shifts // shifts_per_cycle)
    steps = groups * int(np.maximum.reduceat(paces, starts).sum())
    busy = layer.pixels * layer.filter_weights * int(paces.sum())
    restart = rows + columns - 2
    return Work(rows, columns, group_size, steps, len(starts), busy, restart, bundle=bundle)


@dataclass
class _Element:
    """A processing element: what it works on, for how long already, and its sum."""

    activations: np.ndarray | None = None
    weights: tuple[np.ndarray, list[int]] | None = None
    cycle: int = 0
    total: int = 0
    arriving: list = field(default_factory=lambda: [None, None])


def simulate_fold(
    activations: np.ndarray,
    codes: np.ndarray,
    sets: np.ndarray,
    group_size: int,
    rows: int,
    columns: int,
    shifts_per_cycle: int,
) -> tuple[np.ndarray, int]:
    """Run a fold cycle by cycle; return the sums int64 [filters, pixels] and the cycles it took.

    ``activations`` int [pixels, K], at most ``columns`` pixels; ``codes`` int [filters, K], at most ``rows``;
    ``sets`` uint8 [filters, ceil(K / M)], bit fields that hold all bits of their groups' codes. Raises
    ``ValueError`` if a code has a bit outside its set.
    """
    groups = sets.shape[1]
    padding = ((0, 0), (0, groups * group_size - codes.shape[1]))
    codes = np.pad(codes.astype(np.int64), padding).reshape(len(codes), groups, group_size)
    activations = np.pad(activations.astype(np.int64), padding).reshape(len(activations), groups, group_size)
    if np.any(np.abs(codes) & ~sets.astype(np.int64)[:, :, None]):
        raise ValueError("a code has a bit outside its group's shift set")
    chosen = [[[s for s in range(8) if fields >> s & 1] for fields in row] for row in sets.tolist()]
    pace = max(1, *(-(-len(shifts) // shifts_per_cycle) for row in chosen for shifts in row))
    array = [[_Element() for _ in range(columns)] for _ in range(rows)]
    cycle = last = 0
    while cycle <= last:
        # a new group enters each column and row in its turn: the array is fed askew
        for column in range(columns):
            group, wait = divmod(cycle - column, pace)
            if wait == 0 and 0 <= group < groups:
                pixel = activations[column, group] if column < len(activations) else None
                array[0][column].arriving[0] = (group, pixel)
        for row in range(rows):
            group, wait = divmod(cycle - row, pace)
            if wait == 0 and 0 <= group < groups:
                weights = (codes[row, group], chosen[row][group]) if row < len(codes) else None
                array[row][0].arriving[1] = (group, weights)
        moves = []
        for row, line in enumerate(array):
            for column, element in enumerate(line):
                operands = element.arriving
                if operands[0] is not None or operands[1] is not None:
                    assert operands[0][0] == operands[1][0], "operands of different groups meet"
                    element.activations, element.weights = operands[0][1], operands[1][1]
                    element.cycle, element.arriving = 0, [None, None]
                    moves += [(row + 1, column, 0, operands[0]), (row, column + 1, 1, operands[1])]
                    last = max(last, cycle + pace - 1)
                _work(element, shifts_per_cycle)
        for row, column, side, operand in moves:
            if row < rows and column < columns:
                array[row][column].arriving[side] = operand
                last = max(last, cycle + 1)
        cycle += 1
    sums = [[element.total for element in line[: len(activations)]] for line in array[: len(codes)]]
    return np.array(sums, np.int64), cycle


def _work(element: _Element, shifts_per_cycle: int) -> None:
    """Do one cycle: masks, adders, shifters, accumulator."""
    if element.activations is None or element.weights is None:
        return
    codes, shifts = element.weights
    first = element.cycle * shifts_per_cycle
    for shift in shifts[first : first + shifts_per_cycle]:
        masks = np.abs(codes) >> shift & 1
        element.total += int((np.sign(codes) * masks * element.activations).sum()) << shift
    element.cycle += 1
