"""What an array does for a layer, cut into tiles, its memory, and what loops over tiles move there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from swis.hardware.layer_shapes import Layer


@dataclass(frozen=True)
class ArrayWork:
    """Cycles of a layer on an array of ``rows`` (filters) x ``columns`` (output pixels) x ``lanes``.

    For every fold of output pixels, ``columns`` of them, or of those in one row if ``by_row``: ``steps``
    over all ``folds`` of filters of all groups of the convolution, and ``restart`` to fill and drain each of
    these, for every tile of channels anew; ``load`` for every tile of pixels. ``bundle`` groups of a
    convolution lie side by side. ``useful_lane_cycles`` are those that a real weight and a real pixel need,
    of one image: what is left of all is waiting. A weight-stationary array has one column, for it takes one
    pixel at a time, and as many lanes as it has rows of MACs; sums leave it ``passes`` times, whole at the
    last. Tiles do not part ``grain`` channels, None: as many as lanes.
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
        """Return the folds of ``high`` x ``wide`` output pixels."""
        return high * -(-wide // self.columns) if self.by_row else -(-high * wide // self.columns)

    def cycles(self, layer: Layer) -> int:
        """Return the compute cycles of a layer that is one tile.

        >>> layer = Layer("conv", 64, 8, 3, 3, 6, 6, 4, 4)
        >>> ArrayWork(8, 8, 4, 288, folds=1, useful_lane_cycles=0, restart=14).cycles(layer)
        604
        """
        each = self.steps + self.folds * self.restart
        return self.pixel_folds(layer.maps * layer.out_h, layer.out_w) * each + self.load

    def input_folds(self, layer: Layer) -> int:
        """Return how often the array takes the inputs of one channel group's filters, over all groups."""
        return max(self.folds // self.passes, layer.groups)


def filter_folds(layer: Layer, rows: int, side_by_side: bool = False) -> tuple[list[int], int]:
    """Return the first filter of every fold of ``rows`` filters, and the groups of a convolution in one.

    Filters of different groups see different channels and share no fold; with ``side_by_side`` as many whole
    groups as fit do, each with inputs of its own.

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
    """Return the bits of one operand that loops over tiles move in all, and those that it holds at a time.

    Every loop of ``order``, outermost first, runs ``counts`` [tilings] times; ``moving`` ones change
    the operand's tile of ``tile_bits`` [tilings]. As long as all that the inner loops touch fits in ``room``
    bits it stays there, and a loop outside these that does not move the operand finds it again; beyond that
    everything is fetched anew.

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
