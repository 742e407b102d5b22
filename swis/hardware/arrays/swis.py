"""A fold of the SWIS array, in closed form and cycle by cycle with real operands (reconstructed).

The array is output stationary: a row of processing elements (PEs) computes one filter, a column one output
pixel. A PE has a number of lanes. It holds one activation per lane, and the signs, masks and shift set of a
group of weights. In every cycle it handles one shift (single-shift) or two (double-shift): it adds the
activations whose masks are set, shifts the sum and accumulates it. A group with more weights than lanes is
processed in several portions with the same shift set. A group with fewer weights leaves lanes idle, unless
every lane has its own shifter. Portions of activations move down the columns and portions of weights along
the rows, one PE per cycle, so all rows of a fold take the time of the filter with the most shifts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import lcm

import numpy as np

from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork, filter_folds


def portions(weights: int, lanes: int, group_size: int | None = None) -> int:
    """Return the number of portions of at most ``lanes`` weights in a filter of ``weights``.

    A portion never has weights of two groups; with ``group_size`` None the filter is one group.

    >>> [portions(12, 4, group_size) for group_size in (None, 2, 3, 4, 6, 8)]
    [3, 6, 4, 3, 4, 3]
    """
    whole, rest = divmod(weights, group_size or weights)
    return whole * -(-(group_size or weights) // lanes) + -(-rest // lanes)


def fold_cycles(portions: int, shifts: np.ndarray, rows: int, columns: int, shifts_per_cycle: int) -> int:
    """Return the cycles from the first operand to the last sum of a fold.

    ``portions`` is the number of portions per filter; ``shifts`` [filters] has at most ``rows`` numbers of
    shifts. A portion takes ceil(most shifts in the fold / ``shifts_per_cycle``) cycles. The last PE starts
    rows + columns - 2 cycles after the first, even if it is not used.

    >>> fold_cycles(portions=9, shifts=np.array([2, 3]), rows=8, columns=8, shifts_per_cycle=2)
    32
    """
    return portions * int(-(-shifts.max() // shifts_per_cycle)) + rows + columns - 2


def layer_work(
    layer: Layer,
    shifts: np.ndarray,
    lanes: int,
    rows: int,
    columns: int,
    shifts_per_cycle: int,
    side_by_side: bool = False,
    group_size: int | None = None,
    groups_share_lanes: bool = False,
) -> ArrayWork:
    """Return the work of a layer, one fold after another.

    * ``shifts`` [out_channels]: the shifts of the filters, in the order in which they occupy the rows. A fold
      has ``rows`` filters of one convolution group and ``columns`` output pixels.
    * ``group_size``: weights that share a shift set; None means all weights of a filter.
    * ``groups_share_lanes``: the lanes of a PE may take weights of different groups at once.
    * ``side_by_side``: the rows have filters of as many whole convolution groups as fit, such as ``rows``
      channels of a depthwise layer, each with its own activations.

    With one lane and one shift this equals the output-stationary
    ``swis.hardware.arrays.systolic.systolic_work``. Raises ``ValueError`` for another number of filters.

    >>> layer = Layer("dw", 64, 64, 3, 3, 56, 56, 56, 56, groups=64)
    >>> [layer_work(layer, np.full(64, 2), 4, 8, 8, 1, side).cycles(layer) for side in (False, True)]
    [501760, 62720]
    """
    if shifts.shape != (layer.out_channels,):
        raise ValueError(f"layer {layer.name} has {layer.out_channels} filters, but shifts is {shifts.shape}")
    apart = None if groups_share_lanes else group_size
    starts, bundle = filter_folds(layer, rows, side_by_side)
    paces = -(-shifts // shifts_per_cycle)
    steps = portions(layer.filter_weights, lanes, apart) * int(np.maximum.reduceat(paces, starts).sum())
    useful_lane_cycles = layer.pixels * layer.filter_weights * int(paces.sum())
    restart = rows + columns - 2
    grain = lcm(lanes, group_size or lanes) if groups_share_lanes else group_size or lanes
    return ArrayWork(
        rows, columns, lanes, steps, len(starts), useful_lane_cycles, restart, bundle=bundle, grain=grain
    )


@dataclass
class _Element:
    """A PE: its operands, the cycles that it has worked on them, and its sum."""

    activations: np.ndarray | None = None
    weights: tuple[list[list[int]], list[list[int]]] | None = None
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
    lanes: int | None = None,
    groups_share_lanes: bool = False,
    digits: np.ndarray | None = None,
) -> tuple[np.ndarray, int]:
    """Run a fold cycle by cycle; return the sums int64 [filters, pixels] and the number of cycles.

    * ``activations`` int [pixels, K], at most ``columns`` pixels.
    * ``codes`` int [filters, K], at most ``rows`` filters.
    * ``sets`` [filters, ceil(K / M)]: the shift sets as bit fields.
    * ``digits`` int [filters, K, N]: the signed digits of the codes, lowest exponent first. None: the bits of
      the magnitudes, with the sign of the code.
    * ``lanes``: None means as many lanes as weights in a group.

    Raises ``ValueError`` if a code has a bit outside its group's shift set, or other digits.
    """
    lanes, width = lanes or group_size, codes.shape[1]
    codes, activations = codes.astype(np.int64), activations.astype(np.int64)
    fields = np.repeat(sets, group_size, axis=1)[:, :width].astype(np.int64)
    chosen = [[[s for s in range(9) if bits >> s & 1] for bits in row] for row in fields.tolist()]
    if digits is None:
        if np.any(np.abs(codes) & ~fields):
            raise ValueError("a code has a bit outside its group's shift set")
        signed = [
            [
                [(1 if code > 0 else -1) * (abs(code) >> s & 1) for s in shifts]
                for code, shifts in zip(*row, strict=True)
            ]
            for row in zip(codes.tolist(), chosen, strict=True)
        ]
    else:
        signed = digits.tolist()
    pace = max(1, *(-(-len(shifts) // shifts_per_cycle) for row in chosen for shifts in row))
    apart = width if groups_share_lanes else group_size
    cuts = [
        slice(first, min(first + lanes, start + apart, width))
        for start in range(0, width, apart)
        for first in range(start, min(start + apart, width), lanes)
    ]
    products = [
        [sum(d << s for d, s in zip(*weight, strict=True)) for weight in zip(*row, strict=True)]
        for row in zip(signed, chosen, strict=True)
    ]
    if products != codes.tolist():
        raise ValueError("the digits are not those of the codes")
    array = [[_Element() for _ in range(columns)] for _ in range(rows)]
    cycle = last = 0
    while cycle <= last:
        # operands enter each column and row one cycle after its neighbour
        for column in range(columns):
            at, wait = divmod(cycle - column, pace)
            if wait == 0 and 0 <= at < len(cuts):
                pixel = activations[column, cuts[at]] if column < len(activations) else None
                array[0][column].arriving[0] = (at, pixel)
        for row in range(rows):
            at, wait = divmod(cycle - row, pace)
            if wait == 0 and 0 <= at < len(cuts):
                weights = (signed[row][cuts[at]], chosen[row][cuts[at]]) if row < len(codes) else None
                array[row][0].arriving[1] = (at, weights)
        moves = []
        for row, line in enumerate(array):
            for column, element in enumerate(line):
                operands = element.arriving
                if operands[0] is not None or operands[1] is not None:
                    assert operands[0][0] == operands[1][0], "operands of different portions meet"
                    element.activations, element.weights = operands[0][1], operands[1][1]
                    element.cycle, element.arriving = 0, [None, None]
                    moves += [(row + 1, column, 0, operands[0]), (row, column + 1, 1, operands[1])]
                    last = max(last, cycle + pace - 1)
                _work(element, shifts_per_cycle, groups_share_lanes)
        for row, column, side, operand in moves:
            if row < rows and column < columns:
                array[row][column].arriving[side] = operand
                last = max(last, cycle + 1)
        cycle += 1
    sums = [[element.total for element in line[: len(activations)]] for line in array[: len(codes)]]
    return np.array(sums, np.int64), cycle


def _work(element: _Element, shifts_per_cycle: int, shifter_per_lane: bool) -> None:
    """Run one cycle of a PE: masks, adders, shifters, accumulator."""
    if element.activations is None or element.weights is None:
        return
    digits, sets = element.weights
    assert shifter_per_lane or all(shifts == sets[0] for shifts in sets), "lanes share a shifter"
    first = element.cycle * shifts_per_cycle
    now = slice(first, first + shifts_per_cycle)
    for signs, shifts, activation in zip(digits, sets, element.activations.tolist(), strict=True):
        for sign, shift in zip(signs[now], shifts[now], strict=True):
            element.total += sign * activation << shift
    element.cycle += 1
