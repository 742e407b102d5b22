"""A layer on an array with three SRAMs and a DRAM: tiles, loop order, traffic and stalls (reconstructed).

A tile is a number of output pixels, input channels and filters. The weight, input and output SRAMs are double
buffered, so that a tile gets half of each. Sums over the input channels of a tile stay in the array. If there
are several tiles of channels, partial sums go to the output SRAM, and from there to the DRAM and back if they
do not fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import permutations

import numpy as np

from swis.errors import InputError
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork, powers, traffic
from swis.options.hardware import Memory

LOOPS = ("pixel", "channel", "filter")
_ORDERS = tuple(permutations(LOOPS))
# The loops that change the tile of each operand.
_MOVES = {
    "weight": ("channel", "filter"),
    "input": ("pixel", "channel"),
    "output": ("pixel", "filter"),
}
SUM_BITS = 32
# The fraction by which cycles may exceed the fewest, to save DRAM traffic.
SLACK = 0.05


@dataclass(frozen=True)
class Run:
    """Cycles and DRAM traffic of a layer, with its tiling.

    ``tile`` is [out_h, out_w, channels, filters]; ``order`` has the loops, outermost first. A tile with more
    rows than a map has several whole maps. ``pixel_tiles`` and ``channel_tiles`` are the numbers of tiles,
    ``pixel_folds`` is the number of folds of pixels in all tiles.
    """

    tile: tuple[int, int, int, int]
    order: tuple[str, ...]
    pixel_tiles: int
    pixel_folds: int
    channel_tiles: int
    compute_cycles: int
    stall_cycles: int
    weight_read_bits: int
    input_read_bits: int
    sum_read_bits: int
    output_write_bits: int

    @property
    def cycles(self) -> int:
        return self.compute_cycles + self.stall_cycles

    @property
    def dram_read_bits(self) -> int:
        return self.weight_read_bits + self.input_read_bits + self.sum_read_bits

    @property
    def dram_write_bits(self) -> int:
        return self.output_write_bits

    @property
    def dram_bits(self) -> int:
        return self.dram_read_bits + self.dram_write_bits


def best_run(
    layer: Layer,
    work: ArrayWork,
    memory: Memory,
    weight_bits: int,
    activation_bits: int = 8,
    slack: float = SLACK,
) -> Run:
    """Return the run with the least DRAM traffic among those with nearly the fewest cycles.

    The search is over loop orders and tiles that fit the SRAMs. Cycles may exceed the fewest by the fraction
    ``slack``; without it, traffic would often be many times larger, only to make the first load a little
    shorter. Of runs with equal traffic, the one with the fewest tiles of channels is taken, which has the
    fewest partial sums, and then the first one.

    ``weight_bits`` are the bits of all weights of the layer, ``activation_bits`` those of one activation; a
    partial sum has 32 bits. Tile sizes are powers of two, times ``rows`` for filters and ``lanes`` for
    channels. Raises ``InputError`` if even the smallest tile does not fit.

    >>> layer = Layer("fc", 512, 1000, 1, 1, 1, 1, 1, 1)
    >>> work = ArrayWork(8, 8, 4, 32000, folds=125, useful_lane_cycles=0)
    >>> run = best_run(layer, work, Memory(), 8 * layer.weights)
    >>> run.compute_cycles, run.dram_bits - 8 * layer.weights
    (32000, 12096)
    """
    try:
        return _best(replace(layer, name=""), work, memory, weight_bits, activation_bits, slack)
    except InputError as error:
        raise InputError(f"layer {layer.name}: {error}") from error


@lru_cache(maxsize=1000)  # networks have many layers of the same shape
def _best(
    layer: Layer, work: ArrayWork, memory: Memory, weight_bits: int, activation_bits: int, slack: float
) -> Run:
    tiles = _Tiles.of(layer, work)
    room = memory.tile_bits()
    bits = tiles.bits(weight_bits, activation_bits)
    for name in _MOVES:
        fits = bits[name] <= room[name]
        if not fits.any():
            raise InputError(
                f"{name}_sram_bytes={room[name] // 4} holds no tile of "
                f"{-(-int(bits[name].min()) // 8)} bytes twice, as double buffering needs"
            )
        tiles, bits = tiles.where(fits), {name: each[fits] for name, each in bits.items()}
    counts = tiles.counts
    folds = tiles.pixel_folds()
    compute = folds * (work.steps + counts["channel"] * work.folds * work.restart)
    compute += counts["pixel"] * work.load
    found = []
    for order in _ORDERS:
        parts = tiles.moved(bits, room, order, weight_bits, activation_bits)
        total = sum(parts)
        stalls = np.zeros_like(compute)
        if memory.dram_bits_per_cycle is not None:
            first, last = bits["weight"] + bits["input"], tiles.values() * activation_bits
            middle = np.maximum(total - first - last, 0)
            first, middle, last = (-(-part // memory.dram_bits_per_cycle) for part in (first, middle, last))
            stalls = first + np.maximum(middle - compute, 0) + last
        found.append((compute + stalls, total, compute, stalls, *parts))
    cycles, total, *columns = (np.stack(values) for values in zip(*found, strict=True))
    enough = cycles <= cycles.min() * (1 + slack)
    depth = np.broadcast_to(counts["channel"], cycles.shape)
    best = np.lexsort((cycles.ravel(), depth.ravel(), np.where(enough, total, np.inf).ravel()))[0]
    order, at = np.unravel_index(best, cycles.shape)
    split = (int(values[at]) for values in (counts["pixel"], folds, counts["channel"]))
    return Run(tiles.at(at), _ORDERS[order], *split, *(int(values[order, at]) for values in columns))


@dataclass(frozen=True)
class _Tiles:
    """The tile sizes to choose from, [tilings] each.

    The ``high`` rows are those of one map, or of several whole maps, which are one below the other.
    """

    layer: Layer
    work: ArrayWork
    high: np.ndarray
    wide: np.ndarray
    depth: np.ndarray
    filters: np.ndarray

    @classmethod
    def of(cls, layer: Layer, work: ArrayWork) -> _Tiles:
        channels, filters = layer.group_channels, layer.group_filters
        # without this, a group of weights would span two tiles of channels
        grain = work.grain or work.lanes
        depths = [channels] if channels % grain else powers(channels, grain)
        sides = {(min(o, layer.out_h), min(o, layer.out_w)) for o in powers(max(layer.out_h, layer.out_w))}
        # also tiles of whole rows, whose number of pixels can be close to a multiple of the array's columns
        sides |= {(-(-layer.out_h // count), layer.out_w) for count in (2, 3, 4, 5, 7, 10, 14)}
        sides |= {(count * layer.out_h, layer.out_w) for count in powers(layer.maps)}
        parts = powers(filters, work.rows)
        sizes = [(*side, i, f) for side in sorted(sides) for i in depths for f in parts]
        return cls(layer, work, *np.array(sizes).T)

    def where(self, chosen: np.ndarray) -> _Tiles:
        sizes = (values[chosen] for values in (self.high, self.wide, self.depth, self.filters))
        return _Tiles(self.layer, self.work, *sizes)

    def at(self, index: int) -> tuple[int, int, int, int]:
        return tuple(int(values[index]) for values in (self.high, self.wide, self.depth, self.filters))

    @property
    def width(self) -> int:
        """The number of convolution groups that the array computes at once."""
        return min(self.work.bundle, self.layer.groups)

    @property
    def maps(self) -> np.ndarray:
        """The number of maps in a tile."""
        return np.maximum(self.high // self.layer.out_h, 1)

    @cached_property
    def counts(self) -> dict[str, np.ndarray]:
        layer = self.layer
        tall = -(-layer.maps // self.maps) * -(-layer.out_h // self.high)
        return {
            "pixel": tall * -(-layer.out_w // self.wide),
            "channel": -(-layer.group_channels // self.depth),
            "filter": -(-layer.group_filters // self.filters),
        }

    def values(self) -> np.ndarray:
        """Return the number of outputs of a tile."""
        return self.width * self.high * self.wide * self.filters

    def bits(self, weight_bits: int, activation_bits: int) -> dict[str, np.ndarray]:
        """Return the bits of a tile in each SRAM."""
        layer = self.layer
        share = self.width * self.filters * self.depth * layer.kernel_h * layer.kernel_w
        (_, rows), (_, columns) = self.lines
        sum_bits = np.where(self.counts["channel"] * self.work.passes > 1, SUM_BITS, activation_bits)
        return {
            "weight": -(-share * weight_bits // layer.weights),
            "input": self.width * rows * columns * self.depth * activation_bits,
            "output": self.values() * sum_bits,
        }

    @cached_property
    def lines(self) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Rows, then columns of inputs: the number that all tiles read, and that of the largest tile."""
        layer, high = self.layer, np.minimum(self.high, self.layer.out_h)
        rows = (layer.in_h, layer.out_h, layer.kernel_h, layer.stride_h, layer.dilation_h, layer.pad_top)
        columns = (layer.in_w, layer.out_w, layer.kernel_w, layer.stride_w, layer.dilation_w, layer.pad_left)
        (total, most), wide = _lines(*rows, high), _lines(*columns, self.wide)
        return (layer.maps * total, self.maps * most), wide

    def pixel_folds(self) -> np.ndarray:
        """Return the number of folds of pixels over all tiles; tiles at the border are smaller."""
        layer = self.layer
        line = np.minimum(self.high, layer.out_h)
        full, rest = np.divmod(layer.maps, self.maps)
        heights = (
            (full * (layer.out_h // line), self.high),
            (full, layer.out_h % line),
            (1, rest * layer.out_h),
        )
        widths = ((layer.out_w // self.wide, self.wide), (1, layer.out_w % self.wide))
        return sum(
            many * more * self.work.pixel_folds(high, wide) for many, high in heights for more, wide in widths
        )

    def moved(
        self,
        bits: dict[str, np.ndarray],
        room: dict[str, int],
        order: tuple[str, ...],
        weight_bits: int,
        activation_bits: int,
    ) -> tuple[np.ndarray, ...]:
        """Return the bits read of weights, inputs and partial sums, and the bits written."""
        layer, counts = self.layer, self.counts
        times = {}  # the number of times that every tile is moved
        for name, moving in _MOVES.items():
            total, _ = traffic(counts, bits[name], room[name], order, moving)
            times[name] = total // (bits[name] * np.prod([counts[loop] for loop in moving], axis=0))
        (rows, _), (columns, _) = self.lines
        sums = (times["output"] - 1) * layer.outputs * SUM_BITS
        return (
            times["weight"] * weight_bits,
            times["input"] * rows * columns * layer.in_channels * activation_bits,
            sums,
            sums + layer.outputs * activation_bits,
        )


def _lines(*sizes: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lines of inputs, without padding, that all tiles and the largest tile read along one axis.

    ``sizes`` are the arguments of ``lines_of``, with an array of tile sizes.
    """
    *sizes, tiles = sizes
    total, most = np.array([lines_of(*sizes, tile) for tile in tiles.tolist()]).T
    return total, most


@lru_cache(maxsize=10_000)  # a search repeats few sizes many times
def lines_of(
    inputs: int, outputs: int, kernel: int, stride: int, dilation: int, before: int, tile: int
) -> tuple[int, int]:
    """Return the lines of inputs that tiles of ``tile`` outputs read along one axis: in all, and at most.

    ``before`` is the padding before the first line; padding is not read, and neither are lines that a stride
    or a dilation skips.

    >>> lines_of(inputs=8, outputs=4, kernel=3, stride=2, dilation=1, before=1, tile=2)
    (9, 5)
    """
    starts = np.arange(0, outputs, tile)
    if dilation == 1 and (kernel >= stride or tile == 1):  # without gaps
        ends = np.minimum(starts + tile, outputs) - 1
        first = np.maximum(starts * stride - before, 0)
        read = np.maximum(np.minimum(ends * stride - before + kernel, inputs) - first, 0)
    else:
        lines = (np.arange(outputs) * stride - before)[:, None] + dilation * np.arange(kernel)
        each = np.split(lines, starts[1:])
        read = np.array([len(np.unique(some[(some >= 0) & (some < inputs)])) for some in each])
    return int(read.sum()), int(read.max())
