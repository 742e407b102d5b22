"""Block reconstruction: weights stay on their levels, and a result that does not help is dropped."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from swis.calibration.block_reconstruction import Reconstruction, _Rounding, blocks_of, reconstruct
from swis.calibration.kinds import STATS
from swis.calibration.layerwise import calibrate
from swis.encoding.decompose import to_filters
from swis.encoding.encode import Encoded, encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.registry import weight_format
from swis.networks.apply import weight_layers
from swis.networks.batch_norm import fused

FAST = Reconstruction(steps=12, rate=0.1)


@pytest.fixture(scope="module")
def images():
    return torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def reference(model):
    return fused(model, (1, 32, 32))


def both(reference, images, fmt, settings=FAST, **more):
    """Return the network with matched statistics and the reconstructed one, each with its weights."""
    network = copy.deepcopy(reference)
    before = calibrate(reference, network, fmt, images, STATS, **more)
    learned = copy.deepcopy(network)
    after = reconstruct(reference, learned, before, images, settings)
    return (network, before), (learned, after)


@torch.no_grad()
def divergence(reference, network, images):
    expected, logits = (model(images).log_softmax(1) for model in (reference, network))
    return float(F.kl_div(logits, expected, reduction="batchmean", log_target=True))


@pytest.fixture(scope="module")
def correlated():
    """A small network, and images with correlated pixels, for which nearest levels are far from optimal."""
    torch.manual_seed(0)
    mixing = torch.randn(6, 64) + 0.1 * torch.randn(6, 64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    model[3].weight.data *= 8  # so that the logits differ clearly
    return model, (torch.randn(1024, 6) @ mixing).reshape(-1, 1, 8, 8)


@pytest.mark.parametrize("method", ["swis", "swis_c", "truncate", "round", "uniform"])
def test_reconstruction_brings_the_logits_nearer_to_float(correlated, method):
    reference, images = correlated
    settings = Reconstruction(steps=150, rate=0.02)
    (network, before), (learned, after) = both(reference, images[:512], weight_format(method, 2), settings)
    others = images[512:]
    assert divergence(reference, learned, others) < 0.8 * divergence(reference, network, others)
    assert any(not torch.equal(after[name].codes, before[name].codes) for name in after)
    for name, layer in weight_layers(learned).items():
        assert torch.equal(layer.weight, after[name].weight()), name


def levels_beside(encoded: Encoded, weight: torch.Tensor) -> list[tuple[int, int]]:
    """Return every weight's code and the next level towards the float weight, by listing all levels."""
    targets = (to_filters(weight) / encoded.scale.reshape(-1, 1)).flatten().tolist()
    pairs = []
    fmt, (filters, width) = encoded.fmt, encoded.codes.shape
    if fmt.grouped:
        set_ids = encoded.shift_sets.repeat_interleave(fmt.group_size, 1)[:, :width].flatten().tolist()
    else:
        set_ids = [fmt.set_ids()[0]] * (filters * width)
    for target, code, set_id in zip(targets, encoded.codes.flatten().tolist(), set_ids, strict=True):
        magnitudes = [n for n in range(256) if n & ~set_id == 0]
        levels = sorted({*magnitudes, *(-n for n in magnitudes)})
        at = levels.index(code)
        beyond = at + 1 if target > code else at - 1 if target < code else at
        pairs.append((code, levels[beyond] if 0 <= beyond < len(levels) else code))
    return pairs


@pytest.mark.parametrize("method", ["swis", "swis_c", "truncate", "round", "uniform"])
@pytest.mark.parametrize("shifts", [1, 2, 4])
def test_the_other_level_is_the_next_one_towards_the_float_weight(method, shifts):
    weight = torch.randn(6, 10, generator=torch.Generator().manual_seed(0))
    encoded = encode(weight, weight_format(method, shifts, group_size=3))
    part = _Rounding(encoded, weight, "cpu")
    codes, moved = (values.int().flatten().tolist() for values in (part.codes, part.codes + part.gap))
    assert list(zip(codes, moved, strict=True)) == levels_beside(encoded, weight)


@pytest.mark.parametrize("method", ["swis", "swis_c"])
def test_weights_keep_their_shift_sets(reference, images, method):
    _, (_, after) = both(reference, images, weight_format(method, 2, group_size=3))
    for name, found in after.items():
        sets = found.shift_sets.repeat_interleave(3, 1)[:, : found.codes.shape[1]].short()
        assert torch.all(found.codes.short().abs() & ~sets == 0), name


@pytest.mark.parametrize("method", ["round", "uniform"])
def test_filters_keep_the_shifts_of_their_schedule(reference, images, method):
    filters = torch.arange(len(reference.conv_head.weight)).numpy()
    schedules = {"conv_head": LayerSchedule(filters % 3 + 1, filters)}
    _, (_, after) = both(reference, images, weight_format(method, 2), schedules=schedules)
    for codes, shifts in zip(after["conv_head"].codes.abs(), filters % 3 + 1, strict=True):
        if method == "uniform":
            assert int(codes.max()) <= 2**shifts - 1
        else:
            assert torch.all(codes % 2 ** (7 - shifts) == 0)


def test_the_weights_nearest_to_a_level_are_fixed_first():
    weight = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    part = _Rounding(encode(weight, weight_format("swis", 2)), weight, "cpu")
    part.fixed[:] = False
    part.latent.data[:] = torch.tensor([[0.0, 0.5, 0.1, 0.8, 1.0, 0.3, 0.45, 0.6]])
    part.fix(steps_left=3)  # a third of the six undecided weights
    assert part.fixed.flatten().nonzero().flatten().tolist() == [2, 3]
    assert part.latent.flatten().tolist() == pytest.approx([0, 0.5, 0, 1, 1, 0.3, 0.45, 0.6])
    part.fix(steps_left=1)
    assert set(part.latent.flatten().tolist()) == {0.0, 1.0}


def test_a_result_that_is_worse_on_held_out_images_is_dropped(reference, images, monkeypatch):
    monkeypatch.setattr(
        "swis.calibration.block_reconstruction._Blocks.error",
        lambda blocks, batch, weights: (
            -sum((w - w.detach().flatten()[0]).square().sum() for w in weights.values())
        ),
    )
    (network, before), (learned, after) = both(
        reference, images, weight_format("swis", 3), Reconstruction(20, 0.5)
    )
    assert all(torch.equal(after[name].codes, before[name].codes) for name in before)
    found, expected = learned.state_dict(), network.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_same_seed_gives_the_same_weights(reference, images):
    first, second = (both(reference, images, weight_format("swis", 2))[1][0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_blocks_of_a_real_network(model):
    names = list(blocks_of(model))
    assert names[:3] == ["conv_stem", "blocks.0.0", "blocks.1.0"]
    assert names[-2:] == ["conv_head", "classifier"]


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_images_and_shared_or_skipped_layers(count):
    torch.manual_seed(0)
    shared = nn.Linear(8, 8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8, bias=False), nn.ReLU(), shared, nn.ReLU(), shared)
    images = torch.rand(count, 1, 8, 8)
    _, (learned, after) = both(model, images, weight_format("swis", 2), skip={"3"})
    assert set(after) == set(weight_layers(model))
    assert learned(images).isfinite().all()
    assert all(not layer._forward_pre_hooks for layer in weight_layers(learned).values())
