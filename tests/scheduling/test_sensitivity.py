"""Losses of filters with fewer shifts, and sensitivities of layers."""

import pytest
import torch

from swis.encoding.decompose import to_filters
from swis.encoding.encode import approximate, encode
from swis.encoding.metrics import mse_plus_plus
from swis.encoding.quantizer import quantize
from swis.formats.registry import weight_format
from swis.networks.apply import weight_layers
from swis.scheduling.sensitivity import filter_losses, layer_sensitivities


@pytest.mark.parametrize("method", ["swis", "swis_c", "swis_signed", "truncate", "round"])
def test_losses_are_the_metric_of_every_filter_relative_to_its_squared_codes(model, method):
    weight, fmt = model.conv_head.weight, weight_format(method, alpha=0.5)
    losses = filter_losses(weight, fmt)
    assert losses.shape == (len(weight), 7)
    assert (losses[:, 6] == 0).all()
    codes = to_filters(quantize(weight).codes).long()
    for shifts in (1, 3):
        found = encode(weight, weight_format(method, shifts, alpha=0.5)).codes.long()
        error = (found - codes).reshape(len(codes), -1, 4)
        expected = 4 * mse_plus_plus(error, 0.5).sum(1) / codes.square().sum(1)
        assert losses[:, shifts - 1] == pytest.approx(expected.numpy())


def test_the_loss_of_the_uniform_quantizer_is_its_squared_error(model):
    weight = model.conv_head.weight.detach()
    losses = filter_losses(weight, weight_format("uniform"))
    base = approximate(weight, weight_format("int8")).double()
    hat = approximate(weight, weight_format("uniform", 3)).double()
    expected = (hat - base).square().sum((1, 2, 3)) / base.square().sum((1, 2, 3))
    assert losses[:, 2] == pytest.approx(expected.numpy(), rel=1e-5)


def test_a_filter_of_zeros_has_no_loss():
    assert (filter_losses(torch.zeros(2, 8), weight_format("swis")) == 0).all()


def test_the_sensitivity_is_the_divergence_that_one_layer_causes(model):
    images = [torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(n)) for n in range(2)]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fmt = weight_format("swis", 2)
    found = layer_sensitivities(model, fmt, {"conv_stem"}, images, torch.device("cpu"))
    assert set(found) == set(weight_layers(model)) - {"conv_stem"}
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    with torch.inference_mode():
        float_p = torch.cat([model(batch).double().softmax(1) for batch in images])
        model.conv_head.weight.data = approximate(model.conv_head.weight, fmt)
        other_p = torch.cat([model(batch).double().softmax(1) for batch in images])
        model.conv_head.weight.data = before["conv_head.weight"]
    divergence = (float_p * (float_p / other_p).log()).sum(1).mean()
    assert found["conv_head"] == pytest.approx(float(divergence), rel=1e-4)
    exact = layer_sensitivities(model, weight_format("int8"), set(), images, torch.device("cpu"))
    assert exact["conv_head"] < found["conv_head"] / 20
