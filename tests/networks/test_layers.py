"""One-dimensional and transposed convolutions are layers like all others, from format to file."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from swis.calibration.block_reconstruction import Reconstruction, reconstruct
from swis.calibration.input_moments import output_positions, patches
from swis.calibration.kinds import STATS
from swis.calibration.layerwise import calibrate
from swis.calibration.output_aware import walking
from swis.encoding.metrics import sqnr_db
from swis.encoding.quantizer import quantize
from swis.errors import InputError
from swis.formats.registry import weight_format
from swis.hardware.layer_shapes import workload
from swis.networks.activations import observe_codes, observe_ranges
from swis.networks.apply import encode_layers, with_weights
from swis.networks.batch_norm import fold_batch_norm
from swis.networks.channel_rewrite import equalize, links, permute
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import filter_shape, filters_of, is_layer, put_filters, weight_layers, weight_of
from swis.networks.macs import layer_macs
from swis.training.parametrization import LatentTraining, add_latents, latents

SIZE = (2, 8, 8)
FORM = weight_format("swis", 2, 4)


class Both(nn.Module):
    """A convolution, a transposed one, a one-dimensional one, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.up, self.up_norm = nn.ConvTranspose2d(8, 6, 3, 2, 1, 1, groups=2), nn.BatchNorm2d(6)
        self.row, self.row_norm = nn.Conv1d(6, 10, 3, padding=1), nn.BatchNorm1d(10)
        self.head = nn.Linear(10, 5)

    def forward(self, x):
        x = F.relu(self.up_norm(self.up(F.relu(self.norm(self.stem(x))))))
        return self.head(F.relu(self.row_norm(self.row(x.flatten(2)))).mean(2))


@pytest.fixture
def both():
    torch.manual_seed(0)
    network = Both().eval()
    for norm in (network.norm, network.up_norm, network.row_norm):
        norm.running_mean.normal_(0, 0.2)
        norm.running_var.uniform_(0.5, 2)
        norm.weight.data.uniform_(0.5, 1.5)
    return network


@pytest.fixture
def images():
    return torch.randn(16, *SIZE, generator=torch.Generator().manual_seed(1))


LAYERS = [
    nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2),
    nn.Conv1d(4, 8, 3, padding="same", groups=4, padding_mode="circular"),
    nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
    nn.ConvTranspose2d(4, 6, (2, 3), stride=(3, 1), groups=2, dilation=(1, 2)),
    nn.ConvTranspose2d(4, 4, 1, stride=2, padding=1, groups=4, output_padding=1),  # crops its input
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_windows_times_filters_are_the_layer_s_output(layer):
    inputs = torch.randn(3, 4, 9) if isinstance(layer, nn.Conv1d) else torch.randn(3, 4, 5, 6)
    found = encode_layers(nn.Sequential(layer), weight_format("int8"))["0"]
    assert found.shape == filter_shape(layer) == filters_of(layer).shape
    put_filters(layer, found.weight())
    layer.bias.data.zero_()
    columns = patches(layer, inputs, torch.arange(output_positions(layer, inputs)))
    rows = (found.codes * found.scale.reshape(-1, 1)).reshape(len(columns), -1, columns.shape[2])
    outputs = (columns @ rows.transpose(1, 2)).movedim(0, 1).flatten(1)
    torch.testing.assert_close(outputs, layer(inputs).movedim(1, -1).flatten(0, -2), atol=1e-5, rtol=0)


def test_every_filter_of_a_transposed_convolution_has_its_own_scale():
    layer = nn.ConvTranspose2d(2, 3, 2)
    layer.weight.data *= torch.tensor([1.0, 10.0, 100.0]).reshape(1, 3, 1, 1)
    scale = encode_layers(nn.Sequential(layer), FORM)["0"].scale
    expected = layer.weight.detach().abs().amax((0, 2, 3)) / 127
    torch.testing.assert_close(scale.flatten(), expected)


def test_layers_of_all_kinds_are_in_the_format(both):
    changed, costs = with_weights(both, FORM, layer_macs(both, SIZE))
    assert list(weight_layers(both)) == ["stem", "up", "row", "head"]
    assert [cost.weights for cost in costs] == [144, 216, 180, 50]
    for name, layer in weight_layers(changed).items():
        filters = filters_of(weight_layers(both)[name]).detach()
        codes = (filters_of(layer).detach() / quantize(filters).scale).round().int().abs()
        groups = F.pad(codes.movedim(1, -1).flatten(1), (0, -filters[0].numel() % 4)).reshape(-1, 4)
        used = groups[:, 0] | groups[:, 1] | groups[:, 2] | groups[:, 3]
        assert max(bin(bits).count("1") for bits in used.tolist()) == 2, name


def test_normalisation_after_all_kinds_of_layers_is_folded(both, images):
    folded = fold_batch_norm(both, SIZE)
    assert not any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded(images), both(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [STATS, walking()], ids=["stats", "output_aware"])
def test_calibration_helps_layers_of_all_kinds(both, images, kind):
    reference = fold_batch_norm(both, SIZE)
    plain, _ = with_weights(reference, FORM, dict.fromkeys(weight_layers(reference), 0))
    network = copy.deepcopy(reference)
    encoded = calibrate(reference, network, FORM, images, kind)
    if kind.choose is not None:
        reconstruct(reference, network, encoded, images, Reconstruction(steps=2))
    with torch.no_grad():
        expected, before, after = (model(images) for model in (reference, plain, network))
        mean = network.up(reference.stem(images).relu()).mean((0, 2, 3))
    assert sqnr_db(expected, after) > sqnr_db(expected, before) + 1
    assert mean.isfinite().all()


def test_output_aware_weights_of_a_layer_are_better_than_nearest_ones():
    torch.manual_seed(0)
    for layer, images in ((LAYERS[2], torch.randn(32, 4, 4, 4)), (LAYERS[0], torch.randn(32, 4, 16))):
        images = images + 2 * images[:, :1]  # correlated channels
        network = nn.Sequential(copy.deepcopy(layer))
        calibrate(nn.Sequential(layer), network, FORM, images, walking())
        plain = nn.Sequential(copy.deepcopy(layer))
        calibrate(nn.Sequential(layer), plain, FORM, images, STATS)
        with torch.no_grad():
            assert sqnr_db(layer(images), network(images)) > sqnr_db(layer(images), plain(images)) + 0.5


def test_layers_of_all_kinds_can_be_retrained(both, images):
    encoded = encode_layers(both, FORM)
    expected, _ = with_weights(both, FORM, dict.fromkeys(encoded, 0))
    student = add_latents(plain_copy(both), encoded, LatentTraining())
    student(images).square().sum().backward()
    for name, (latent, weight) in latents(student).items():
        assert torch.equal(student.get_submodule(name).weight, expected.get_submodule(name).weight), name
        assert weight.grad.abs().sum() > 0
        assert torch.equal(latent.encoded(weight).weight(), encoded[name].weight())
    for name, layer in weight_layers(plain_copy(student)).items():
        assert torch.equal(layer.weight, expected.get_submodule(name).weight), name


@pytest.mark.parametrize("rewrite", [equalize, permute])
def test_channels_are_rewritten_between_layers_of_all_kinds(rewrite):
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 4, 3), nn.ReLU6()),
        *(nn.ConvTranspose2d(4, 3, 2), nn.ReLU(), nn.Conv2d(3, 2, 1)),
    )
    assert len(links(network)) == 3
    changed = rewrite(network, SIZE)
    assert not torch.equal(changed[2].weight, network[2].weight)
    rows = nn.Sequential(nn.Conv1d(8, 6, 3), nn.ReLU6(), nn.Conv1d(6, 2, 1))
    assert not torch.equal(rewrite(rows, (8, 8))[2].weight, rows[2].weight)


def test_the_workload_has_the_shapes_of_all_kinds_of_layers(both, images):
    stem, up, row, head = workload(both, SIZE)
    assert (up.in_h, up.in_w, up.out_h, up.kernel_h, up.stride_h, up.groups) == (7, 7, 8, 3, 1, 2)
    assert (up.pad_top, up.pad_left, up.pad_bottom, up.pad_right) == (1, 1, 2, 2)
    assert (row.pad_top, row.pad_left, row.pad_bottom, row.pad_right) == (0, 1, 0, 1)
    assert (row.in_h, row.in_w, row.kernel_h, row.kernel_w, row.out_h, row.out_w) == (1, 64, 1, 3, 1, 64)
    assert [layer.weights for layer in (stem, up, row, head)] == [144, 216, 180, 50]
    layers = weight_layers(both)
    ranges = observe_ranges(both, layers, [images])
    codes = observe_codes(both, layers, images[:1], ranges, 8)
    for layer in (stem, up, row, head):
        [of_one_call] = codes[layer.name]
        assert of_one_call.shape == (layer.in_channels, layer.in_h, layer.in_w)
    assert not codes["up"][0][:, 1::2].any()


def test_a_weight_that_two_kinds_of_layers_share_is_refused():
    tied = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ConvTranspose2d(4, 2, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(InputError, match="layers 0 and 1 share a weight"):
        encode_layers(tied, FORM)


def test_a_module_with_another_forward_is_not_a_layer():
    class Twice(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    patched = nn.Linear(2, 2)
    patched.forward = lambda x: x
    assert not is_layer(Twice(2, 2))
    assert not is_layer(patched)
    assert torch.equal(weight_of(patched, filters_of(patched)), patched.weight)
