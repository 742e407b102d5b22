"""BitFusion: an array of fusion units with its SRAMs and bus, with the best tiling and loop order.

The model is that of BitFusion's public optimizer. The array has rows x columns fusion units; each is a MAC of
8 x 8 bits, or several MACs of fewer bits. There are three double-buffered SRAMs. The loops over tiles of
output columns, output rows, input channels and output channels may have any order. Partial sums have 32 bits,
and are read and written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import permutations

import numpy as np

from swis.errors import InputError
from swis.hardware.dram import SUM_BITS, lines_of
from swis.hardware.layer_shapes import Layer
from swis.hardware.sram import OnChip
from swis.hardware.tiling import powers, traffic
from swis.options.hardware import Memory

LOOPS = ("OW", "OH", "IC", "OC")
# The loops that change the tile of each operand.
_MOVES = {
    "weight": ("IC", "OC"),
    "input": ("OW", "OH", "IC"),
    "output": ("OW", "OH", "OC"),
}


@dataclass(frozen=True)
class FusionArray:
    """An array of ``rows`` (input channels) x ``columns`` (filters) fusion units, and its memory."""

    rows: int = 16
    columns: int = 32
    memory: Memory = field(default_factory=lambda: Memory(dram_bits_per_cycle=192))


@dataclass(frozen=True)
class Tiling:
    """The tile sizes of the loops OW, OH, IC and OC, and the loop order, outermost first."""

    sizes: tuple[int, int, int, int]
    order: tuple[str, ...]


@dataclass(frozen=True)
class FusionRun:
    """Cycles and DRAM traffic of a layer; ``cycles`` = ``compute_cycles`` + ``stall_cycles``."""

    tiling: Tiling
    compute_cycles: int
    stall_cycles: int
    weight_read_bits: int
    input_read_bits: int
    sum_read_bits: int
    dram_write_bits: int

    @property
    def dram_read_bits(self) -> int:
        return self.weight_read_bits + self.input_read_bits + self.sum_read_bits

    @property
    def dram_bits(self) -> int:
        return self.dram_read_bits + self.dram_write_bits

    @property
    def cycles(self) -> int:
        return self.compute_cycles + self.stall_cycles


@dataclass(frozen=True)
class FusionModel:
    """A layer on an array, with ``weight_bits`` and ``input_bits`` per value.

    With ``im2col`` kernel positions are mapped to rows like channels, which helps layers with few channels.
    The groups of a convolution run one after another. A tile with more output rows than a map has several
    whole maps. With ``sums_to_dram``, as in BitFusion's optimizer, all outputs are written to the DRAM, and
    read from it, as sums of 32 bits. Without it, only partial sums have 32 bits, and finished outputs have as
    many bits as inputs. Raises ``InputError`` for bits other than 2, 4 and 8.
    """

    layer: Layer
    array: FusionArray
    weight_bits: int = 8
    input_bits: int = 8
    im2col: bool = False
    sums_to_dram: bool = True

    def __post_init__(self) -> None:
        for name in ("weight_bits", "input_bits"):
            if getattr(self, name) not in (2, 4, 8):
                raise InputError(f"{name} of fusion units must be 2, 4 or 8, not {getattr(self, name)}")

    def best_run(self, slack: float = 0.0) -> FusionRun:
        """Return the run with the fewest cycles over all loop orders and tiles that fit the SRAMs.

        Tile sizes are powers of two. With ``slack`` it is the run with the least DRAM traffic among those
        whose cycles exceed the fewest by at most this fraction. Of equal runs the first is taken. Raises
        ``InputError`` if even the smallest tile does not fit.

        >>> FusionModel(Layer("fc", 512, 1000, 1, 1, 1, 1, 1, 1), FusionArray()).best_run().compute_cycles
        1024
        """
        tiles, room = self._tiles(), self.array.memory.tile_bits()
        bits = self._tile_bits(tiles)
        tiles = tiles[:, np.logical_and.reduce([bits[name] <= room[name] for name in _MOVES])]
        if not tiles.shape[1]:
            raise InputError(f"layer {self.layer.name}: the SRAMs are too small for one tile")
        # of equal runs min takes the first
        fastest = min(self._runs(tiles, permutations(LOOPS)), key=lambda run: run.cycles)
        if not slack:
            return fastest
        limit = fastest.cycles * (1 + slack)
        runs = self._runs(tiles, permutations(LOOPS), limit / self.layer.groups)
        return min((run for run in runs if run.cycles <= limit), key=lambda run: run.dram_bits)

    def run(self, tiling: Tiling) -> FusionRun:
        """Return the run with a given tiling, even if it does not fit the SRAMs."""
        [run] = self._runs(np.array(tiling.sizes)[:, None], [tiling.order])
        return run

    @property
    def _limits(self) -> tuple[int, int, int, int]:
        layer = self.layer
        return layer.out_w, layer.out_h, layer.group_channels, layer.group_filters

    @property
    def products(self) -> int:
        """The number of products that a fusion unit adds per cycle."""
        return (8 // self.input_bits) * (8 // self.weight_bits)

    @property
    def _terms(self) -> int:
        return self.array.rows * self.products

    def on_chip(self, run: FusionRun) -> OnChip:
        """Return the on-chip traffic of a run on an output-stationary array (reconstructed).

        In every cycle a row reads inputs, which its columns share, and every fusion unit reads its own
        weights. A column writes sums once per tile of channels; from the second tile on it also reads the
        sums so far. BitFusion's optimizer instead counts a read of the input SRAM for every column.
        """
        array, layer = self.array, self.layer
        each = run.compute_cycles * array.rows * self.products
        tiles = -(-layer.group_channels // run.tiling.sizes[LOOPS.index("IC")])
        sums = layer.outputs * SUM_BITS
        return OnChip(
            weight_read_bits=each * array.columns * self.weight_bits,
            weight_write_bits=run.weight_read_bits,
            input_read_bits=each * self.input_bits,
            input_write_bits=run.input_read_bits,
            output_read_bits=(tiles - 1) * sums + run.dram_write_bits,
            output_write_bits=tiles * sums + run.sum_read_bits,
        )

    def _tiles(self) -> np.ndarray:
        """Return the tile sizes to try, [4, tiles]; rows and columns of pixels have the same tile size."""
        width, height, channels, filters = self._limits
        step = 1 if self.im2col else self.array.columns
        sides = [(min(o, width), min(o, height)) for o in powers(max(width, height))]
        sides += [(width, count * height) for count in powers(self.layer.maps)[1:]]
        depths, parts = powers(channels), powers(filters, step)
        return np.array([(*side, i, f) for side in sides for i in depths for f in parts]).T

    def _tile_bits(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        layer, (width, height, channels, filters) = self.layer, tiles
        taps = layer.kernel_h * layer.kernel_w
        if self.im2col:
            inputs = width * height * taps * channels
        else:
            columns = self._lines(width, layer.kernel_w, layer.stride_w, layer.dilation_w)
            maps, rows = self._maps(height), np.minimum(height, layer.out_h)
            lines = self._lines(rows, layer.kernel_h, layer.stride_h, layer.dilation_h)
            inputs = columns * maps * lines * channels
        return {
            "weight": _up_to(taps * channels, self._terms) * filters * self.weight_bits,
            "input": inputs * self.input_bits,
            "output": width * height * _up_to(filters, self.array.columns) * SUM_BITS,
        }

    def _lines(self, outputs: np.ndarray, kernel: int, stride: int, dilation: int) -> np.ndarray:
        """Return the rows (or columns) of inputs that a tile of outputs needs, with padding."""
        reach = dilation * (kernel - 1) + 1 + (outputs - 1) * stride
        if self.sums_to_dram:  # BitFusion's optimizer also reads the inputs that a stride skips
            return reach
        sizes, places = np.unique(outputs, return_inverse=True)
        far = int(reach.max())
        lines = [lines_of(far, size, kernel, stride, dilation, 0, size)[0] for size in sizes.tolist()]
        return np.array(lines)[places]

    def _maps(self, heights: np.ndarray) -> np.ndarray:
        return np.maximum(heights // self.layer.out_h, 1)

    def _compute_cycles(self, tiles: np.ndarray, counts: np.ndarray) -> np.ndarray:
        layer, (width, height, channels, filters) = self.layer, tiles
        taps = layer.kernel_h * layer.kernel_w
        deep = taps * channels if self.im2col else channels
        steps = -(-deep // self._terms) * (1 if self.im2col else taps)
        return counts.prod(0) * -(-filters // self.array.columns) * width * height * steps

    def _runs(
        self, tiles: np.ndarray, orders: Iterable[tuple[str, ...]], limit: float | None = None
    ) -> Iterator[FusionRun]:
        """Yield, for each loop order, the run with the fewest cycles among tile sizes [4, tiles].

        With ``limit`` it is the run with the least traffic among those with at most ``limit`` cycles per
        group of the convolution.
        """
        counts = -(-np.array(self._limits)[:, None] // tiles)
        counts[LOOPS.index("OH")] *= -(-self.layer.maps // self._maps(tiles[LOOPS.index("OH")]))
        compute, bits = self._compute_cycles(tiles, counts), self._tile_bits(tiles)
        for order in orders:
            stalls, *moved = self._memory(counts, bits, compute, order)
            cost = compute + stalls
            if limit is not None:
                cost = np.where(cost <= limit, sum(moved), np.inf)
            at = int(cost.argmin())
            found = (int(self.layer.groups * part[at]) for part in (compute, stalls, *moved))
            yield FusionRun(Tiling(tuple(tiles[:, at].tolist()), order), *found)

    def _memory(
        self,
        counts: np.ndarray,
        tile_bits: dict[str, np.ndarray],
        compute: np.ndarray,
        order: tuple[str, ...],
    ) -> tuple[np.ndarray, ...]:
        """Return stall cycles, bits read of weights, inputs and sums, and bits written, [tiles] each."""
        room = self.array.memory.tile_bits()
        counts = dict(zip(LOOPS, counts, strict=True))
        moved = {
            name: traffic(counts, bits, room[name], order, _MOVES[name]) for name, bits in tile_bits.items()
        }
        total, held = ({name: pair[which] for name, pair in moved.items()} for which in (0, 1))
        written, last = total["output"], held["output"]  # every sum is read and written
        first = sum(held.values())
        if not self.sums_to_dram:  # the first sum is not read, and the last one is a finished output
            whole = tile_bits["output"] * np.prod([counts[loop] for loop in _MOVES["output"]], axis=0)
            first, last = first - last, last * self.input_bits // SUM_BITS
            total["output"] = total["output"] - whole
            written = total["output"] + whole * self.input_bits // SUM_BITS
        read, bus = sum(total.values()), self.array.memory.dram_bits_per_cycle
        middle = np.maximum(-(-(read + written - first - last) // bus), 0)
        stalls = np.maximum(middle - compute, 0) + -(-first // bus) + -(-last // bus)
        return stalls, *(total[name] for name in _MOVES), written


def _up_to(count: np.ndarray, multiple: int) -> np.ndarray:
    return -(-count // multiple) * multiple
