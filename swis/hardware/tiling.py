"""The work of an array for a layer, and the traffic of loops over tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swis.hardware.layer_shapes import Layer


@dataclass(frozen=True)
class ArrayWork:
    """The cycles of a layer on an array of ``rows`` (filters) x ``columns`` (output pixels) x ``lanes``.

    A fold of pixels has ``columns`` output pixels, all of one output row if ``by_row``.

    * ``folds``: the folds of filters, over all convolution groups.
    * ``steps``: the cycles of all these folds, per fold of pixels.
    * ``restart``: the cycles to fill and drain the array, per fold of filters and of pixels, and per tile of
      channels.
    * ``load``: the cycles to load stationary weights, per tile of pixels.
    * ``useful_lane_cycles``: the lane cycles of one image with necessary work; all others are waiting.
    * ``bundle``: the convolution groups that run side by side.
    * ``passes``: how often sums leave the array; they are finished at the last pass.
    * ``grain``: the number of channels that tiles must not split; None means ``lanes``.

    A weight-stationary array has one column, because it takes one pixel at a time, and as many lanes as rows
    of MACs.
    """

    rows: int
    columns: int
    lanes: int
    steps: int
    folds: int
    useful_lane_cycles: int
    restart: int = 0
    load: int = 0
    by_row: bool = False
    bundle: int = 1
    passes: int = 1
    grain: int | None = None

    def pixel_folds(self, high: int | np.ndarray, wide: int | np.ndarray) -> int | np.ndarray:
        """Return the number of folds of ``high`` x ``wide`` output pixels."""
        return high * -(-wide // self.columns) if self.by_row else -(-high * wide // self.columns)

    def cycles(self, layer: Layer) -> int:
        """Return the compute cycles of a layer in a single tile.

        >>> layer = Layer("conv", 64, 8, 3, 3, 6, 6, 4, 4)
        >>> ArrayWork(8, 8, 4, 288, folds=1, useful_lane_cycles=0, restart=14).cycles(layer)
        604
        """
        each = self.steps + self.folds * self.restart
        return self.pixel_folds(layer.maps * layer.out_h, layer.out_w) * each + self.load

    def input_folds(self, layer: Layer) -> int:
        """Return how many times the array reads the inputs of a convolution group, over all groups."""
        return max(self.folds // self.passes, layer.groups)


def filter_folds(layer: Layer, rows: int, side_by_side: bool = False) -> tuple[list[int], int]:
    """Return the first filter of every fold of ``rows`` filters, and the convolution groups per fold.

    Filters of different convolution groups have different inputs, and so are not in the same fold. With
    ``side_by_side`` a fold has as many whole groups as fit, each with its own inputs.

    >>> filter_folds(Layer("dw", 10, 10, 3, 3, 8, 8, 8, 8, groups=10), 4, side_by_side=True)
    ([0, 4, 8], 4)
    """
    each = layer.group_filters
    bundle = max(min(rows // each, layer.groups), 1) if side_by_side else 1
    together = bundle * each
    starts = [
        start
        for first in range(0, layer.out_channels, together)
        for start in range(first, min(first + together, layer.out_channels), rows)
    ]
    return starts, bundle


def traffic(
    counts: Mapping[str, np.ndarray],
    tile_bits: np.ndarray,
    room: int,
    order: Sequence[str],
    moving: Sequence[str],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bits of an operand that loops over tiles move in all, and the bits that stay in the SRAM.

    Every loop of ``order``, outermost first, runs ``counts`` [tilings] times; the ``moving`` loops change the
    operand's tile of ``tile_bits`` [tilings]. If all tiles of the inner loops fit into ``room`` bits, they
    stay there, and an outer loop that does not change the operand reuses them. Otherwise every iteration
    fetches all tiles again.

    >>> counts = {"IC": np.array([2]), "OC": np.array([3])}
    >>> [int(traffic(counts, np.array([8]), room, ("IC", "OC"), ("OC",))[0][0]) for room in (8, 24)]
    [48, 24]
    """
    total = held = tile_bits
    fits = np.ones(len(tile_bits), bool)
    for loop in reversed(order):
        moves = loop in moving
        total = np.where(~fits | moves, total * counts[loop], total)
        if moves:
            fits = fits & (total <= room)
            held = np.where(fits, total, held)
    return total, held


def powers(limit: int, step: int = 1) -> list[int]:
    """Return the tile sizes to try for a loop to ``limit``: ``step`` times powers of two, and the limit.

    >>> powers(10), powers(10, step=4)
    ([1, 2, 4, 8, 10], [4, 8, 10])
    """
    steps = -(-limit // step)
    return [min(step << power, limit) for power in range((steps - 1).bit_length() + 1)]
