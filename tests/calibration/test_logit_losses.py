"""Losses at the logits: errors are those of the calibration, and their effect is that on the logits."""

import numpy as np
import pytest
import torch
from torch import nn

from swis.calibration import logit_losses as module
from swis.calibration.input_moments import input_moments
from swis.calibration.logit_losses import changes_of_logits, errors_after_calibration, logit_losses
from swis.calibration.output_aware import OutputAware, output_aware, output_error
from swis.encoding.decompose import to_filters
from swis.formats.registry import weight_format
from swis.networks.batch_norm import fused
from swis.networks.inputs import Inputs
from swis.networks.layers import filters_of, weight_layers

IMAGES = torch.randn(16, 1, 32, 32, generator=torch.Generator().manual_seed(1))
FORMAT = weight_format("swis")
NUMBERS = range(1, module.MOST_SHIFTS + 1)


@pytest.fixture(scope="module")
def folded(model):
    return fused(model, (1, 32, 32)).requires_grad_(False)


class Unusual(nn.Module):
    """A transposed convolution, layers that share a weight, a layer in windows and one that never runs."""

    def __init__(self):
        super().__init__()
        self.up, self.one = nn.ConvTranspose2d(1, 4, 2, stride=2), nn.Linear(4, 4)
        self.other, self.unused, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.other.weight = self.one.weight

    def forward(self, images):
        pixels = torch.relu_(self.up(images)).flatten(2).mT
        windows = pixels.unflatten(1, (4, -1)).flatten(0, 1)
        windows = torch.relu_(self.other(torch.relu_(self.one(windows))))
        return self.head(windows.unflatten(0, (-1, 4)).mean((1, 2)))


@pytest.mark.parametrize("name", ["conv_stem", "blocks.3.0.conv_dw", "conv_head", "classifier"])
def test_errors_are_those_of_a_calibration_of_the_layer_alone(folded, name):
    chunks = [Inputs.of(part) for part in IMAGES.split(8)]
    layer, inputs = weight_layers(folded)[name], []
    handle = layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0].clone()))
    with torch.no_grad():
        for part in IMAGES.split(8):
            folded(part)
    handle.remove()
    settings = OutputAware(positions=32768, rounds=1, scales=[0.8, 1.0, 1.25], asymmetric=False)
    errors = errors_after_calibration(folded, FORMAT, NUMBERS, set(weight_layers(folded)) - {name}, chunks)[
        0
    ][name]
    assert len(errors) == module.MOST_SHIFTS
    rows = to_filters(filters_of(layer)).double()
    one, other = input_moments(layer, inputs, inputs, 10**6)
    covariance = (one + other).covariances()[0]
    for shifts in (1, 3):
        found = output_aware(layer, FORMAT.with_shifts(shifts), None, inputs, inputs, settings)
        hat = to_filters(found.weight()).double()
        ratio = output_error(rows, covariance) / output_error(hat, covariance)
        gain = ratio.sqrt().clamp(1 / 4, 4).nan_to_num(1.0)  # a channel without inputs
        error = hat * gain[:, None] - rows
        assert to_filters(errors[shifts - 1]).double() == pytest.approx(error.numpy(), abs=1e-6)
        # e^T H e is the variance of the change of the layer's output
        with torch.no_grad():
            layer.weight.data += errors[shifts - 1]
            changed = torch.cat([layer(each) for each in inputs]).double()
            layer.weight.data -= errors[shifts - 1]
            changed -= torch.cat([layer(each) for each in inputs]).double()
        by_filter = changed.movedim(1, 0).flatten(1)
        expected = output_error(error, covariance)
        assert by_filter.var(1, correction=0).numpy() == pytest.approx(expected.numpy(), rel=1e-3)


def test_the_change_of_linear_logits_is_exact(monkeypatch):
    monkeypatch.setattr(module, "_PROJECTIONS", 4000)
    generator = torch.Generator().manual_seed(2)
    network = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    images = torch.randn(9, 6, generator=generator) + 1
    errors = [torch.randn(5, 6, generator=generator) for _ in range(2)]
    found = changes_of_logits(network, {"0": errors}, [Inputs.of(part) for part in images.split(4)])["0"]
    power = network(images).double().square().sum()
    for number, error in enumerate(errors):
        changes = (images - images.mean(0)) @ error.T
        for place in range(5):
            moved = changes[:, place, None] * network[1].weight[:, place]
            assert found[place, number] == pytest.approx(
                float((moved.square().sum() / power).detach()), rel=0.1
            )


def test_a_small_error_of_a_filter_changes_the_logits_as_predicted(folded, monkeypatch):
    monkeypatch.setattr(module, "_PROJECTIONS", 500)
    chunks = [Inputs.of(part) for part in IMAGES.split(8)]
    layer = weight_layers(folded)["blocks.3.0.conv_dw"]
    error = 1e-3 * torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(3))
    found = changes_of_logits(folded, {"blocks.3.0.conv_dw": [error]}, chunks)["blocks.3.0.conv_dw"]
    outputs = []
    handle = layer.register_forward_hook(lambda _, __, output: outputs.append(output.clone()))
    weight, bias = layer.weight.data.clone(), layer.bias.data.clone()
    with torch.no_grad():
        reference = folded(IMAGES).double()
        for place in (0, 3):
            layer.weight.data[place] += error[place]
            folded(IMAGES)
            layer.bias.data[place] -= (outputs[-1] - outputs[0])[:, place].mean()
            change = folded(IMAGES).double() - reference
            layer.weight.data, layer.bias.data = weight.clone(), bias.clone()
            expected = float(change.square().sum() / reference.square().sum())
            assert found[place, 0] == pytest.approx(expected, rel=0.15)
    handle.remove()


def test_losses_fall_with_the_shifts_and_do_not_depend_on_chunks_or_threads(folded, monkeypatch, one_thread):
    skip = [name for name in weight_layers(folded) if not name.startswith(("conv_head", "blocks.3"))]
    found = logit_losses(folded, FORMAT, skip, [IMAGES])
    assert set(found) == set(weight_layers(folded)) - set(skip)
    assert (np.diff(sum(losses.sum(0) for losses in found.values())) < 0).all()
    torch.set_num_threads(2)
    for name, losses in logit_losses(folded, FORMAT, skip, IMAGES.split(10)).items():
        assert losses == pytest.approx(found[name], rel=1e-3, abs=1e-9), name
    monkeypatch.setattr(module, "_CHUNK", 3)
    for name, losses in logit_losses(folded, FORMAT, skip, [IMAGES]).items():
        assert losses == pytest.approx(found[name], rel=1e-3, abs=1e-9), name


def test_errors_of_earlier_layers_count_less_in_equal_ratios():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    images = torch.randn(12, 8)
    chunks = [Inputs.of(part) for part in images.split(8)]
    plain = changes_of_logits(
        network, errors_after_calibration(network, FORMAT, NUMBERS, [], chunks)[0], chunks
    )
    found = logit_losses(network, FORMAT, [], [images])
    for name, share in {"0": 0.2, "2": 0.2**0.5, "4": 1.0}.items():
        assert found[name] == pytest.approx(share * plain[name])


def test_layers_may_be_transposed_shared_in_windows_or_unused():
    torch.manual_seed(0)
    network = Unusual().eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = logit_losses(network, FORMAT, [], [torch.randn(10, 1, 4, 4)])
    assert {name: losses.shape for name, losses in found.items()} == {
        "up": (4, 4),
        "one": (4, 4),
        "unused": (4, 4),
        "head": (3, 4),
    }
    assert (found["unused"] == 0).all()
    assert all(found[name].sum() > 0 for name in ("up", "one", "head"))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(part._forward_hooks for part in network.modules())
