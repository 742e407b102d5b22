"""Unfolding: calibrated weights are put back before the normalisation that was folded into them."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from swis.calibration.layerwise import calibrate
from swis.calibration.output_aware import walking
from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.registry import weight_format
from swis.networks.apply import encode_layers, weight_layers
from swis.networks.batch_norm import fused, normalises
from swis.networks.unfold import unfolded
from swis.training.parametrization import LatentTraining, add_latents

SIZE = (1, 32, 32)


def calibrated(network, fmt, schedules=None):
    """Return a folded copy of a network in a format with changed biases, and its encoded weights."""
    folded = fused(network, SIZE)
    encoded = encode_layers(folded, fmt, schedules=schedules)
    for name, layer in weight_layers(folded).items():
        layer.weight.data = encoded[name].weight()
        layer.bias.data += 0.1
    return folded, encoded


@pytest.mark.parametrize("method", ["swis", "truncate", "uniform"])
def test_an_unfolded_network_that_is_folded_again_has_the_calibrated_weights(method, model):
    folded, encoded = calibrated(model, weight_format(method, 2, 4))
    network, restored = unfolded(model, folded, encoded, SIZE)
    assert normalises(network)
    assert restored["conv_stem"].codes.dtype == encoded["conv_stem"].codes.dtype
    again = fused(network, SIZE)
    for name, layer in weight_layers(network).items():
        assert torch.equal(layer.weight, restored[name].weight())
        torch.testing.assert_close(
            weight_layers(again)[name].weight, encoded[name].weight(), rtol=1e-5, atol=1e-7
        )
    # no normalisation follows the last layer
    assert torch.equal(network.classifier.bias, folded.classifier.bias)


def test_negative_gains_flip_signs_and_a_gain_of_zero_loses_no_filter():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).eval()
    network[1].weight.data = torch.tensor([1.0, -2.0, 0.0, 3.0])
    fmt = weight_format("swis", 2.0, 4)
    schedule = LayerSchedule(np.array([1, 2, 2, 3]), np.arange(4))
    folded, encoded = calibrated(network, fmt, {"0": schedule})
    assert not encoded["0"].codes[2].any()
    restored = unfolded(network, folded, encoded, SIZE)[1]["0"]
    assert torch.equal(restored.codes[1], -encoded["0"].codes[1])
    assert torch.equal(restored.codes[3], encoded["0"].codes[3])
    assert restored.codes[2].any()
    assert (restored.scale > 0).all()
    assert restored.schedule is schedule


@pytest.mark.parametrize("method", ["swis", "truncate", "round", "uniform"])
def test_the_result_of_calibration_is_unfolded(method, model):
    torch.manual_seed(0)
    reference = fused(model, SIZE)
    folded, fmt = copy.deepcopy(reference), weight_format(method, 2, 4)
    encoded = calibrate(reference, folded, fmt, torch.randn(8, *SIZE), walking())
    network, restored = unfolded(model, folded, encoded, SIZE)
    again = weight_layers(fused(network, SIZE))
    for name, layer in again.items():
        torch.testing.assert_close(layer.weight, encoded[name].weight(), rtol=1e-5, atol=1e-7)
    add_latents(network, restored, LatentTraining())
    for name, layer in weight_layers(network).items():
        assert torch.equal(layer.weight, restored[name].weight())  # the shift sets fit the weights


def test_only_the_folded_normalisations_are_unfolded():
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4)).eval()
    for norm in (network[0], network[2]):
        norm.running_mean.fill_(0.3)
        norm.running_var.fill_(4.0)
    folded, encoded = calibrated(network, weight_format("swis"), {})
    folded[1].bias.data -= 0.1
    assert isinstance(folded[0], nn.BatchNorm2d)
    assert not isinstance(folded[2], nn.BatchNorm2d)
    for layer in weight_layers(network).values():
        layer.weight.data.zero_()  # so that the restored weights can only come from the folded copy
    restored, _ = unfolded(network, folded, encoded, SIZE)
    assert isinstance(restored[0], nn.BatchNorm2d)
    assert isinstance(restored[2], nn.BatchNorm2d)
    images = torch.randn(2, *SIZE)
    torch.testing.assert_close(restored(images), folded(images))


def test_a_weight_before_two_normalisations_is_refused():
    network = nn.Sequential(
        nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)
    ).eval()
    network[2].weight = network[0].weight
    plain = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Identity(), nn.Conv2d(2, 2, 1), nn.Identity())
    plain[2].weight = plain[0].weight
    with pytest.raises(ValueError, match="shares its weight"):
        unfolded(network, plain, encode_layers(plain, weight_format("swis")), (2, 4, 4))
