"""Moments of a layer's inputs, and filters that are refitted to these inputs."""

import pytest
import torch
from torch import nn

from swis.calibration.input_moments import input_moments, output_positions, patches
from swis.calibration.ridge import refit
from swis.formats.registry import weight_format
from swis.networks.apply import encode_layers


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2),
        nn.Conv2d(4, 8, (1, 3), padding="same", groups=2),
        nn.Conv2d(4, 4, 3, groups=4, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 6, 1, stride=2),
        nn.Linear(9, 5),
    ],
    ids=str,
)
def test_windows_times_filters_are_the_layer_s_output(layer):
    linear = isinstance(layer, nn.Linear)
    inputs = torch.randn(3, 9) if linear else torch.randn(3, 4, 9, 9)
    filters = encode_layers(nn.Sequential(layer), weight_format("int8"))["0"]
    layer.weight.data = filters.weight()
    layer.bias.data.zero_()
    columns = patches(layer, inputs, torch.arange(output_positions(layer, inputs)))
    rows = (filters.codes * filters.scale.reshape(-1, 1)).reshape(len(columns), -1, columns.shape[2])
    found = (columns @ rows.transpose(1, 2)).movedim(0, 1).flatten(1)
    expected = layer(inputs)
    expected = expected if linear else expected.movedim(1, -1).flatten(0, 2)
    assert torch.allclose(found, expected, atol=1e-5)
    some = torch.tensor([2, 0, 1])
    assert torch.equal(patches(layer, inputs, some), columns[:, some])


def moments(layer, y, x, positions):
    """Return the moments of inputs in chunks of eight images, or in two halves if there are fewer."""
    size = min(8, -(-len(y) // 2))
    return input_moments(layer, y.split(size), x.split(size), positions)


def test_moments_are_covariances():
    layer = nn.Linear(3, 2)
    y, x = torch.randn(40, 3) + 5, torch.randn(40, 3) - 2
    one, other = moments(layer, y, x, positions=10_000)
    covariance, cross = (one + other).covariances()
    assert torch.allclose(covariance[0], torch.cov(y.T.double(), correction=0), atol=1e-4)
    both = torch.cov(torch.cat([x, y], 1).T.double(), correction=0)
    assert torch.allclose(cross[0], both[:3, 3:], atol=1e-4)


def test_a_sample_of_positions_gives_nearly_the_same_moments():
    layer, images = nn.Conv2d(1, 2, 3), torch.randn(16, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    found = (moments(layer, images, images, n) for n in (1000, 10**6))
    some, all_of_them = ((one + other).covariances()[0] for one, other in found)
    assert not torch.equal(some, all_of_them)
    assert torch.allclose(some, all_of_them, atol=0.2)


@pytest.mark.parametrize("count", [2, 5, 16, 17])
def test_every_image_is_in_one_half_of_the_moments(count):
    layer, images = nn.Conv2d(1, 2, 3), torch.ones(count, 1, 3, 3)
    one, other = moments(layer, images, images, 1000)
    assert one.count + other.count == count
    assert abs(one.count - other.count) <= 8  # one chunk
    alone, nothing = moments(layer, images[:1], images[:1], 1000)
    assert (alone.count, nothing) == (1, None)


def noisy(samples, weights, noise):
    """Return inputs x of the float network, and inputs y of the quantized one: halved, with noise."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, weights, generator=generator)
    return x, 0.5 * x + noise * torch.randn(samples, weights, generator=generator)


def test_refitted_filters_have_less_error_on_new_inputs():
    layer, rows = nn.Linear(6, 3), torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).double()
    x, y = noisy(2000, 6, noise=0.1)
    fitted = refit(rows, moments(layer, y[:1000], x[:1000], 1000))
    expected, plain, better = x[1000:].double() @ rows.T, *(y[1000:].double() @ w.T for w in (rows, fitted))
    assert (better - expected).square().mean() < 0.2 * (plain - expected).square().mean()


def test_noise_hardly_changes_the_filters():
    layer, rows = nn.Linear(16, 8), torch.randn(8, 16, generator=torch.Generator().manual_seed(1)).double()
    unchanged = 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        y, off = torch.randn(64, 16, generator=generator), torch.randn(64, 16, generator=generator)
        fitted = refit(rows, moments(layer, y, y + off, 1000))
        unchanged += torch.equal(fitted, rows)
        assert (fitted - rows).norm() < 0.2 * rows.norm()
    assert unchanged >= 20


def test_nearly_dead_inputs_get_no_large_weights():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(8, 8, 3, groups=8), torch.randn(64, 8, 9, 9)
    y = x.clone()
    y[:, 3] *= 1e-4  # the quantized network has almost lost this channel
    rows = torch.randn(8, 9).double()
    fitted = refit(rows, moments(layer, y, x, 10_000))
    assert fitted.abs().max() < 10 * rows.abs().max()


def test_few_images_help_less_than_many():
    layer, rows = nn.Linear(64, 8), torch.randn(8, 64, generator=torch.Generator().manual_seed(1)).double()
    x, y = noisy(1040, 64, noise=0.3)
    few, many = (refit(rows, moments(layer, y[:n], x[:n], 1040)) for n in (40, 1000))
    true = rows * 0.5 / (0.25 + 0.09)
    assert (many - true).norm() < 0.6 * (few - true).norm()
    held_out = slice(1000, None)
    expected, plain, fitted = (
        x[held_out].double() @ rows.T,
        *(y[held_out].double() @ w.T for w in (rows, few)),
    )
    assert (fitted - expected).square().mean() < (plain - expected).square().mean()
