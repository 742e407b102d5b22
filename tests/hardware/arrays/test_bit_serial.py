"""Bit-serial arrays compared with BitSim."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import scalesim_layer
from timm.layers import Conv2dSame
from torch import nn

from swis.errors import InputError
from swis.hardware.arrays.bit_serial import SKIPPING, laconic_work, skipping_work, stripes_work
from swis.hardware.layer_shapes import Layer, workload


@pytest.fixture(scope="module")
def layers(shared) -> dict[tuple[str, str], Layer]:
    """Return the layers of the reference tables; depthwise layers have all their channels."""
    table = pd.read_csv(shared / "golden" / "scalesim_cycles.csv").drop_duplicates(["net", "layer"])
    return {
        (row.net, row.layer): scalesim_layer(row, row.repeats if row.kind == "dw" else 1)
        for row in table.itertuples()
    }


def test_bitsim_stripes_cycles_on_every_row(shared, layers):
    table = pd.read_csv(shared / "golden" / "bitsim_stripes.csv")
    for net, height, width, lanes, bits, name, cycles, _ in table.itertuples(index=False):
        layer = layers[net, name]
        assert stripes_work(layer, height, width, lanes, bits).cycles(layer) == cycles, (net, name)
    assert len(table) > 1000


@pytest.mark.parametrize("groups", [1, 2])
def test_steps_counted_one_by_one(groups):
    """Count every step of the array in loops."""
    layer, filters, columns, lanes = Layer("conv", 6, 10, 2, 2, 5, 7, 4, 6, groups), 4, 4, 2
    steps = 0
    for _ in range(groups):
        for _ in range(0, 10 // groups, filters):
            for _ in range(layer.out_h):
                for _ in range(0, layer.out_w, columns):
                    if 6 // groups < 4:
                        steps += (6 // groups) * len(range(0, 4, lanes))
                    else:
                        steps += 4 * len(range(0, 6 // groups, lanes))
    assert stripes_work(layer, filters, columns, lanes, 1).cycles(layer) == steps


def random_codes(layer: Layer, largest: int = 127) -> np.ndarray:
    shape = (layer.out_channels, layer.in_channels // layer.groups, layer.kernel_h, layer.kernel_w)
    return np.random.default_rng(0).integers(-largest, largest + 1, shape)


def pace_by_hand(unit: list[list[int]], skipping: str) -> int:
    """Return the cycles of the lanes of one PE, from the bits of their magnitudes as text."""
    bits = [f"{abs(code):08b}" for code in unit]
    if skipping == "bits":
        return max(text.count("1") for text in bits)
    at_significance = ["".join(column).count("1") for column in zip(*bits, strict=True)]
    return max(at_significance) if skipping == "significances" else sum(ones > 0 for ones in at_significance)


@pytest.mark.parametrize("skipping", SKIPPING)
@pytest.mark.parametrize("groups, kernel", [(1, 2), (2, 2), (6, 3), (1, 1)])
def test_cycles_with_skipping_counted_one_by_one(skipping, groups, kernel):
    layer = Layer("conv", 6, 12, kernel, kernel, 8, 8, 5, 7, groups)
    codes, filters, columns, lanes = random_codes(layer, 15), 5, 4, 4
    channels, taps, cycles = 6 // groups, kernel * kernel, 0
    for first in range(0, 12, 12 // groups):
        mine = range(first, first + 12 // groups)
        for tile in range(0, len(mine), filters):
            rows = codes[list(mine[tile : tile + filters])].reshape(-1, channels, taps)
            series = rows.transpose(1, 0, 2) if taps > channels else rows.transpose(2, 0, 1)
            for terms in series:
                for lane in range(0, terms.shape[1], lanes):
                    cycles += max(pace_by_hand(unit, skipping) for unit in terms[:, lane : lane + lanes])
    found = skipping_work(codes, layer, filters, columns, lanes, skipping).cycles(layer)
    assert found == cycles * 5 * 2


@pytest.mark.parametrize("skipping", SKIPPING)
def test_skipping_takes_as_long_as_stripes_if_every_bit_is_one(skipping):
    layer = Layer("conv", 16, 24, 3, 3, 8, 8, 6, 6)
    bits = 8 if skipping == "significances" else 7  # the ones of 8 lanes, or the 7 bits of a magnitude
    full = skipping_work(np.full_like(random_codes(layer), -127), layer, 8, 4, 8, skipping)
    assert replace(full, useful_lane_cycles=0) == replace(
        stripes_work(layer, 8, 4, 8, bits), useful_lane_cycles=0
    )
    assert full.useful_lane_cycles == 7 * layer.macs
    assert skipping_work(random_codes(layer), layer, 8, 4, 8, skipping).steps <= full.steps
    assert skipping_work(np.zeros_like(random_codes(layer)), layer, 8, 4, 8, skipping).steps == 0


def test_unknown_skipping_and_codes_of_another_shape_are_refused():
    layer = Layer("conv", 16, 24, 3, 3, 8, 8, 6, 6)
    with pytest.raises(ValueError, match="skipping must be one of"):
        skipping_work(random_codes(layer), layer, 8, 4, 8, "zeros")
    with pytest.raises(ValueError, match="has weights"):
        skipping_work(random_codes(layer)[:, :3], layer, 8, 4, 8, "bits")


@pytest.mark.parametrize(
    "groups, kernel, stride, dilation, maps, pads",
    [
        (1, 2, 1, 1, 1, (0, 0, 0, 0)),
        (2, 3, 2, 1, 1, (0, 1, 1, 0)),
        (6, 3, 1, 1, 1, (1, 1, 1, 1)),
        (1, 1, 1, 1, 1, (0, 0, 0, 0)),
        (2, 2, 1, 3, 1, (1, 0, 2, 1)),
        (6, 3, 1, 2, 3, (2, 2, 2, 2)),
        (1, 3, 2, 1, 1, (1, 1, 0, 0)),
    ],
)
def test_laconic_s_cycles_counted_one_by_one(groups, kernel, stride, dilation, maps, pads):
    """Every PE of a step waits for the lane with the most ones of its weight times ones of its input."""
    outs = (4, 5)
    padded = [(side - 1) * stride + dilation * (kernel - 1) + 1 for side in outs]
    ins = [side - sum(pads[axis::2]) for axis, side in enumerate(padded)]
    more = (stride, stride, dilation, dilation, maps, *pads)
    layer = Layer("conv", 6, 12, kernel, kernel, *ins, *outs, groups, *more)
    codes, filters, columns, lanes = random_codes(layer, 127), 5, 3, 4
    inputs = np.random.default_rng(1).integers(-255, 256, (6, maps, *ins))
    channels, each, taps = 6 // groups, 12 // groups, [(y, x) for y in range(kernel) for x in range(kernel)]
    if len(taps) > channels:
        steps = [
            [(c, *tap) for tap in taps[at : at + lanes]]
            for c in range(channels)
            for at in range(0, len(taps), lanes)
        ]
    else:
        steps = [
            [(c, *tap) for c in range(channels)[at : at + lanes]]
            for tap in taps
            for at in range(0, channels, lanes)
        ]
    cycles = useful_lane_cycles = 0
    places = product(range(groups), range(maps), range(outs[0]), range(0, outs[1], columns))
    for group, one, y, left in places:
        pixels = range(left, min(left + columns, outs[1]))
        for first in range(0, each, filters):
            mine = range(group * each + first, group * each + min(first + filters, each))
            for step in steps:
                seen = inputs[group * channels : (group + 1) * channels, one]
                seen = np.pad(seen, ((0, 0), pads[0::2], pads[1::2]))
                found = [
                    abs(int(codes[f, c, dy, dx])).bit_count()
                    * abs(int(seen[c, y * stride + dy * dilation, x * stride + dx * dilation])).bit_count()
                    for f in mine
                    for x in pixels
                    for c, dy, dx in step
                ]
                cycles += max(found)
                useful_lane_cycles += sum(found)
    work = laconic_work(codes, inputs.reshape(6, -1, ins[1]), layer, filters, columns, lanes)
    folds = maps * outs[0] * -(-outs[1] // columns)
    assert work.steps == -(-cycles // folds)
    assert work.useful_lane_cycles == useful_lane_cycles
    assert 0 <= work.cycles(layer) - cycles < folds


@pytest.mark.parametrize(
    ("pads", "padded_by_itself"),
    [((1, 1, 1, 1), nn.Conv2d(1, 1, 3, 2, padding=1)), ((0, 0, 1, 1), Conv2dSame(1, 1, 3, 2))],
    ids=["torch", "same"],
)
def test_windows_have_the_padding_of_the_network(pads, padded_by_itself):
    """Sizes alone do not determine the windows: with a stride of 2 the first may include padding or not."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(1, 256, (1, 1, 6, 6), generator=generator)
    top, left, bottom, right = pads
    network = nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), nn.Conv2d(1, 1, 3, 2))
    [outside], [layer] = (workload(model, (1, 6, 6)) for model in (network, padded_by_itself))
    assert (layer.pad_top, layer.pad_left, layer.pad_bottom, layer.pad_right) == pads
    codes = np.ones((1, 1, 3, 3), int)
    useful_lane_cycles = laconic_work(codes, image[0].numpy(), layer, 1, 1, 4).useful_lane_cycles
    ones = torch.from_numpy(np.bitwise_count(image.numpy())).float()
    expected = nn.functional.conv2d(network[0](ones), torch.ones(1, 1, 3, 3), stride=2)
    assert useful_lane_cycles == expected.sum()
    padded = network[0](image)[0].numpy()
    assert laconic_work(codes, padded, outside, 1, 1, 4).useful_lane_cycles == useful_lane_cycles


def test_laconic_refuses_inputs_of_another_layer():
    layer = Layer("conv", 16, 24, 3, 3, 8, 8, 6, 6)
    with pytest.raises(ValueError, match=r"has inputs \(16, 8, 8\), not \(16, 6, 6\)"):
        laconic_work(random_codes(layer), np.zeros((16, 6, 6)), layer, 8, 8, 4)
    more = replace(layer, out_h=7)
    with pytest.raises(InputError, match="layer conv: out_h is at most 6, not 7: in_h=8, pad_top=0"):
        laconic_work(random_codes(more), np.zeros((16, 8, 8), int), more, 8, 8, 4)


@pytest.mark.parametrize("skipping", SKIPPING)
def test_channels_side_by_side_wait_for_the_slowest_channel(skipping):
    layer = Layer("dw", 12, 12, 3, 3, 8, 8, 6, 6, groups=12)
    codes, cycles = random_codes(layer, 127), 0
    for first in range(0, 12, 8):
        for lane in range(0, 9, 4):
            units = codes[first : first + 8].reshape(-1, 9)[:, lane : lane + 4]
            cycles += max(pace_by_hand(unit, skipping) for unit in units)
    work = skipping_work(codes, layer, 8, 4, 4, skipping, side_by_side=True)
    assert (work.steps, work.folds, work.bundle) == (cycles, 2, 8)
    assert stripes_work(layer, 8, 4, 4, 5, side_by_side=True).steps == 2 * 3 * 5
