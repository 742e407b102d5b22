"""SRAM traffic, counted access by access for one tiling, and its properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from test_dram import SMALL, layers

from swis.hardware.arrays.swis import layer_work
from swis.hardware.arrays.systolic import systolic_work
from swis.hardware.dram import Run, best_run
from swis.hardware.layer_shapes import Layer
from swis.hardware.sram import on_chip

LAYER = Layer("conv", 16, 24, 3, 3, 12, 12, 10, 10)
WHOLE = Run((10, 10, 16, 24), ("pixel", "channel", "filter"), 1, 13, 1, 0, 0, 0, 0, 0, 0)


def test_an_output_stationary_array_access_by_access():
    """It computes 8 filters x 8 pixels at once, with a group of weights per filter and 4 inputs per pixel."""
    weights = inputs = outputs = passed = 0
    for first in range(0, 100, 8):
        for _ in range(0, 24, 8):
            pixels = min(8, 100 - first)
            for _ in range(0, LAYER.filter_weights, 4):
                weights += 8 * 18  # the bits of a group with two shifts
                inputs += pixels * 4 * 8
                passed += 8 * 18 * 8 + pixels * 4 * 8 * 8
            outputs += 8 * pixels * 8
    work = layer_work(LAYER, np.full(24, 2), 4, 8, 8, 1)
    chip = on_chip(LAYER, work, WHOLE, 24 * 36 * 18, 8, systolic=True)
    assert chip.weight_read_bits == weights
    assert chip.input_read_bits == inputs
    assert chip.output_write_bits == outputs
    assert chip.register_bits == passed
    assert on_chip(LAYER, work, WHOLE, 24 * 36 * 18, 8, systolic=False).register_bits == 0


def test_a_weight_stationary_array_access_by_access():
    """It keeps 8 weights x 8 filters, and all sums of a pixel but the last have 32 bits."""
    weights = inputs = written = read = passed = 0
    passes = LAYER.filter_weights // 8
    for _ in range(0, 24, 8):
        for number in range(passes):
            weights += 64 * 8
            for _ in range(100):
                inputs += 8 * 8
                passed += 8 * 8 * 8 + 8 * 8 * 32
                written += 8 * (8 if number == passes - 1 else 32)
                read += 8 * (32 if number else 0)
    chip = on_chip(LAYER, systolic_work(LAYER, 8, 8, "ws"), WHOLE, 8 * LAYER.weights, 8, systolic=True)
    assert chip.weight_read_bits == weights
    assert chip.input_read_bits == inputs
    assert (chip.output_write_bits, chip.output_read_bits) == (written, read)
    assert chip.register_bits == passed


@pytest.mark.parametrize(("side_by_side", "times"), [(False, 8), (True, 1)])
def test_channels_side_by_side_do_not_pass_inputs_on(side_by_side, times):
    layer = Layer("dw", 64, 64, 3, 3, 12, 12, 10, 10, groups=64)
    work = layer_work(layer, np.full(64, 2), 4, 8, 8, 1, side_by_side)
    chip = on_chip(layer, work, WHOLE, 0, 8, systolic=True)
    assert chip.input_read_bits == 8 * layer.macs  # every filter has its own channel
    assert chip.register_bits == times * chip.input_read_bits


@settings(max_examples=40, deadline=None)
@given(layers())
def test_srams_write_what_the_dram_reads_and_read_it_at_least_once(layer):
    work, bits = layer_work(layer, np.full(layer.out_channels, 2), 4, 8, 8, 1), 5 * layer.weights
    run = best_run(layer, work, SMALL, bits)
    chip = on_chip(layer, work, run, bits, 8, systolic=True)
    assert chip.weight_write_bits == run.weight_read_bits
    assert chip.input_write_bits == run.input_read_bits
    assert chip.weight_read_bits >= bits
    assert chip.input_read_bits >= 8 * layer.pixels * layer.filter_weights
    assert chip.output_write_bits >= run.output_write_bits
    assert chip.output_read_bits >= run.output_write_bits
