"""DRAM traffic compared with a simulated cache, and properties of the best run."""

from collections import OrderedDict
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.errors import InputError
from swis.hardware.arrays.swis import layer_work
from swis.hardware.arrays.systolic import systolic_work
from swis.hardware.dram import LOOPS, _lines, _Tiles, best_run
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork, traffic
from swis.options.hardware import Memory


@settings(max_examples=200, deadline=None)
@given(
    st.permutations(LOOPS),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.sets(st.sampled_from(LOOPS), min_size=1, max_size=2),
    st.integers(1, 20),
)
def test_traffic_equals_the_misses_of_an_lru_cache(order, counts, moving, room):
    cache, misses = OrderedDict(), 0
    for place in product(*(range(count) for count in counts)):
        tile = tuple(at for loop, at in zip(order, place, strict=True) if loop in moving)
        misses += tile not in cache
        cache[tile] = None
        cache.move_to_end(tile)
        if len(cache) > room:
            cache.popitem(last=False)
    by_loop = {loop: np.array([count]) for loop, count in zip(order, counts, strict=True)}
    total, held = traffic(by_loop, np.array([8]), 8 * room, order, moving)
    assert total[0] == 8 * misses
    assert held[0] <= 8 * room


@st.composite
def layers(draw) -> Layer:
    groups = draw(st.sampled_from([1, 1, 2, 12]))
    kernel, stride, dilation = draw(
        st.sampled_from([(1, 1, 1), (1, 2, 1), (3, 1, 1), (3, 2, 1), (5, 1, 1), (3, 1, 2), (3, 2, 3)])
    )
    side, span = draw(st.integers(1, 30)), dilation * (kernel - 1) + 1
    before, behind = (draw(st.integers(0, span - 1)) for _ in range(2))
    inside = (side - 1) * stride + max(span - before - behind, 1)
    channels, filters = (48 * draw(st.integers(1, 4)) for _ in range(2))
    sides = (kernel, kernel, inside, inside, side, side)
    more = (stride, stride, dilation, dilation, draw(st.sampled_from([1, 1, 2, 5])))
    layer = Layer("conv", channels, filters, *sides, groups, *more, before, before, behind, behind)
    layer.check()
    return layer


SMALL = Memory(4096, 4096, 4096, 64)


def swis_work(layer: Layer, shifts: int = 2, side_by_side: bool = False) -> ArrayWork:
    return layer_work(layer, np.full(layer.out_channels, shifts), 4, 8, 8, 1, side_by_side)


def lines_of(layer: Layer, first: int, last: int) -> set[int]:
    """Return the input rows that the output rows from ``first`` to before ``last`` need, one by one."""
    used = {
        line * layer.stride_h + tap * layer.dilation_h - layer.pad_top
        for line in range(first, last)
        for tap in range(layer.kernel_h)
    }
    return {line for line in used if 0 <= line < layer.in_h}


def lines_read(layer: Layer) -> tuple[int, ...]:
    sizes = (layer.in_h, layer.out_h, layer.kernel_h, layer.stride_h)
    return (*sizes, layer.dilation_h, layer.pad_top)


def pixels_used(layer: Layer) -> int:
    """Return the number of input pixels that outputs need, counted one by one."""
    return layer.maps * len(lines_of(layer, 0, layer.out_h)) ** 2


@settings(max_examples=60, deadline=None)
@given(layers(), st.integers(1, 30), st.integers(1, 12), st.booleans())
def test_smaller_tiles_at_the_border_read_and_compute_less(layer, tile, columns, by_row):
    tile = min(tile, layer.out_h)
    pieces = [(start, min(start + tile, layer.out_h)) for start in range(0, layer.out_h, tile)]
    read = [len(lines_of(layer, *piece)) for piece in pieces]
    total, most = (int(values[0]) for values in _lines(*lines_read(layer), np.array([tile])))
    assert (total, most) == (sum(read), max(read))
    work = ArrayWork(8, columns, 4, steps=1, folds=1, useful_lane_cycles=0, by_row=by_row)
    one = np.array([tile])
    folds = 0
    for top, bottom in pieces:
        for left, right in pieces:
            high, wide = bottom - top, right - left
            folds += high * -(-wide // columns) if by_row else -(-high * wide // columns)
    tiles = _Tiles(layer, work, one, one, one, one)
    assert int(tiles.pixel_folds()[0]) == layer.maps * folds
    assert int(tiles.counts["pixel"][0]) == layer.maps * len(pieces) ** 2
    assert int(tiles.lines[0][0][0]) == layer.maps * total


@settings(max_examples=60, deadline=None)
@given(layers(), st.integers(1, 5), st.integers(1, 12), st.booleans())
def test_tiles_of_several_maps_have_whole_maps(layer, together, columns, by_row):
    together = min(together, layer.maps)
    parts = [min(together, layer.maps - first) for first in range(0, layer.maps, together)]
    work = ArrayWork(8, columns, 4, steps=1, folds=1, useful_lane_cycles=0, by_row=by_row)
    high, one = np.array([together * layer.out_h]), np.array([1])
    tiles = _Tiles(layer, work, high, layer.out_w * one, one, one)
    across = -(-layer.out_w // columns)
    folds = [
        many * layer.out_h * across if by_row else -(-many * layer.pixels // layer.maps // columns)
        for many in parts
    ]
    assert int(tiles.pixel_folds()[0]) == sum(folds)
    assert int(tiles.counts["pixel"][0]) == len(parts)
    (all_lines, most_lines), _ = tiles.lines
    one_map = _lines(*lines_read(layer), np.array([layer.out_h]))[0]
    assert (all_lines[0], most_lines[0]) == (layer.maps * one_map[0], together * one_map[0])


@settings(max_examples=60, deadline=None)
@given(layers(), st.booleans())
def test_runs_move_every_operand_and_more_memory_never_costs_cycles(layer, side_by_side):
    work, weight_bits = swis_work(layer, side_by_side=side_by_side), 5 * layer.weights
    run = best_run(layer, work, SMALL, weight_bits)
    assert run.compute_cycles >= work.cycles(layer)
    assert run.weight_read_bits % weight_bits == 0
    assert run.weight_read_bits >= weight_bits
    assert run.input_read_bits >= 8 * layer.in_channels * pixels_used(layer)
    assert run.output_write_bits - run.sum_read_bits == 8 * layer.outputs
    parts = (run.weight_read_bits, run.input_read_bits, run.sum_read_bits, run.output_write_bits)
    assert sum(parts) == run.dram_bits
    assert run.cycles >= -(-run.dram_bits // 64)
    wider = [
        best_run(layer, work, replace(SMALL, dram_bits_per_cycle=bits), weight_bits, slack=0)
        for bits in (16, 64, 256)
    ]
    assert wider[0].cycles >= wider[1].cycles >= wider[2].cycles
    fastest = wider[1]
    assert fastest.cycles <= run.cycles <= 1.05 * fastest.cycles
    assert run.dram_bits <= fastest.dram_bits
    larger = best_run(layer, work, Memory(32768, 32768, 32768, 64), weight_bits, slack=0)
    assert larger.cycles <= fastest.cycles
    fewer = best_run(layer, swis_work(layer, 1, side_by_side), SMALL, 3 * layer.weights, slack=0)
    assert fewer.cycles <= fastest.cycles


def test_slack_avoids_much_traffic_for_little_time():
    layer = Layer("pw", 512, 512, 1, 1, 28, 28, 28, 28)
    work = ArrayWork(8, 8, 1, steps=64 * 512, folds=64, useful_lane_cycles=0, restart=14)
    fast, lean = (best_run(layer, work, Memory(), 8 * layer.weights, slack=slack) for slack in (0, 0.05))
    assert lean.cycles < 1.05 * fast.cycles
    assert lean.dram_bits < 0.5 * fast.dram_bits


@pytest.mark.parametrize(("channels", "bits"), [(8, 8), (64, 32)])
def test_a_weight_stationary_array_writes_partial_sums_of_several_folds(channels, bits):
    layer, one = Layer("pw", channels, 8, 1, 1, 16, 16, 16, 16), np.array([1])
    for flow, expected in (("os", 8), ("ws", bits)):
        work = systolic_work(layer, 8, 8, flow)
        tile = _Tiles(layer, work, 16 * one, 16 * one, channels * one, 8 * one)
        assert tile.bits(8 * layer.weights, 8)["output"][0] == 16 * 16 * 8 * expected


@settings(max_examples=30, deadline=None)
@given(layers())
def test_unlimited_bandwidth_has_no_stalls_and_large_srams_fetch_everything_once(layer):
    work, much = swis_work(layer), Memory(2**24, 2**24, 2**24, None)
    run = best_run(layer, work, much, 5 * layer.weights, slack=0)
    assert run.stall_cycles == 0
    assert run.cycles == work.cycles(layer)
    once = best_run(layer, work, replace(much, dram_bits_per_cycle=1), 5 * layer.weights)
    assert once.weight_read_bits == 5 * layer.weights
    assert once.sum_read_bits == 0
    assert once.input_read_bits <= 8 * layer.inputs


def test_several_maps_run_one_after_another_and_share_their_weights():
    one = Layer("pool", 24, 24, 3, 3, 14, 14, 14, 14, groups=24)
    four = replace(one, maps=4)
    works = [swis_work(layer) for layer in (one, four)]
    single, all_of_them = (
        best_run(layer, work, Memory(), 5 * layer.weights)
        for layer, work in zip((one, four), works, strict=True)
    )
    # the 196 pixels of one map take 25 folds of 8 columns, the 784 pixels of four maps take 98
    assert (single.pixel_folds, all_of_them.pixel_folds) == (25, 98)
    assert all_of_them.compute_cycles * 25 == single.compute_cycles * 98
    assert all_of_them.weight_read_bits == single.weight_read_bits
    assert all_of_them.input_read_bits == 4 * single.input_read_bits
    assert all_of_them.dram_write_bits == 4 * single.dram_write_bits
    assert works[1].useful_lane_cycles == 4 * works[0].useful_lane_cycles


def test_a_layer_computed_by_hand():
    """Half of the weight SRAM holds 8 of 16 filters; half of the others holds all inputs and outputs."""
    layer = Layer("conv", 4, 16, 1, 1, 8, 8, 8, 8)
    memory = Memory(2 * 8 * 4, 2 * 4 * 64, 2 * 16 * 64, 8)
    run = best_run(
        layer, ArrayWork(8, 8, 4, steps=2, folds=1, useful_lane_cycles=0), memory, 8 * layer.weights
    )
    assert run.tile == (8, 8, 4, 8)
    assert run.compute_cycles == 8 * 2
    assert (run.weight_read_bits, run.input_read_bits, run.output_write_bits) == (8 * 64, 8 * 256, 8 * 1024)
    # 32 + 256 cycles for the first tiles, 512 for the last outputs, and between them 32 + 512, of which 16
    # overlap with computing
    assert run.stall_cycles == 32 + 256 + (32 + 512 - 16) + 512


def test_tiles_of_channels_write_partial_sums():
    layer = Layer("fc", 1024, 8, 1, 1, 1, 64, 1, 64)
    memory = Memory(2 * 512 * 8, 2 * 8 * 512, 2 * 8 * 4 * 8, 64)
    run = best_run(
        layer, ArrayWork(8, 8, 4, steps=512, folds=1, useful_lane_cycles=0), memory, 8 * layer.weights
    )
    assert run.tile[2] == 512
    # writing and reading 512 sums once costs less than fetching the weights for each tile of pixels
    assert run.order[0] == "channel"
    assert run.sum_read_bits == 512 * 32
    assert run.output_write_bits == 512 * 32 + 512 * 8
    assert run.weight_read_bits == 8 * layer.weights


@pytest.mark.parametrize("name", ["weight_sram_bytes", "input_sram_bytes", "output_sram_bytes"])
def test_an_sram_too_small_for_any_tile_is_named(name):
    layer = Layer("conv", 64, 64, 3, 3, 16, 16, 14, 14)
    with pytest.raises(InputError, match=f"layer conv: {name}=2 holds no tile of [0-9]+ bytes twice"):
        best_run(layer, swis_work(layer), replace(SMALL, **{name: 2}), 8 * layer.weights)


def test_sizes_below_one_are_refused():
    with pytest.raises(InputError, match="input_sram_bytes must be at least 1, not 0"):
        Memory(input_sram_bytes=0)
