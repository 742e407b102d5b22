"""Activation ranges on the calibration set, and the rounding of activations."""

import pytest
import torch
from torch import nn

from swis.networks.activations import ActivationRange, observe_ranges, quantize_activations


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()


def layers(model: nn.Module) -> dict[str, nn.Module]:
    return {"0": model[0], "2": model[2]}


def test_minmax_covers_all_batches_and_zero(model):
    batches = [torch.full((2, 4), 1.0), torch.full((2, 4), 3.0)]
    ranges = observe_ranges(model, layers(model), batches)
    with torch.no_grad():
        hidden = model[1](model[0](batches[1]))
    assert ranges["0"] == ActivationRange(0.0, 3.0)
    assert ranges["2"].low == 0.0
    assert ranges["2"].high == pytest.approx(hidden.max().item())


def test_percentile_leaves_out_the_tails(model):
    values = torch.linspace(-1, 1, 4000).reshape(1000, 4)
    ranges = observe_ranges(model, layers(model), [values], percentile=99)
    assert ranges["0"].high == pytest.approx(0.98, abs=1e-3)
    assert ranges["0"].low == pytest.approx(-0.98, abs=1e-3)


def test_percentiles_are_averaged_over_images_and_100_percent_equals_minmax(model):
    batches = [torch.full((6, 4), 4.0), torch.full((2, 4), 8.0)]
    assert observe_ranges(model, layers(model), batches, percentile=99)["0"].high == 5.0
    full = observe_ranges(model, layers(model), batches, percentile=100)
    assert full == observe_ranges(model, layers(model), batches)


def test_observing_removes_its_hooks(model):
    observe_ranges(model, layers(model), [torch.ones(1, 4)])
    assert not model[0]._forward_pre_hooks


def test_inputs_are_rounded_and_clipped(model):
    seen = []
    ranges = {"0": ActivationRange(-1.0, 2.0), "2": ActivationRange(0.0, 1.0)}
    quantize_activations(layers(model), ranges, bits=2)
    model[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.tensor([[-5.0, -0.4, 0.6, 9.0]]))
    assert seen[0].tolist() == [[-1.0, 0.0, 1.0, 2.0]]


def test_the_error_of_eight_bits_is_at_most_half_a_step_and_zero_is_exact():
    interval = ActivationRange(-0.37, 1.9)
    scale, zero_point = interval.affine(8)
    values = torch.linspace(-0.36, 1.89, 999)
    rounded = torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, 255)
    assert float((rounded - values).abs().max()) <= scale * 0.5001
    assert torch.fake_quantize_per_tensor_affine(torch.zeros(1), scale, zero_point, 0, 255) == 0


def test_a_layer_with_only_zero_inputs_gives_finite_outputs(model):
    ranges = observe_ranges(model, layers(model), [torch.zeros(1, 4)])
    quantize_activations(layers(model), ranges, bits=8)
    assert model(torch.zeros(1, 4)).isfinite().all()


def test_a_layer_that_is_never_called_has_no_range(model):
    idle = {**layers(model), "idle": nn.Linear(1, 1)}
    assert set(observe_ranges(model, idle, [torch.zeros(1, 4)])) == {"0", "2"}


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced"])
def test_the_fast_kernel_equals_torch_s(layout):
    generator = torch.Generator().manual_seed(0)
    values = 3 * torch.randn(3, 5, 57, 61, generator=generator)
    values[0, 0, 0, :5] = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5]) * 0.02  # halves round to even
    if layout == "channels_last":
        values = values.contiguous(memory_format=torch.channels_last)
    if layout == "sliced":
        values = values[:, 1:4, ::2]
    seen = []
    layer = nn.Identity()
    for low, high in ((-1.3, 2.7), (0.0, 4.0), (-1.0, 4.1)):
        layer._forward_pre_hooks.clear()
        quantize_activations({"0": layer}, {"0": ActivationRange(low, high)}, bits=8)
        with torch.inference_mode():
            seen = layer(values)
        scale, zero_point = ActivationRange(low, high).affine(8)
        assert torch.equal(seen, torch.fake_quantize_per_tensor_affine(values, scale, zero_point, 0, 255))


@pytest.mark.parametrize("interval", [(-1.3, 2.7), (0.0, 4.0)])
def test_the_straight_through_gradient_equals_torch_s(interval):
    generator = torch.Generator().manual_seed(0)
    values = 3 * torch.randn(3, 5, 7, 11, generator=generator)
    upstream = torch.randn(values.shape, generator=generator)
    layer = nn.Identity()
    quantize_activations({"0": layer}, {"0": ActivationRange(*interval)}, bits=8)
    scale, zero_point = ActivationRange(*interval).affine(8)
    inputs, torch_inputs = values.clone().requires_grad_(), values.clone().requires_grad_()
    found = layer(inputs)
    expected = torch.fake_quantize_per_tensor_affine(torch_inputs, scale, zero_point, 0, 255)
    assert torch.equal(found, expected)
    found.backward(upstream)
    expected.backward(upstream)
    assert torch.equal(inputs.grad, torch_inputs.grad)
    assert (inputs.grad == 0).any()
    assert (inputs.grad != 0).any()
