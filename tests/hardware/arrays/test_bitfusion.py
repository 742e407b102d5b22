"""The model of BitFusion is compared with the results of BitFusion's optimizer."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from swis.errors import InputError
from swis.hardware.arrays.bitfusion import LOOPS, FusionArray, FusionModel, FusionRun, Tiling
from swis.hardware.layer_shapes import Layer
from swis.options.hardware import Memory


@pytest.fixture(scope="module")
def table(shared) -> pd.DataFrame:
    return pd.read_csv(shared / "golden" / "bitfusion_16x32_b1.csv")


def model_of(row) -> FusionModel:
    side = (row.E - 1) * row.stride + row.R
    squares = [size for size in (row.R, side, row.E) for _ in "hw"]
    layer = Layer(row.layer, row.C, row.M, *squares, stride_h=row.stride, stride_w=row.stride)
    return FusionModel(layer, FusionArray(), row.wgt_bits, row.act_bits, row.im2col)


def tiling_of(row) -> Tiling:
    sizes = {loop: int(size) for loop, size in re.findall(r"'(\w+)/\w+': \(\d+; (\d+)\)", row.tiling)}
    order = tuple(loop.split("/")[0] for loop in row.order.split(">"))
    return Tiling(tuple(sizes[loop] for loop in LOOPS), tuple(loop for loop in order if loop in LOOPS))


def test_runs_equal_those_of_the_optimizer_s_tilings(table):
    for row in table.itertuples():
        run = model_of(row).run(tiling_of(row))
        assert run.compute_cycles == row.compute_cycles, row
        assert run.stall_cycles == row.mem_stall_cycles, row
        assert run.dram_read_bits == row.dram_rd_bits, row
        assert run.dram_write_bits == row.dram_wr_bits, row
    assert len(table) > 200


def test_our_search_finds_the_optimizer_s_cycles(table):
    for row in table.itertuples():
        assert model_of(row).best_run().cycles == row.total_cycles, row


LAYER = Layer("conv", 64, 96, 3, 3, 30, 30, 28, 28)


def best(layer: Layer = LAYER, weight_bits: int = 8, **memory: int) -> FusionRun:
    array = FusionArray(memory=replace(FusionArray().memory, **memory))
    return FusionModel(layer, array, weight_bits).best_run()


def test_more_bandwidth_never_stalls_more():
    cycles = [best(dram_bits_per_cycle=bits).cycles for bits in (16, 64, 256, 1024, 10**12)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > cycles[-1]
    # the first load and the last store take a cycle each
    assert best(dram_bits_per_cycle=10**12).stall_cycles == 2


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_traffic_includes_every_operand_once(bits):
    run = best(weight_bits=bits)
    assert run.dram_read_bits >= LAYER.weights * bits + LAYER.inputs * 8
    assert run.dram_write_bits >= LAYER.outputs * 32


def test_groups_run_one_after_another():
    together = best(Layer("dw", 32, 32, 3, 3, 16, 16, 14, 14, groups=32))
    alone = best(Layer("dw", 1, 1, 3, 3, 16, 16, 14, 14))
    assert together.cycles == 32 * alone.cycles
    assert together.dram_read_bits == 32 * alone.dram_read_bits


def test_maps_run_one_by_one_and_share_weights_that_fit_the_srams():
    one = Layer("pool", 32, 32, 3, 3, 16, 16, 14, 14)
    alone, together = best(one), best(replace(one, maps=3))
    assert together.compute_cycles == 3 * alone.compute_cycles
    assert together.weight_read_bits == alone.weight_read_bits
    assert together.input_read_bits == 3 * alone.input_read_bits
    assert together.dram_write_bits == 3 * alone.dram_write_bits
    # a tile of 2 maps has 2 x 16 rows, and 3 maps need 2 such tiles
    tiling = Tiling((14, 28, 32, 32), ("OC", "IC", "OH", "OW"))
    pairs = FusionModel(replace(one, maps=3), FusionArray()).run(tiling)
    assert pairs.input_read_bits == 2 * (2 * 16 * 16 * 32 * 8)
    assert pairs.compute_cycles == 4 * alone.compute_cycles


def test_a_dilated_kernel_reads_more_rows():
    plain, dilated = (
        FusionModel(Layer("conv", 8, 32, 3, 3, *[16 + 2 * d] * 2, 16, 16, dilation_h=d), FusionArray())
        for d in (1, 3)
    )
    tiling = Tiling((16, 4, 8, 32), ("OC", "IC", "OH", "OW"))
    lines = [model.run(tiling).input_read_bits // (18 * 8 * 8) for model in (plain, dilated)]
    assert lines == [4 * (4 + 2), 4 * (4 + 6)]
    assert plain.run(tiling).compute_cycles == dilated.run(tiling).compute_cycles


def test_rows_that_a_stride_skips_are_not_read_by_dilated_kernels():
    layer = Layer("conv", 8, 32, 3, 1, 11, 16, 4, 16, stride_h=2, dilation_h=2)
    model = FusionModel(layer, FusionArray(), sums_to_dram=False)
    run = model.run(Tiling((16, 4, 8, 32), ("OC", "IC", "OH", "OW")))
    assert run.input_read_bits == 6 * 16 * 8 * 8  # rows 0, 2, 4, ... 10


def test_the_search_finds_the_least_of_all_tilings():
    model, least = FusionModel(LAYER, FusionArray()), best().cycles
    generator = np.random.default_rng(0)
    tried = 0
    for _ in range(200):
        side, channels, filters = 2 ** generator.integers(0, [5, 7, 2]) * [1, 1, 32]
        tiling = Tiling((side, side, channels, filters), tuple(generator.permutation(LOOPS)))
        # a tile must fit half of the SRAMs of 16 KiB (outputs), 32 KiB (inputs) and 64 KiB (weights)
        bytes_ = side**2 * filters * 4, channels * (side + 2) ** 2, -(-9 * channels // 16) * 16 * filters
        if bytes_[0] <= 8192 and bytes_[1] <= 16384 and bytes_[2] <= 32768:
            assert model.run(tiling).cycles >= least
            tried += 1
    assert tried > 50


def test_srams_too_small_for_any_tile_are_refused():
    with pytest.raises(InputError, match="layer conv: the SRAMs are too small for one tile"):
        best(input_sram_bytes=16)


@pytest.mark.parametrize("bits", [3, 16])
def test_unsupported_bits_are_refused(bits):
    with pytest.raises(InputError, match=f"weight_bits of fusion units must be 2, 4 or 8, not {bits}"):
        best(weight_bits=bits)


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_without_sums_to_dram_only_partial_sums_have_32_bits(tiles):
    """The loop over tiles of channels is outermost, so that all sums are read again for each tile."""
    layer, array = Layer("pw", 32, 16, 1, 1, 4, 4, 4, 4), FusionArray(4, 8, Memory(64, 4096, 64, 64))
    tiling = Tiling((4, 1, 32 // tiles, 8), ("IC", "OC", "OH", "OW"))
    public, lean = (FusionModel(layer, array, sums_to_dram=way).run(tiling) for way in (True, False))
    sums = layer.outputs * 32
    assert (public.sum_read_bits, public.dram_write_bits) == (tiles * sums, tiles * sums)
    assert lean.sum_read_bits == (tiles - 1) * sums
    assert lean.dram_write_bits == (tiles - 1) * sums + layer.outputs * 8
    assert lean.compute_cycles == public.compute_cycles
    assert lean.cycles <= public.cycles
    chip = FusionModel(layer, array, sums_to_dram=False).on_chip(lean)
    assert chip.output_write_bits == tiles * sums + lean.sum_read_bits
    assert chip.output_read_bits == (tiles - 1) * sums + lean.dram_write_bits
    # in a cycle each of 4 rows reads an input, and each of 32 fusion units reads a weight
    assert chip.input_read_bits == lean.compute_cycles * 4 * 8
    assert chip.weight_read_bits == lean.compute_cycles * 32 * 8


@pytest.mark.parametrize("shape", [(64, 128, 3, 28), (256, 64, 1, 14), (1, 1, 3, 56)])
def test_slack_allows_less_traffic_for_few_more_cycles(shape):
    channels, filters, kernel, side = shape
    layer = Layer("conv", channels, filters, kernel, kernel, side, side, side, side)
    model = FusionModel(layer, FusionArray(8, 8, Memory()), sums_to_dram=False)
    fastest, lean = model.best_run(), model.best_run(0.05)
    assert fastest.cycles <= lean.cycles <= 1.05 * fastest.cycles
    assert lean.dram_bits <= fastest.dram_bits
    assert model.run(lean.tiling) == lean
