"""Computed weights become parameters in a copy, and the original network does not change."""

import io
import warnings
from dataclasses import replace

import pytest
import timm
import torch
from examples import changed
from timm.layers import Conv2dSame, ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from swis.calibration.kinds import STATS
from swis.calibration.layerwise import calibrate
from swis.calibration.output_aware import walking
from swis.errors import InputError
from swis.experiments.plain_network import plain_network
from swis.formats.registry import weight_format
from swis.networks.apply import encode_layers, with_weights
from swis.networks.batch_norm import fold_batch_norm, fused, norms_of
from swis.networks.channel_rewrite import equalize, permute
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import filters_of, weight_layers
from swis.networks.macs import layer_macs
from swis.networks.models import new_network
from swis.networks.unfold import unfolded
from swis.options.model import ModelConfig
from swis.packing.file import load_packed, save_packed

SIZE = (2, 8, 8)
FORM = weight_format("swis", 2, 4)


def old(function):
    def applied(layer, *names):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are deprecated, but still used
            return function(layer, *names)

    return applied


class LastStep(nn.Module):
    """An LSTM over the rows of an image; returns its last output."""

    def __init__(self, reweight):
        super().__init__()
        self.lstm = nn.LSTM(8, 4, batch_first=True)
        for name in ("weight_ih_l0", "weight_hh_l0"):
            reweight(self.lstm, name)

    def forward(self, x):
        return self.lstm(x.flatten(1, 2))[0][:, -1]


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


RECURRENT = {
    "LSTM, weight_norm": old(nn.utils.weight_norm),
    "LSTM, pruned": lambda lstm, name: prune.l1_unstructured(lstm, name, 0.5),
    "LSTM, new weight_norm": parametrizations.weight_norm,
}


def network(reweighted):
    torch.manual_seed(0)
    if reweighted in RECURRENT:
        return nn.Sequential(LastStep(RECURRENT[reweighted]), nn.Linear(4, 3)).eval()
    made = nn.Sequential(
        *(REWEIGHTED[reweighted](nn.Conv2d(2, 4, 3)), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        REWEIGHTED[reweighted](nn.Linear(4, 3)),
    ).eval()
    made[1].running_var.uniform_(0.5, 2)
    return made


def all_of(model):
    """Return the whole state of a network: bytes of tensors, classes, hooks and parametrizations."""
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
    calibrate(fused(model, SIZE), fused(changed, SIZE), FORM, IMAGES, STATS)
    return changed


COPIES = {
    "plain_copy": plain_copy,
    "with_weights": lambda model: with_weights(model, FORM, layer_macs(model, SIZE))[0],
    "float": lambda model: with_weights(model, weight_format("float"), layer_macs(model, SIZE))[0],
    "fold_batch_norm": lambda model: fold_batch_norm(model, SIZE),
    "fused": lambda model: fused(model, SIZE),
    "equalize": lambda model: equalize(model, SIZE),
    "permute": lambda model: permute(model, SIZE),
    "unfolded": put_back,
    "calibrated": calibrated,
    "norms_of": lambda model: (norms_of(model, SIZE), plain_copy(model))[1],
}


@pytest.mark.parametrize("reweighted", [*REWEIGHTED, *RECURRENT])
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
        pointers = {value.data_ptr() for value in model.state_dict().values()}
        assert not pointers & {value.data_ptr() for value in first.state_dict().values()}, name


@pytest.mark.parametrize("reweighted", [*REWEIGHTED, *RECURRENT])
def test_the_copy_uses_computed_weights_in_the_format(reweighted):
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
    parts = ("_g", "_v", "_u", "_orig", "_mask")
    assert not any(key.endswith(parts) or "parametrizations" in key for key in used.state_dict())
    assert all(layer.weight.requires_grad for layer in weight_layers(used).values())


@pytest.mark.parametrize("reweighted", RECURRENT)
def test_a_copied_lstm_uses_its_parameters(reweighted):
    model = network(reweighted)
    model(IMAGES)  # the LSTM now stores a list of weights that are results of autograd
    lstm = plain_copy(model)[0].lstm
    assert [name for name, _ in lstm.named_parameters()] and type(lstm) is nn.LSTM
    assert all(
        used is lstm.get_parameter(name)
        for used, name in zip(lstm._flat_weights, lstm._flat_weights_names, strict=True)
    )
    fresh, rows = nn.LSTM(8, 4, batch_first=True), torch.randn(2, 5, 8)
    lstm.load_state_dict(fresh.state_dict())
    assert torch.equal(lstm(rows)[0], fresh(rows)[0])


def test_layers_that_share_a_computed_weight_share_it_in_the_copy():
    tied = nn.Sequential(symmetric(nn.Linear(4, 4)), nn.Linear(4, 4))
    tied[1].weight = nn.Parameter(torch.zeros(4, 4))
    symmetric(tied[1])
    tied[1].parametrizations.weight.original = tied[0].parametrizations.weight.original
    used = plain_copy(tied)
    assert used[0].weight is used[1].weight


def test_a_network_with_gradients_of_its_hooks_can_be_copied():
    layer = REWEIGHTED["weight_norm"](nn.Linear(4, 4))
    layer(torch.ones(1, 4)).sum().backward()  # the layer now stores a weight that is a result of autograd
    assert torch.equal(plain_copy(layer).weight, layer.weight)


def test_a_weight_that_an_unknown_hook_computes_is_refused():
    layer = nn.Linear(4, 4)
    kept = layer.weight.detach()
    del layer.weight
    layer.weight = kept
    layer.register_forward_pre_hook(lambda module, _: setattr(module, "weight", kept * 2))
    with pytest.raises(InputError, match="layer 0: an unknown hook computes its weight at every call"):
        plain_copy(nn.Sequential(layer))


@pytest.mark.parametrize("lazy", [nn.LazyConv2d(4, 1), nn.LazyLinear(4), nn.LazyBatchNorm2d()], ids=repr)
def test_a_lazy_layer_that_has_not_run_is_refused_by_name(lazy):
    with pytest.raises(InputError, match="layer 1 has no weights before its first call; run the network"):
        plain_copy(nn.Sequential(nn.ReLU(), lazy))


def test_a_lazy_layer_that_has_run_can_be_copied():
    model = nn.Sequential(nn.LazyConv2d(4, 1))
    model(IMAGES)
    assert torch.equal(plain_copy(model)(IMAGES), model(IMAGES))


STANDARDISED = [StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame]


@pytest.mark.parametrize("kind", STANDARDISED)
@pytest.mark.parametrize("settings", [{"stride": 1}, {"stride": 2, "groups": 2}], ids=str)
def test_a_standardised_convolution_becomes_a_plain_one(kind, settings):
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
    if settings == {"stride": 1}:  # the layer computes with these weights
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


def test_a_subclass_that_computes_the_same_becomes_a_plain_layer():
    class Same(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight, self.bias)

    class Otherwise(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x, self.weight * x.mean(), self.bias)

    made = plain_copy(nn.Sequential(Same(2, 2), Otherwise(2, 2)))
    assert [type(layer) for layer in made] == [nn.Linear, Otherwise]
    assert list(weight_layers(made)) == ["0"]


class Doubled(nn.Linear):
    def forward(self, x):
        return nn.functional.linear(x, self.weight * 2, self.bias)


@pytest.mark.parametrize("holder", [lambda x: [x], lambda x: (x,), lambda x: {0: x}])
def test_a_layer_that_is_also_held_in_a_container_becomes_plain_there_too(holder):
    class Held(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = Doubled(4, 4)
            self.held = holder(self.layer)

        def forward(self, x):
            return self.held[0](x)

    model, inputs = Held(), torch.randn(8, 4)
    made = plain_copy(model)
    assert made.held[0] is made.layer and type(made.layer) is nn.Linear
    changed, _ = with_weights(model, FORM, {"layer": 0})
    with torch.no_grad():
        torch.testing.assert_close(made(inputs), model(inputs))
        expected = nn.functional.linear(inputs, encode_layers(made, FORM)["layer"].weight(), made.layer.bias)
        torch.testing.assert_close(changed(inputs), expected)
    assert type(model.layer) is Doubled and model.held[0] is model.layer


def test_a_plain_layer_keeps_the_hooks_of_the_original():
    layer = Doubled(4, 4)
    layer.register_forward_hook(lambda module, inputs, output: output + 1)
    made, inputs = plain_copy(layer), torch.randn(8, 4)
    assert type(made) is nn.Linear
    torch.testing.assert_close(made(inputs), layer(inputs))


@pytest.mark.parametrize("limit", [6.0, 1e-2])
def test_a_layer_that_clips_its_inputs_is_not_replaced(limit):
    class Limited(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(x.clamp(-limit, limit), self.weight, self.bias)

    assert type(plain_copy(nn.Sequential(Limited(4, 4)))[0]) is Limited


def test_a_layer_that_drops_small_inputs_is_not_replaced():
    class Cutting(nn.Linear):
        def forward(self, x):
            return nn.functional.linear(nn.functional.hardshrink(x, 1e-3), self.weight, self.bias)

    assert type(plain_copy(nn.Sequential(Cutting(4, 4, bias=False)))[0]) is Cutting


class HalvesWide(nn.Conv2d):
    """Does more than compute its weight, but only for inputs larger than those that layers are tested on."""

    def forward(self, x):
        x = x / 2 if x.shape[-1] > 20 else x
        return nn.functional.conv2d(x, self.weight * 2, self.bias)


def test_a_network_that_computes_something_else_with_plain_layers_is_refused():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), HalvesWide(4, 4, 3))
    before = all_of(model)
    assert [type(layer) for layer in plain_copy(model, SIZE)] == [nn.Conv2d, nn.Conv2d]
    with pytest.raises(InputError, match="plain layers in place of 1 change the output of the network"):
        plain_copy(model, (2, 32, 32))
    assert all_of(model) == before


@pytest.fixture(scope="module")
def standardised():
    inputs = {
        **{"input_size": [1, 64, 64], "mean": [0.5], "std": [0.5]},
        **{"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"},
    }
    arguments = {"channels": [128] * 4, "stem_chs": 32}
    config = ModelConfig(label="small", name="resnetv2_50x1_bit", kwargs=arguments)
    return new_network(config, 10, inputs, seed=0)


def test_calibration_improves_a_standardised_network(standardised):
    model, size = standardised.module, standardised.inputs["input_size"]
    images = torch.randn(8, *size, generator=torch.Generator().manual_seed(0))
    plain, _ = with_weights(model, FORM, layer_macs(model, size))
    reference, made = plain_copy(model), plain_copy(model)
    calibrate(reference, made, FORM, images, walking())
    with torch.no_grad():
        expected = model(images)
        errors = [float((network(images) - expected).square().mean()) for network in (plain, made)]
    assert errors[1] < 0.8 * errors[0]


def test_a_packed_standardised_network_computes_the_same(standardised, tmp_path):
    path, size = tmp_path / "packed.safetensors", standardised.inputs["input_size"]
    save_packed(path, standardised, FORM)
    expected, _ = with_weights(standardised.module, FORM, layer_macs(standardised.module, size))
    found = load_packed(path).network.module
    images = torch.randn(2, *size)
    with torch.no_grad():
        assert torch.equal(found(images), expected(images))
    changed(path, lambda header, _: header.update(version=4), sound_checksum=True)
    with pytest.raises(
        InputError, match=r"packed\.safetensors: the file was packed by an older version .*; pack it again"
    ):
        load_packed(path)


def test_a_network_is_packed_and_measured_only_if_plain_layers_compute_the_same(standardised, tmp_path):
    model = nn.Sequential(HalvesWide(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    strange = replace(standardised, module=model)
    with pytest.raises(InputError, match="in place of 0 change"):
        save_packed(tmp_path / "packed.safetensors", strange, FORM)
    with pytest.raises(InputError, match="in place of 0 change"):
        plain_network(strange)
    assert [type(part) for part in plain_network(standardised).module.modules()].count(StdConv2d) == 0


@pytest.mark.parametrize("name", ["dm_nfnet_f0", "skresnet18"])
def test_all_layer_classes_of_timm_networks_are_known(name):
    with torch.device("meta"):
        model = timm.create_model(name)
    kinds = {type(part) for part in model.modules() if isinstance(part, nn.Conv2d | nn.Linear)}
    assert kinds <= {nn.Conv2d, nn.Linear, Conv2dSame, *STANDARDISED}
