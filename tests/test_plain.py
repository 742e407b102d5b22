"""Weights that are computed are baked in, in a copy; the network that was given stays as it is."""

import io
import warnings

import pytest
import timm
import torch
from timm.layers import Conv2dSame, ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from swis.apply import WeightFormat, encode_layers, with_weights
from swis.calibrate import calibrate
from swis.errors import InputError
from swis.fold import fold_batch_norm, fused, norms_of
from swis.layers import filters_of, weight_layers
from swis.macs import layer_macs
from swis.models import new_network
from swis.packed import load_packed, save_packed
from swis.plain import plain_copy
from swis.rewrite import equalize, permute
from swis.settings import ModelConfig
from swis.unfold import unfolded

SIZE = (2, 8, 8)
FORM = WeightFormat("swis", 2, 4)


def old(function):
    def applied(layer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are deprecated, and in use
            return function(layer)

    return applied


class Symmetric(nn.Module):
    def forward(self, weight):
        return weight + weight.flip(-1)


def symmetric(layer):
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


REWEIGHTED = {
    "weight_norm": old(nn.utils.weight_norm),
    "spectral_norm": old(nn.utils.spectral_norm),
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    "pruned twice": lambda layer: prune.ln_structured(
        prune.l1_unstructured(layer, "weight", 0.3), "weight", 0.3, n=2, dim=0
    ),
    "new weight_norm": parametrizations.weight_norm,
    "new spectral_norm": parametrizations.spectral_norm,
    "symmetric": symmetric,
}


def network(reweighted):
    torch.manual_seed(0)
    made = nn.Sequential(
        *(REWEIGHTED[reweighted](nn.Conv2d(2, 4, 3)), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        REWEIGHTED[reweighted](nn.Linear(4, 3)),
    ).eval()
    made[1].running_var.uniform_(0.5, 2)
    return made


def all_of(model):
    """Everything that a network is: its tensors, byte for byte, its classes, hooks and parametrizations."""
    state = io.BytesIO()
    torch.save(model.state_dict(), state)
    parts = [
        (name, part, type(part), part.training, parametrize.is_parametrized(part))
        for name, part in model.named_modules()
    ]
    held = [
        (key, id(value))
        for part in model.modules()
        for kept in (part._parameters, part._buffers, part._forward_pre_hooks, part._forward_hooks)
        for key, value in kept.items()
    ]
    return state.getvalue(), parts, held


IMAGES = torch.randn(8, *SIZE, generator=torch.Generator().manual_seed(1))


def put_back(model):
    folded = fused(model, SIZE)
    return unfolded(model, folded, encode_layers(folded, FORM), SIZE)[0]


def calibrated(model):
    changed = plain_copy(model)
    calibrate(fused(model, SIZE), fused(changed, SIZE), FORM, IMAGES, "stats")
    return changed


COPIES = {
    "plain_copy": plain_copy,
    "with_weights": lambda model: with_weights(model, FORM, layer_macs(model, SIZE))[0],
    "float": lambda model: with_weights(model, WeightFormat("float"), layer_macs(model, SIZE))[0],
    "fold_batch_norm": lambda model: fold_batch_norm(model, SIZE),
    "fused": lambda model: fused(model, SIZE),
    "equalize": lambda model: equalize(model, SIZE),
    "permute": lambda model: permute(model, SIZE),
    "unfolded": put_back,
    "calibrated": calibrated,
    "norms_of": lambda model: (norms_of(model, SIZE), plain_copy(model))[1],
}


@pytest.mark.parametrize("reweighted", REWEIGHTED)
def test_no_copy_changes_the_network_it_copies(reweighted):
    model = network(reweighted)
    before = all_of(model)
    with torch.no_grad():
        expected = model(IMAGES)
    for name, copied in COPIES.items():
        first, second = copied(model), copied(model)
        assert all_of(model) == before, name
        with torch.no_grad():
            assert torch.equal(model(IMAGES), expected), name
            assert torch.equal(first(IMAGES), second(IMAGES)), name
        theirs = {value.data_ptr() for value in model.state_dict().values()}
        assert not theirs & {value.data_ptr() for value in first.state_dict().values()}, name


@pytest.mark.parametrize("reweighted", REWEIGHTED)
def test_computed_weights_are_in_the_format_when_they_are_used(reweighted):
    model = network(reweighted)
    changed, _ = with_weights(model, FORM, layer_macs(model, SIZE))
    with torch.no_grad():
        model(IMAGES)  # hooks compute the weights
        assert not torch.equal(changed(IMAGES), model(IMAGES))
    encoded = encode_layers(plain_copy(model), FORM)
    for name, layer in weight_layers(changed).items():
        assert torch.equal(layer.weight, encoded[name].weight()), name
    used = plain_copy(model)
    with torch.no_grad():
        assert torch.equal(used(IMAGES), model(IMAGES))
    assert not any("weight_" in key or "parametrizations" in key for key in used.state_dict())
    assert all(layer.weight.requires_grad for layer in weight_layers(used).values())


def test_layers_that_share_a_computed_weight_share_it_still():
    tied = nn.Sequential(symmetric(nn.Linear(4, 4)), nn.Linear(4, 4))
    tied[1].weight = nn.Parameter(torch.zeros(4, 4))
    symmetric(tied[1])
    tied[1].parametrizations.weight.original = tied[0].parametrizations.weight.original
    used = plain_copy(tied)
    assert used[0].weight is used[1].weight


def test_a_network_with_gradients_of_its_hooks_can_be_copied():
    layer = REWEIGHTED["weight_norm"](nn.Linear(4, 4))
    layer(torch.ones(1, 4)).sum().backward()  # leaves a weight behind that is no leaf
    assert torch.equal(plain_copy(layer).weight, layer.weight)


def test_a_weight_that_an_unknown_hook_computes_is_refused():
    layer = nn.Linear(4, 4)
    kept = layer.weight.detach()
    del layer.weight
    layer.weight = kept
    layer.register_forward_pre_hook(lambda module, _: setattr(module, "weight", kept * 2))
    with pytest.raises(InputError, match="layer 0: something computes its weight"):
        plain_copy(nn.Sequential(layer))


STANDARDISED = [StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame]


@pytest.mark.parametrize("kind", STANDARDISED)
@pytest.mark.parametrize("settings", [{"stride": 1}, {"stride": 2, "groups": 2}], ids=str)
def test_a_standardised_convolution_becomes_an_ordinary_one(kind, settings):
    torch.manual_seed(0)
    layer = kind(4, 8, 3, bias=True, **settings)
    layer.weight.data += 1
    layer.bias.data.normal_()
    model = nn.Sequential(layer).eval()
    state = torch.get_rng_state()
    made = plain_copy(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(made[0]) in (nn.Conv2d, Conv2dSame)
    assert [name for name, _ in made[0].named_parameters()] == ["weight", "bias"]
    for side in (9, 12):
        images = torch.randn(2, 4, side, side)
        with torch.no_grad():
            expected = model(images)
            torch.testing.assert_close(
                made(images), expected, rtol=0, atol=1e-5 * float(expected.abs().max())
            )
    changed, _ = with_weights(model, FORM, {"0": 0})
    with torch.no_grad():
        levels = filters_of(changed[0]) / encode_layers(made, FORM)["0"].scale
        moved = changed(images) - changed[0].bias[:, None, None]
        expected = nn.functional.conv2d(
            nn.functional.pad(images, (1, 1, 1, 1)), changed[0].weight, groups=changed[0].groups
        )
    assert (levels - levels.round()).abs().max() < 1e-3
    if settings == {"stride": 1}:  # and these weights are those it computes with
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_a_class_of_its_own_that_computes_as_all_do_becomes_an_ordinary_one():
    class Same(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight, self.bias)

    class Otherwise(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight * x.mean(), self.bias)

    made = plain_copy(nn.Sequential(Same(2, 2), Otherwise(2, 2)))
    assert [type(layer) for layer in made] == [nn.Linear, Otherwise]
    assert list(weight_layers(made)) == ["0"]


@pytest.fixture(scope="module")
def standardised():
    inputs = {
        **{"input_size": [1, 64, 64], "mean": [0.5], "std": [0.5]},
        **{"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"},
    }
    arguments = {"channels": [128] * 4, "stem_chs": 32}
    config = ModelConfig(label="small", name="resnetv2_50x1_bit", kwargs=arguments)
    return new_network(config, 10, inputs, seed=0)


def test_a_standardised_network_gains_from_calibration(standardised):
    model, size = standardised.module, standardised.inputs["input_size"]
    images = torch.randn(8, *size, generator=torch.Generator().manual_seed(0))
    plain, _ = with_weights(model, FORM, layer_macs(model, size))
    reference, made = plain_copy(model), plain_copy(model)
    calibrate(reference, made, FORM, images, "output_aware")
    with torch.no_grad():
        wanted = model(images)
        errors = [float((network(images) - wanted).square().mean()) for network in (plain, made)]
    assert errors[1] < 0.8 * errors[0]


def test_a_packed_standardised_network_computes_the_same(standardised, tmp_path):
    path, size = tmp_path / "packed.safetensors", standardised.inputs["input_size"]
    save_packed(path, standardised, FORM)
    expected, _ = with_weights(standardised.module, FORM, layer_macs(standardised.module, size))
    found = load_packed(path).network.module
    images = torch.randn(2, *size)
    with torch.no_grad():
        assert torch.equal(found(images), expected(images))


@pytest.mark.parametrize("name", ["dm_nfnet_f0", "skresnet18"])
def test_timm_s_own_layers_are_all_known(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    kinds = {type(part) for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    assert kinds <= {nn.Conv2d, nn.Linear, Conv2dSame, *STANDARDISED}
