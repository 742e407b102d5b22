"""Latent weights: the weight of the layer, the gradients, the updates of shift sets, and frozen codes."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from swis.encoding.decompose import decompose, to_filters
from swis.encoding.encode import encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.powers_of_two import sums
from swis.formats.registry import weight_format
from swis.networks.apply import encode_layers
from swis.training.oscillation import Oscillation
from swis.training.parametrization import Latent, LatentTraining, add_latents, latents

METHODS = ("swis", "swis_c", "swis_signed", "truncate", "round", "uniform", "uniform_group", "int8")


def weights(*shape, seed=0):
    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    weight[1] = 0  # a filter whose codes are all zero
    return weight


def plan_of(shifts):
    return LayerSchedule(np.array(shifts), np.arange(len(shifts)), np.array(shifts))


def drifted(encoded, seed=1, size=0.2):
    """Return a latent weight at some distance from its levels."""
    noise = torch.randn(encoded.shape, generator=torch.Generator().manual_seed(seed))
    return encoded.weight() + size * encoded.weight().abs().max() * noise


def bits(tensor):
    return tensor.contiguous().view(torch.int32)


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
@pytest.mark.parametrize("shape", [(4, 6, 3, 3), (4, 1, 3, 3), (4, 10)])
@pytest.mark.parametrize("method", METHODS)
def test_the_first_and_the_last_weight_are_encoded_weights(method, shape, granularity):
    fmt = weight_format(method, 2, 4, granularity=granularity)
    encoded = encode(weights(*shape), fmt)
    latent = Latent(encoded, LatentTraining())
    assert torch.equal(bits(latent(latent.start_weight())), bits(encoded.weight()))
    moved = drifted(encoded)
    latent.gain.data.uniform_(0.7, 1.4)
    latent.advance(moved, 1)
    assert torch.equal(bits(latent(moved)), bits(latent.encoded(moved).weight()))
    if method in ("swis", "swis_c"):
        assert not torch.equal(latent.encoded(moved).shift_sets, encoded.shift_sets)
        assert latent.encoded(moved).shift_sets.dtype == torch.uint8
    assert latent.encoded(moved).codes.dtype == encoded.codes.dtype


@pytest.mark.parametrize("method", METHODS)
def test_a_trained_weight_is_encoded_as_by_encode(method):
    fmt = weight_format(method, 3, 4)
    encoded = encode(weights(4, 6, 3, 3), fmt)
    latent = Latent(encoded, LatentTraining())
    moved = drifted(encoded)
    latent.advance(moved, 1)
    top = 2 ** (3 if method == "uniform" else 7) - 1
    codes = (to_filters(moved) / encoded.scale.reshape(-1, 1)).round().clamp(-top, top).to(torch.int8)
    expected = codes if method in ("uniform", "int8") else decompose(codes, weight_format(method, 3, 4)).codes
    assert torch.equal(latent.codes(moved), expected.float())


@pytest.mark.parametrize("method", METHODS[:-1])
def test_filters_can_have_different_numbers_of_shifts(method):
    schedule = plan_of([1, 2, 3, 3])
    fmt = weight_format(method, 2.25, 4)
    encoded = encode(weights(4, 6, 3, 3), fmt, schedule)
    latent = Latent(encoded, LatentTraining())
    assert torch.equal(latent(latent.start_weight()), encoded.weight())
    moved = drifted(encoded)
    latent.advance(moved, 1)
    found = latent.encoded(moved)
    assert torch.equal(found.weight(), latent(moved))
    for n in (1, 2, 3):
        alone = Latent(encode(weights(4, 6, 3, 3), replace(fmt, shifts=n)), LatentTraining())
        alone.unit.copy_(latent.unit)
        alone.advance(moved, 1)
        mine = schedule.shifts == n
        assert torch.equal(found.codes[mine], alone.encoded(moved).codes[mine])


def test_without_updates_weights_take_the_nearest_level_of_their_first_set():
    fmt = weight_format("swis", 2, 3)
    encoded = encode(weights(3, 7), fmt)  # the last group is padded
    latent = Latent(encoded, LatentTraining(set_update_interval=None))
    moved = drifted(encoded)
    latent.advance(moved, 1)
    wished = (moved / encoded.scale).round().clamp(-127, 127)
    for i in range(3):
        for j in range(7):
            field = int(encoded.shift_sets[i, j // 3])
            choices = sums(tuple(s for s in range(7) if field >> s & 1))
            code = min(choices, key=lambda level: (abs(level - abs(float(wished[i, j]))), level))
            assert latent.codes(moved)[i, j] == code * wished[i, j].sign()


def test_sets_are_updated_after_an_interval_of_steps_and_not_by_a_forward_pass():
    encoded = encode(weights(4, 6, 3, 3), weight_format("swis", 2, 4))
    latent, moved = Latent(encoded, LatentTraining(set_update_interval=3)), drifted(encoded)
    start = latent.sets.clone()
    for mode in (True, False):
        latent.train(mode)(moved)
    for step in (1, 2):
        latent.advance(moved, step)
        assert torch.equal(latent.sets, start)
    latent.advance(moved, 3, last=True)  # no weight would be trained with new sets after the last step
    assert torch.equal(latent.sets, start)
    latent.advance(moved, 3)
    assert not torch.equal(latent.sets, start)
    every = Latent(encoded, LatentTraining(set_update_interval=1))
    every.advance(moved, 3, last=True)
    assert torch.equal(every.sets, latent.sets)


@pytest.mark.parametrize("granularity", ["channel", "tensor"])
def test_gradients_pass_straight_through_unclipped_weights(granularity):
    encoded = encode(weights(3, 5), weight_format("swis", 2, 4, granularity=granularity))
    latent = Latent(encoded, LatentTraining())
    moved = drifted(encoded, size=0.5).requires_grad_()
    outer = torch.randn(3, 5, generator=torch.Generator().manual_seed(3))
    (latent(moved) * outer).sum().backward()
    wished, codes = (moved / encoded.scale).detach(), latent.codes(moved)
    inside = wished.abs() < 127.5
    assert 0 < inside.sum() < 15
    assert torch.equal(moved.grad, outer * inside)
    of_scale = outer * torch.where(inside, codes - wished, codes)
    of_scale = of_scale.sum(1) if granularity == "channel" else of_scale.sum()[None]
    count = 5 if granularity == "channel" else 15
    # two shifts have three steps of 32 codes
    expected = of_scale / 32 / (count * 3) ** 0.5 / (32 * encoded.scale.flatten())
    torch.testing.assert_close(latent.gain.grad, expected)


@pytest.mark.parametrize("method", ["truncate", "round", "uniform", "swis"])
def test_weights_in_the_middle_of_their_intervals_give_the_scale_no_gradient(method):
    latent = Latent(encode(weights(3, 10), weight_format(method, 2, 4)), LatentTraining())
    start = latent.start_weight().requires_grad_()
    latent(start).square().sum().backward()
    assert start.grad.abs().max() > 0
    torch.testing.assert_close(latent.gain.grad, torch.zeros(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("method", "shifts", "steps", "size"),
    [
        ("uniform", 2, 3, 1),  # codes -3..3 in steps of 1
        ("int8", 2, 127, 1),
        ("truncate", 2, 3, 32),  # codes to 127 in three steps of 32
        ("swis", 3, 7, 16),
    ],
)
def test_the_gradient_of_a_scale_has_the_factor_of_lsq(method, shifts, steps, size):
    for granularity, count in (("channel", 10), ("tensor", 30)):
        fmt = weight_format(method, shifts, 4, granularity=granularity)
        rate = Latent(encode(weights(3, 10), fmt), LatentTraining()).rate
        assert rate.flatten().tolist() == pytest.approx([(count * steps) ** -0.5 / size**2] * rate.numel())


def test_the_factor_depends_on_the_shifts_of_each_filter():
    schedule = plan_of([1, 3, 2])
    channel, tensor = (
        Latent(
            encode(weights(3, 10), weight_format("swis", 2, 4, granularity=g), schedule), LatentTraining()
        ).rate
        for g in ("channel", "tensor")
    )
    expected = [(10 * 1) ** -0.5 / 64**2, (10 * 7) ** -0.5 / 16**2, (10 * 3) ** -0.5 / 32**2]
    assert channel.flatten().tolist() == pytest.approx(expected)
    assert tensor.item() == pytest.approx(sum(expected) / 3 / 3**0.5)


def test_a_fixed_scale_is_not_a_parameter():
    encoded = encode(weights(3, 5), weight_format("swis", 2, 4))
    latent = Latent(encoded, LatentTraining(learned_scale=False))
    assert not list(latent.parameters())
    moved = drifted(encoded).requires_grad_()
    latent(moved).sum().backward()
    assert moved.grad.abs().sum() > 0


def test_dampening_pulls_weights_to_their_levels_and_gives_scales_no_gradient():
    encoded = encode(weights(3, 5), weight_format("round", 2))
    latent = Latent(encoded, LatentTraining())
    moved = drifted(encoded, size=0.5)
    distance = (moved - latent(moved).detach()) * (moved / latent.unit).abs().lt(127.5)
    assert distance.any()
    torch.testing.assert_close(latent.off_level(moved, latent.codes(moved)), distance)
    moved.grad = torch.ones_like(moved)
    latent.dampen(moved, 0.25)
    # the second term is the gradient of 0.25 x (squared distance)
    torch.testing.assert_close(moved.grad, 1 + 0.5 * distance)
    assert latent.gain.grad is None


def test_truncated_weights_start_in_the_middle_of_their_intervals():
    encoded = encode(torch.tensor([[1.27, -0.40, 0.31, 0.02]]), weight_format("truncate", 2))
    latent = Latent(encoded, LatentTraining())
    assert encoded.codes.tolist() == [[96, -32, 0, 0]]
    start = latent.start_weight()
    torch.testing.assert_close(start, torch.tensor([[111.5, -47.5, 0.0, 0.0]]) * 0.01)
    assert not latent.off_level(start, latent.codes(start)).any()
    for nudge in (-0.15, 0.15):
        assert torch.equal(latent(start + nudge), encoded.weight())


def test_an_oscillating_code_is_detected():
    watch = Oscillation(torch.zeros(1, 3), threshold=0.5, ema_momentum=0.1)
    found = torch.zeros(1, 3, dtype=torch.bool)
    for step in range(30):
        # the first code oscillates, the second grows, the third changes once
        codes = torch.tensor([[4.0 * (step % 2), float(step), 8.0 * (step > 3)]])
        found |= watch.update(codes)
    assert found.tolist() == [[True, False, False]]
    assert 1 < watch.average[0, 0] < 3


def test_a_frozen_code_stays_on_a_level_of_its_shift_set():
    encoded = encode(
        torch.tensor([[64.0, 2.0, 66.0, 127.0], [1.0, 2.0, 127.0, 0.0]]), weight_format("swis", 2)
    )
    latent = Latent(encoded, LatentTraining(freeze_threshold=0.3, ema_momentum=0.2))
    moved = encoded.weight()
    for step in range(1, 40):
        moved[0, 0] = 64.0 if step % 2 else 97.0
        latent.advance(moved, step)
        if latent.oscillation.frozen.any():
            break
    assert latent.oscillation.frozen.tolist() == [[True, False, False, False], [False] * 4]
    held = float(latent.oscillation.held[0, 0])
    field = int(latent.encoded(moved).shift_sets[0, 0])
    assert held in sums(tuple(s for s in range(7) if field >> s & 1))
    for later in range(step + 1, step + 10):
        moved = drifted(encoded, seed=later)
        latent.gain.data.mul_(1.01)
        latent.advance(moved, later)
        assert latent.codes(moved)[0, 0] == held
        assert latent.encoded(moved).shift_sets[0, 0] == field
        assert moved[0, 0] == held * latent.scale[0, 0]


def test_a_truncated_code_is_frozen_at_its_most_frequent_level():
    encoded = encode(torch.tensor([[127.0, 64.0, 1.0, 1.0]]), weight_format("truncate", 2))
    latent = Latent(encoded, LatentTraining(freeze_threshold=0.15, ema_momentum=0.05))
    moved = latent.start_weight()
    for step in range(1, 60):
        moved[0, 1] = 60.0 if step % 4 == 0 else 70.0  # truncated to the levels 32 and 64
        latent.advance(moved, step)
    assert latent.oscillation.frozen.tolist() == [[False, True, False, False]]
    assert latent.codes(moved)[0, 1] == 64


def test_a_scale_stays_positive():
    encoded = encode(weights(3, 5), weight_format("swis", 2))
    latent = Latent(encoded, LatentTraining())
    latent.gain.data[0] = -1.0
    latent.advance(encoded.weight(), 1)
    assert latent.gain.min() > 0


def test_layers_that_share_a_weight_share_its_latent():
    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    network[2].weight = network[0].weight
    add_latents(network, encode_layers(network, weight_format("swis")), LatentTraining())
    assert list(latents(network)) == ["0"]
    assert network[2].parametrizations.weight.original is network[0].parametrizations.weight.original
    network(torch.ones(1, 8)).sum().backward()
    assert sum(p.ndim == 2 for p in network.parameters()) == 1


def test_a_copy_loads_the_state_of_another():
    network = nn.Sequential(nn.Conv2d(4, 8, 3))
    settings = LatentTraining(freeze_threshold=0.1)
    add_latents(network, encode_layers(network, weight_format("swis")), settings)
    other = copy.deepcopy(network)
    latent, weight = latents(network)["0"]
    with torch.no_grad():
        weight.add_(0.05 * torch.randn_like(weight))
    latent.advance(weight, 1)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other[0].weight, network[0].weight)


@pytest.mark.parametrize(
    "wrong", [{"set_update_interval": 0}, {"freeze_threshold": 1.0}, {"ema_momentum": 0.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LatentTraining(**wrong)
