"""The cycle-by-cycle simulation of the array computes convolutions in the cycles of the closed form."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, unfold

from swis.coding.digits import digits_of
from swis.encoding.decompose import decompose, to_filters
from swis.formats.registry import weight_format
from swis.formats.swis_signed import SwisSigned
from swis.hardware.arrays.swis import fold_cycles, layer_work, portions, simulate_fold
from swis.hardware.arrays.systolic import systolic_work
from swis.hardware.layer_shapes import Layer


def operands(filters, pixels, width, method, shifts, group_size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(-127, 128, (filters, width), generator=generator, dtype=torch.int16)
    found = decompose(codes.to(torch.int8), weight_format(method, shifts, group_size, 1.0, 7))
    activations = torch.randint(0, 256, (pixels, width), generator=generator)
    return activations.numpy(), found.codes.numpy().astype(int), found.shift_sets.numpy()


@pytest.mark.parametrize("method", ["swis", "swis_c"])
@pytest.mark.parametrize("shifts_per_cycle", [1, 2])
@pytest.mark.parametrize("shifts", [1, 2, 3, 4])
@pytest.mark.parametrize(("filters", "pixels"), [(4, 5), (3, 1), (1, 4)])
def test_sums_and_cycles_of_a_fold(method, shifts_per_cycle, shifts, filters, pixels):
    group_size, width, rows, columns = 4, 18, 4, 5  # the last group has only two weights
    activations, codes, sets = operands(filters, pixels, width, method, shifts, group_size)
    sums, cycles = simulate_fold(activations, codes, sets, group_size, rows, columns, shifts_per_cycle)
    assert np.array_equal(sums, codes @ activations.T)
    assert cycles == fold_cycles(5, np.full(filters, shifts), rows, columns, shifts_per_cycle)


@pytest.mark.parametrize("shifts_per_cycle", [1, 2])
@pytest.mark.parametrize("shifts", [1, 2, 3])
def test_signed_digits_take_the_cycles_of_bits(shifts_per_cycle, shifts):
    generator, fmt = torch.Generator().manual_seed(0), SwisSigned(shifts=shifts, group_size=4)
    found = decompose(torch.randint(-127, 128, (4, 18), generator=generator).to(torch.int8), fmt)
    codes, places = found.codes.numpy().astype(int), found.shift_sets.numpy()
    activations = torch.randint(0, 256, (5, 18), generator=generator).numpy()
    groups = np.pad(codes, ((0, 0), (0, 2))).reshape(-1, 4)
    digits = digits_of(groups, places.reshape(-1), fmt).reshape(4, 20, shifts)[:, :18]
    assert (digits < 0).any() and (digits > 0).any()
    fields = (1 << fmt.digit_exponents()).sum(1)[places]
    sums, cycles = simulate_fold(activations, codes, fields, 4, 4, 5, shifts_per_cycle, digits=digits)
    assert np.array_equal(sums, codes @ activations.T)
    assert cycles == fold_cycles(5, np.full(4, shifts), 4, 5, shifts_per_cycle)
    with pytest.raises(ValueError, match="not those of the codes"):
        simulate_fold(activations, codes, fields, 4, 4, 5, shifts_per_cycle, digits=-digits)


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("group_size", [1, 2, 3, 4, 5, 8, 12, 40])
def test_groups_of_any_size_run_on_a_fixed_number_of_lanes(group_size, share):
    """All lanes have the same shift set at a time, unless every lane has its own shifter."""
    activations, codes, sets = operands(3, 4, 18, "swis", 2, group_size)
    sums, cycles = simulate_fold(activations, codes, sets, group_size, 4, 5, 1, 4, share)
    assert np.array_equal(sums, codes @ activations.T)
    count = portions(18, 4, None if share else group_size)
    assert cycles == fold_cycles(count, np.full(3, 2), 4, 5, 1)
    layer = Layer("fc", 18, 3, 1, 1, 1, 1, 1, 1)
    work = layer_work(layer, np.full(3, 2), 4, 4, 5, 1, group_size=group_size, groups_share_lanes=share)
    assert work.cycles(layer) == cycles


@pytest.mark.parametrize(("shifts_per_cycle", "steps"), [(1, 3), (2, 2)])
def test_all_rows_take_the_time_of_the_most_shifts(shifts_per_cycle, steps):
    activations, codes, sets = operands(3, 2, 8, "swis", 1, 4)
    _, three, more = operands(1, 2, 8, "swis", 3, 4, seed=1)
    codes, sets = np.concatenate([codes, three]), np.concatenate([sets, more])
    sums, cycles = simulate_fold(activations, codes, sets, 4, 4, 2, shifts_per_cycle)
    assert np.array_equal(sums, codes @ activations.T)
    assert cycles == 2 * steps + 4 + 2 - 2 == fold_cycles(2, np.array([1, 1, 1, 3]), 4, 2, shifts_per_cycle)


def test_folds_compute_an_integer_convolution():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-127, 128, (6, 3, 3, 3), generator=generator).to(torch.int8)
    images = torch.randint(0, 256, (1, 3, 6, 5), generator=generator)
    found = decompose(to_filters(weight), weight_format("swis", 2, 4, 1.0, 7))
    patches = unfold(images.double(), 3, padding=1).reshape(3, 9, -1).permute(2, 1, 0).reshape(-1, 27)
    out = np.empty((6, len(patches)), np.int64)
    for row in range(0, 6, 4):
        for pixel in range(0, len(patches), 8):
            part = slice(row, row + 4), slice(pixel, pixel + 8)
            codes, sets = found.codes[part[0]].numpy(), found.shift_sets[part[0]].numpy()
            out[part], _ = simulate_fold(patches[part[1]].long().numpy(), codes, sets, 4, 4, 8, 1)
    decoded = found.codes.reshape(6, 3, 3, 3).permute(0, 3, 1, 2).double()
    assert np.array_equal(out, conv2d(images.double(), decoded, padding=1).long().reshape(6, -1).numpy())


def test_codes_outside_their_sets_are_refused():
    with pytest.raises(ValueError, match="outside its group's shift set"):
        simulate_fold(np.ones((1, 1), int), np.array([[3]]), np.array([[1]], np.uint8), 1, 1, 1, 1)


LAYERS = [
    Layer("conv", 16, 24, 3, 3, 14, 14, 14, 14),
    Layer("grouped", 16, 24, 3, 3, 14, 14, 7, 7, groups=4, stride_h=2, stride_w=2),
    Layer("dw", 20, 20, 5, 5, 9, 9, 9, 9, groups=20),
    Layer("fc", 100, 30, 1, 1, 1, 1, 1, 1),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_with_one_lane_and_one_shift_it_equals_the_systolic_array(layer):
    ones = np.ones(layer.out_channels, int)
    # the filters of an output-stationary systolic array are its columns
    assert layer_work(layer, ones, 1, 8, 6, 1).cycles(layer) == systolic_work(layer, 6, 8, "os").cycles(layer)


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
@pytest.mark.parametrize("shifts_per_cycle", [1, 2])
def test_a_layer_is_the_sum_of_its_folds(layer, shifts_per_cycle):
    shifts = np.random.default_rng(0).integers(1, 5, layer.out_channels)
    groups, each = -(-layer.filter_weights // 4), layer.out_channels // layer.groups
    total = 0
    for first in range(0, layer.out_channels, each):
        for row in range(first, first + each, 8):
            part = shifts[row : min(row + 8, first + each)]
            total += -(-layer.pixels // 6) * fold_cycles(groups, part, 8, 6, shifts_per_cycle)
    assert layer_work(layer, shifts, 4, 8, 6, shifts_per_cycle).cycles(layer) == total


def test_more_shifts_never_take_fewer_cycles_and_order_matters():
    layer, generator = LAYERS[0], np.random.default_rng(0)
    shifts = generator.integers(1, 5, 24)
    cycles = layer_work(layer, shifts, 4, 8, 8, 1).cycles(layer)
    assert layer_work(layer, np.sort(shifts), 4, 8, 8, 1).cycles(layer) < cycles
    for filter_ in range(24):
        more = shifts.copy()
        more[filter_] += 1
        assert layer_work(layer, more, 4, 8, 8, 1).cycles(layer) >= cycles


def test_shifts_of_other_filters_are_refused():
    with pytest.raises(ValueError, match="has 24 filters"):
        layer_work(LAYERS[0], np.ones(23, int), 4, 8, 8, 1)


@pytest.mark.parametrize(("groups", "filters"), [(20, 1), (20, 3), (3, 2), (2, 12)])
def test_groups_side_by_side_wait_only_for_each_other(groups, filters):
    layer = Layer("conv", groups, groups * filters, 3, 3, 9, 9, 7, 7, groups=groups)
    shifts = np.random.default_rng(0).integers(1, 5, layer.out_channels)
    work = layer_work(layer, shifts, 4, 8, 6, 1, side_by_side=True)
    total, bundle = 0, max(8 // filters, 1)
    for group in range(0, groups, bundle):
        mine = shifts[filters * group : filters * (group + bundle)]
        for row in range(0, len(mine), 8):
            total += -(-49 // 6) * fold_cycles(3, mine[row : row + 8], 8, 6, 1)
    assert work.cycles(layer) == total
    assert work.cycles(layer) <= layer_work(layer, shifts, 4, 8, 6, 1).cycles(layer)
