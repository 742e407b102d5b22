"""Layer-wise calibration: statistics match, outputs come nearer to float, unusual layers and images work."""

import copy
from dataclasses import asdict

import pytest
import torch
from torch import nn

from swis.calibration.block_reconstruction import Reconstruction
from swis.calibration.kinds import BIAS, STATS
from swis.calibration.layerwise import _by_image, calibrate, matching
from swis.calibration.output_aware import OutputAware, output_aware, walking
from swis.encoding.encode import approximate
from swis.encoding.layer_schedule import LayerSchedule
from swis.encoding.metrics import sqnr_db
from swis.errors import InputError
from swis.experiments.config import load
from swis.formats.registry import weight_format
from swis.networks.activations import observe_ranges, quantize_activations
from swis.networks.apply import encode_layers, weight_layers
from swis.networks.batch_norm import fused
from swis.options.choices import Order

AWARE = walking(OutputAware(positions=4096))


@pytest.fixture(scope="module")
def images():
    return torch.rand(24, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def reference(model):
    return fused(model, (1, 32, 32))


def calibrated(reference, images, settings, fmt=None, **more):
    network = copy.deepcopy(reference)
    fmt = fmt or weight_format("swis", 2)
    return network, calibrate(reference, network, fmt, images, settings, **more)


@torch.inference_mode()
def outputs(network, images):
    """Return the output of every weight layer."""
    seen, handles = {}, []
    for name, layer in weight_layers(network).items():
        handles.append(layer.register_forward_hook(lambda m, x, y, n=name: seen.update({n: y.clone()})))
    network(images)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("settings", [STATS, AWARE], ids=["stats", "output_aware"])
def test_every_layer_has_the_float_network_s_statistics(reference, images, settings):
    network, _ = calibrated(reference, images, settings)
    found, expected = outputs(network, images), outputs(reference, images)
    for name, output in expected.items():
        around = (0, 2, 3) if output.ndim == 4 else (0,)
        size = output.std()
        assert torch.allclose(found[name].mean(around), output.mean(around), atol=1e-3 * size), name
        ratio = output.std(around) / found[name].std(around)
        within = (ratio > 0.99) & (ratio < 1.01) | (output.std(around) < 1e-3 * size)
        assert within.float().mean() > 0.9, name  # the other channels reach the limit of the gain


def test_bias_correction_matches_only_the_means(reference, images):
    network, encoded = calibrated(reference, images, BIAS)
    found, expected = outputs(network, images), outputs(reference, images)
    plain = encode_layers(reference, weight_format("swis", 2))
    for name, output in expected.items():
        around = (0, 2, 3) if output.ndim == 4 else (0,)
        assert torch.allclose(found[name].mean(around), output.mean(around), atol=1e-3 * output.std()), name
        assert torch.equal(encoded[name].weight(), plain[name].weight()), name


@pytest.mark.parametrize("group_size", [1, 4, 5])
def test_the_gptq_pass_works_in_both_orders_of_groups(group_size):
    torch.manual_seed(0)
    images = torch.randn(64, 30) * torch.rand(30) ** 2
    images = images @ (torch.eye(30) + 0.3 * torch.randn(30, 30))
    layer, fmt = nn.Linear(30, 40), weight_format("swis", 2, group_size)
    settings = [OutputAware(order=order, rounds=0, asymmetric=False, scales=(1.0,)) for order in Order]
    chunks = images.split(8)
    found = [output_aware(layer, fmt, None, chunks, chunks, how) for how in settings]
    errors = [float((images @ (f.weight() - layer.weight.detach()).T).square().mean()) for f in found]
    plain = encode_layers(nn.Sequential(layer), fmt)["0"].weight() - layer.weight.detach()
    assert max(errors) < 0.8 * float((images @ plain.T).square().mean())
    assert not torch.equal(found[0].codes, found[1].codes)
    for f in found:
        sets = f.shift_sets.repeat_interleave(group_size, 1)[:, :30].short()
        assert torch.all(f.codes.short().abs() & ~sets == 0)


@pytest.mark.parametrize("method", ["swis", "swis_c", "truncate", "round", "uniform"])
def test_statistics_and_then_output_aware_levels_bring_the_logits_nearer(reference, images, method):
    fmt = weight_format(method, 3)
    plain = copy.deepcopy(reference)
    for layer in weight_layers(plain).values():
        layer.weight.data = approximate(layer.weight, fmt)
    others = torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = reference(others)
        networks = (plain, *(calibrated(reference, images, how, fmt)[0] for how in (STATS, AWARE)))
        none, stats, aware = (sqnr_db(expected, network(others)) for network in networks)
    assert none < stats < aware


def test_layers_have_the_encoded_weights_and_codes_use_their_sets(reference, images):
    network, encoded = calibrated(reference, images, AWARE)
    for name, layer in weight_layers(network).items():
        found = encoded[name]
        assert torch.equal(layer.weight, found.weight())
        sets = found.shift_sets.repeat_interleave(4, 1)[:, : found.codes.shape[1]].short()
        assert torch.all(found.codes.short().abs() & ~sets == 0), name


def test_every_filter_takes_the_scale_of_least_error():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(16, 8))
    images = torch.randn(400, 16)

    def errors(*scales):
        settings = OutputAware(asymmetric=False, damping=1e-6, scales=scales)
        network, _ = calibrated(layer, images, walking(settings), weight_format("swis", 1))
        difference = network(images) - layer(images)
        return difference.var(0)

    with torch.inference_mode():
        one, other, best = errors(1.2), errors(1.5), errors(1.5, 1.2)
    assert torch.allclose(best, torch.minimum(one, other), rtol=0.02)
    assert (one < other).any() and (other < one).any()


def test_with_one_scale_per_tensor_scales_are_not_searched_but_gains_differ(reference, images):
    _, encoded = calibrated(reference, images, AWARE, weight_format("swis", 2, granularity="tensor"))
    settings = walking(OutputAware(positions=4096, scales=(1.0,)))
    _, plain = calibrated(reference, images, settings, weight_format("swis", 2, granularity="tensor"))
    assert all(torch.equal(encoded[name].codes, plain[name].codes) for name in plain)
    gains = encoded["conv_head"].scale / encoded["conv_head"].scale.min()
    assert gains.numel() == len(reference.conv_head.weight)
    assert gains.max() < 16.0001  # the largest gain, 4, divided by the smallest, 1/4
    _, shifted = calibrated(reference, images, BIAS, weight_format("swis", 2, granularity="tensor"))
    assert all(found.scale.numel() == 1 for found in shifted.values())


def test_the_same_images_give_the_same_weights(reference, images):
    first, second = (calibrated(reference, images, AWARE)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_float_network_is_not_changed(reference, images):
    before = copy.deepcopy(reference.state_dict())
    calibrated(reference, images, AWARE)
    assert all(torch.equal(value, before[key]) for key, value in reference.state_dict().items())
    assert all(not layer._forward_hooks for layer in weight_layers(reference).values())


def test_skipped_layers_keep_eight_bits(reference, images):
    _, encoded = calibrated(reference, images, AWARE, skip={"conv_stem"})
    assert encoded["conv_stem"].fmt.name == "int8"
    assert encoded["conv_head"].fmt.name == "swis"


@pytest.mark.parametrize("method", ["swis", "uniform"])
def test_filters_keep_the_shifts_of_their_schedule(reference, images, method):
    filters = len(reference.conv_head.weight)
    shifts = torch.arange(filters).numpy() % 3 + 1
    schedules = {"conv_head": LayerSchedule(shifts, torch.arange(filters).numpy())}
    _, encoded = calibrated(reference, images, AWARE, weight_format(method, 2), schedules=schedules)
    found = encoded["conv_head"]
    if method == "uniform":
        assert torch.all(found.codes.abs().amax(1) <= torch.from_numpy(2**shifts - 1))
    else:
        assert all(
            int(s).bit_count() == n for row, n in zip(found.shift_sets, shifts, strict=True) for s in row
        )


def test_calibration_works_with_quantized_activations(reference, images):
    layers = weight_layers(reference)
    ranges = observe_ranges(reference, layers, [images])
    network = copy.deepcopy(reference)
    quantize_activations(weight_layers(network), ranges, 8)
    calibrate(reference, network, weight_format("swis", 4), images, AWARE)
    with torch.inference_mode():
        assert sqnr_db(reference(images), network(images)) > 10


class Odd(nn.Module):
    """Layers without bias, called twice, with a shared weight, or never called; zero and constant inputs."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(1, 8, 3, stride=2, padding="valid", bias=False)
        self.b = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular", groups=4)
        self.c, self.d = nn.Linear(8, 8), nn.Linear(8, 8)
        self.d.weight = self.c.weight
        self.twice, self.idle = nn.Linear(8, 8), nn.Linear(4, 4)

    def forward(self, x):
        x = self.b(torch.relu_(self.a(x))).mean((2, 3))
        x = torch.cat([x[:, :4], torch.zeros_like(x[:, :2]), torch.ones_like(x[:, :2])], 1)
        return self.twice(torch.relu_(self.twice(self.d(torch.relu_(self.c(x))))))


@pytest.mark.parametrize("count", [1, 5])
def test_unusual_layers_and_fewer_images_than_weights(images, count):
    torch.manual_seed(0)
    odd = Odd().eval()
    network, encoded = calibrated(odd, images[:count], AWARE)
    assert set(encoded) == set(weight_layers(odd))
    assert network.c.weight is network.d.weight or torch.equal(network.c.weight, network.d.weight)
    assert torch.equal(network.idle.weight, approximate(odd.idle.weight, weight_format("swis", 2)))
    assert network.a.bias is not None
    assert torch.equal(network.c.weight, encoded["c"].weight())
    assert torch.equal(network.c.weight, approximate(odd.c.weight, weight_format("swis", 2)))
    with torch.inference_mode():
        assert network(images).isfinite().all()


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_constant_images_do_no_harm(reference, images, value):
    constant = torch.full((4, 1, 32, 32), value)
    network, _ = calibrated(reference, constant, AWARE)
    plain = copy.deepcopy(reference)
    for layer in weight_layers(plain).values():
        layer.weight.data = approximate(layer.weight, weight_format("swis", 2))
    with torch.inference_mode():
        expected = reference(images)
        assert sqnr_db(expected, network(images)) > sqnr_db(expected, plain(images))


class ChannelsLast(nn.Module):
    """Linear layers on [N, H, W, C], as in ConvNeXt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.expand, self.reduce = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)

    def forward(self, x):
        return self.reduce(self.expand(x.permute(0, 2, 3, 1)).relu())


@pytest.mark.parametrize("side", [5, 6], ids=["other sizes", "as high as channels"])
@pytest.mark.parametrize("settings", [STATS, AWARE], ids=["stats", "output_aware"])
def test_linear_layers_on_images_match_their_channels(side, settings):
    torch.manual_seed(0)
    float_network, images = ChannelsLast(6), torch.randn(16, 6, side, 12)
    network, _ = calibrated(float_network, images, settings)
    with torch.inference_mode():
        found, expected = network(images).flatten(0, 2), float_network(images).flatten(0, 2)
    assert torch.allclose(found.mean(0), expected.mean(0), atol=1e-4)
    assert torch.allclose(found.std(0), expected.std(0), rtol=1e-3)


def test_asymmetric_calibration_corrects_the_errors_of_earlier_layers():
    """The target is the float network's output on the float network's own inputs."""
    torch.manual_seed(0)
    float_network = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    images, others = torch.randn(3000, 8).split((2000, 1000))
    found = []
    for asymmetric in (False, True):
        settings = OutputAware(asymmetric=asymmetric, scales=(1.0,))
        network, _ = calibrated(float_network, images, walking(settings))
        with torch.inference_mode():
            found.append(sqnr_db(float_network(others), network(others)))
    assert found[1] > found[0] + 3


def test_a_layer_called_twice_is_calibrated_at_its_first_call():
    torch.manual_seed(0)
    layer = nn.Linear(8, 8)
    twice, once = nn.Sequential(layer, nn.ReLU(), layer), nn.Sequential(layer)
    images = torch.randn(32, 8)
    again, first = (calibrated(model, images, STATS)[1]["0"].weight() for model in (twice, once))
    assert torch.equal(again, first)


def test_unknown_orders_are_refused():
    with pytest.raises(ValueError, match=r"order must be one of .* not 'size'"):
        OutputAware(order="size")


def test_the_configuration_has_the_library_s_defaults():
    config = load()
    assert asdict(config.calibration) == asdict(OutputAware()) | {"images": config.calibration.images}
    assert asdict(config.reconstruction) == asdict(Reconstruction())


def test_a_dead_channel_keeps_its_gain():
    output, wanted = torch.zeros(5, 3), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    output[:, 0] = wanted[:, 0] * 2
    wanted[:, 2] = 7.0
    gain, offset = matching(output.split(2), [wanted], axis=1)
    assert gain.tolist() == pytest.approx([0.5, 1, 1])
    assert torch.allclose(output.mean(0) * gain + offset, wanted.mean(0))


@pytest.mark.parametrize("shape", [(6, 50, 16), (24, 25, 16), (48, 16)])
def test_the_windows_of_an_image_count_as_one_image(shape):
    """Six images give the same weights as tokens, as four windows each, and as eight rows each."""
    torch.manual_seed(0)
    flat, layer = torch.randn(300 if len(shape) > 2 else 48, 16), nn.Linear(16, 4)
    whole, cut = flat.reshape(6, -1, 16), flat.reshape(-1, *shape[1:])
    chunks = [_by_image(layer, windows, whole[:2]) for windows in cut.chunk(3)]
    fmt, how = weight_format("swis", 1), OutputAware()
    expected, found = (output_aware(layer, fmt, None, x, x, how) for x in (whole.split(2), chunks))
    assert torch.equal(found.codes, expected.codes)


class Choosing(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        return self.a(x) if x.sum() > 0 else self.b(x)


class Leaving(Choosing):
    def forward(self, x):
        y = self.a(x)
        return y if x.sum() > 0 else self.b(y)


@pytest.mark.parametrize("network", [Choosing(), Leaving()], ids=["other layers", "fewer layers"])
def test_networks_whose_layers_depend_on_the_image_are_refused(network):
    images = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    with pytest.raises(InputError, match="calls different layers for different images"):
        calibrated(network, images, STATS)
