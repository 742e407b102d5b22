"""A packed file gives the same network back, and damaged or other files are refused."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, TINY_INPUTS
from examples import changed
from safetensors.torch import load_file
from torch import nn

from swis.coding.bitstream import CODINGS
from swis.encoding.encode import approximate
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.formats.registry import weight_format
from swis.networks.activations import ActivationRange
from swis.networks.apply import weight_layers, with_weights
from swis.networks.batch_norm import fold_batch_norm
from swis.networks.macs import layer_macs
from swis.networks.models import new_network
from swis.options.model import ModelConfig
from swis.packing.file import load_packed, save_packed


@pytest.fixture(scope="module")
def network():
    return new_network(ModelConfig(label="tiny", name=TINY), 10, TINY_INPUTS, seed=0)


@pytest.fixture
def packed_file(network, tmp_path):
    path = tmp_path / "packed.safetensors"
    save_packed(path, network, weight_format("swis", 3), coding="compact", skip=["conv_stem"])
    return path


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("fold_bn", [False, True])
@pytest.mark.parametrize(
    "method", ["swis", "swis_c", "swis_signed", "truncate", "round", "uniform", "uniform_group", "int8"]
)
def test_logits_are_bit_identical(network, tmp_path, method, fold_bn, coding):
    fmt, path = weight_format(method, 3), tmp_path / "packed.safetensors"
    save_packed(path, network, fmt, coding=coding, skip=["conv_stem"], fold_bn=fold_bn, label="tiny")
    packed = load_packed(path)
    source = fold_batch_norm(network.module, (1, 32, 32)) if fold_bn else network.module
    expected, _ = with_weights(source, fmt, layer_macs(source, (1, 32, 32)), {"conv_stem"})
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(packed.network.module(images), expected(images))
    assert (packed.fmt, packed.coding, packed.skip) == (fmt, coding, ["conv_stem"])
    assert packed.layers["conv_stem"].fmt.name == "int8"
    assert packed.network.inputs == network.inputs
    sizes = [len(tensor) for key, tensor in load_file(path).items() if key.endswith(".packed")]
    assert sum(sum(layer.bits.values()) for layer in packed.layers.values()) == 8 * sum(sizes)


def test_plain_files_have_the_bits_of_the_formula(network, tmp_path):
    path = tmp_path / "packed.safetensors"
    fmt = weight_format("swis", 2, group_size=16)
    save_packed(path, network, fmt)
    _, costs = with_weights(network.module, fmt, layer_macs(network.module, (1, 32, 32)))
    formula = sum(cost.stored_bits for cost in costs) / sum(cost.weights for cost in costs)
    parts = load_packed(path).bits_per_weight()
    assert sum(parts.values()) - parts["metadata"] == pytest.approx(formula)
    assert parts["metadata"] < 0.01  # the last byte of each layer


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("group_size", [1, 3, 64])
@pytest.mark.parametrize("method", ["swis", "swis_c"])
def test_groups_of_any_size_come_back(network, tmp_path, method, group_size, coding):
    fmt, path = weight_format(method, 2, group_size), tmp_path / "packed.safetensors"
    save_packed(path, network, fmt, coding=coding)
    for name, layer in weight_layers(load_packed(path).network.module).items():
        assert torch.equal(layer.weight, approximate(network.module.get_parameter(f"{name}.weight"), fmt)), (
            name
        )


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("method", ["swis", "swis_c", "swis_signed", "truncate", "uniform", "uniform_group"])
def test_filters_with_different_shifts_come_back(network, schedules, tmp_path, method, coding):
    fmt, path = weight_format(method, 2.5), tmp_path / "packed.safetensors"
    save_packed(path, network, fmt, coding=coding, skip=["conv_stem"], schedules=schedules, policy="greedy")
    packed = load_packed(path)
    macs = layer_macs(network.module, (1, 32, 32))
    expected, costs = with_weights(network.module, fmt, macs, {"conv_stem"}, schedules)
    for name, layer in weight_layers(expected).items():
        assert torch.equal(packed.network.module.get_parameter(f"{name}.weight"), layer.weight), name
    for name, schedule in schedules.items():
        again = packed.layers[name].schedule
        assert (again.shifts == schedule.shifts).all()
        assert (again.order == schedule.order).all()
        assert (again.cycles == schedule.cycles).all()
    assert packed.policy == "greedy"
    sizes = [len(t) for key, t in load_file(path).items() if key.endswith((".packed", ".schedule"))]
    assert sum(sum(layer.bits.values()) for layer in packed.layers.values()) == 8 * sum(sizes)
    if coding == "plain":  # each number of shifts may take up to one byte more
        formula = sum(cost.stored_bits for cost in costs)
        assert formula <= 8 * sum(sizes) < formula + 8 * 5 * len(costs)


@pytest.fixture
def schedules(network):
    random = np.random.default_rng(0)
    layers = {name: len(layer.weight) for name, layer in weight_layers(network.module).items()}
    del layers["conv_stem"]
    return {
        name: LayerSchedule(
            random.integers(1, 5, filters),
            random.permutation(filters) if number % 2 else np.arange(filters),
            filters_per_tile=1 + number % 3,
            multiple=1 + number % 2,
        )
        for number, (name, filters) in enumerate(layers.items())
    }


@pytest.mark.parametrize("spoil", ["order", "length", "kinds"])
def test_a_damaged_schedule_is_refused(network, schedules, tmp_path, spoil):
    path = tmp_path / "packed.safetensors"
    save_packed(path, network, weight_format("swis", 2.5), skip=["conv_stem"], schedules=schedules)
    name = next(name for name, schedule in schedules.items() if schedule.reordered)

    def change(header, tensors):
        schedule = tensors[f"{name}.weight.schedule"]
        if spoil == "order":
            schedule[:] = 0
        elif spoil == "length":
            tensors[f"{name}.weight.schedule"] = torch.cat([schedule, schedule])
        else:
            header["layers"][name]["tiles"]["bytes"].append(0)

    changed(path, change, sound_checksum=True)
    with pytest.raises(InputError, match="a packed layer is damaged"):
        load_packed(path)


def test_activation_ranges_come_back_exactly(network, tmp_path):
    ranges = {"conv_head": ActivationRange(-0.1, 1 / 3)}
    save_packed(tmp_path / "p", network, weight_format("swis"), activation_bits=8, ranges=ranges)
    packed = load_packed(tmp_path / "p")
    assert (packed.activation_bits, packed.ranges) == (8, ranges)


def test_a_shared_weight_is_stored_once(network, tmp_path, monkeypatch):
    class Twice(nn.Module):
        num_classes = 4

        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            self.table = nn.Embedding(4, 4)  # shares the weight but is not a weight layer
            self.b.weight = self.table.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    network = replace(network, module=Twice())
    fresh = replace(network, module=Twice())
    monkeypatch.setattr("swis.packing.file.new_network", lambda *_, **__: fresh)
    save_packed(tmp_path / "p", network, weight_format("swis"))
    assert [key for key in load_file(tmp_path / "p") if key.endswith("packed")] == ["a.weight.packed"]
    packed = load_packed(tmp_path / "p")
    assert packed.layers["b"].bits == {}
    expected = approximate(network.module.a.weight, weight_format("swis"))
    for shared in (packed.network.module.a, packed.network.module.b, packed.network.module.table):
        assert torch.equal(shared.weight, expected)


@pytest.mark.parametrize("position", [0.02, 0.3, 0.5, 0.7, 0.95, 1.0])
def test_a_changed_byte_is_detected(packed_file, position):
    content = bytearray(packed_file.read_bytes())
    content[int(position * (len(content) - 1))] ^= 0x10
    packed_file.write_bytes(content)
    with pytest.raises(InputError, match=r"packed\.safetensors"):
        load_packed(packed_file)


def test_a_truncated_file_is_detected(packed_file):
    packed_file.write_bytes(packed_file.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a readable packed file"):
        load_packed(packed_file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "version 3 of the file format, but this code reads 4 and 5"),
        ({"coding": "plain"}, "is damaged"),
        ({"form": {}}, "is damaged"),
    ],
)
def test_a_changed_header_is_detected(packed_file, change, message):
    changed(packed_file, lambda header, _: header.update(change), sound_checksum=False)
    with pytest.raises(InputError, match=message):
        load_packed(packed_file)


def test_a_file_of_the_previous_version_is_read(packed_file):
    expected = load_packed(packed_file).network.module.state_dict()
    changed(packed_file, lambda header, _: header.update(version=4), sound_checksum=True)
    found = load_packed(packed_file).network.module.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def of_head(header) -> dict:
    return header["layers"]["conv_head"]


@pytest.mark.parametrize(
    "change",
    [
        lambda header, _: header.pop("network"),
        lambda header, _: header.update(coding="zip"),
        lambda header, _: header["form"].update(colour="red"),
        lambda header, _: header["network"]["kwargs"].update(pretrained=True),
        lambda header, _: header["network"]["kwargs"].update(checkpoint_path="weights.pth"),
        lambda header, _: header["network"].update(architecture="no_such_model"),
        lambda header, _: header["activations"].update(ranges={"nowhere": [0, 1]}),
        lambda header, _: of_head(header).update(shape=[10**6, 10**6, 1, 1]),
        lambda header, _: of_head(header).update(shape=[-1, 4, 1, 1]),
        lambda header, _: of_head(header)["form"].update(group_size=0),
        lambda header, _: of_head(header)["form"].update(shifts=9),
        lambda header, _: of_head(header)["form"].update(method="int8"),
        lambda _, tensors: tensors.pop("conv_head.weight.packed"),
        lambda _, tensors: tensors.pop("bn2.weight"),
        lambda _, tensors: tensors.update({"conv_head.weight.scale": torch.ones(3)}),
    ],
)
def test_a_wrong_file_with_a_correct_checksum_is_refused(packed_file, change):
    changed(packed_file, change, sound_checksum=True)
    with pytest.raises(InputError, match=r"packed\.safetensors|packed layer|timm has no model"):
        load_packed(packed_file)


def test_the_same_network_gives_the_same_file(network, packed_file, tmp_path):
    for number in range(3):
        path = tmp_path / f"again{number}"
        save_packed(path, network, weight_format("swis", 3), coding="compact", skip=["conv_stem"])
        assert path.read_bytes() == packed_file.read_bytes()


def test_network_arguments_that_read_other_files_are_not_stored(network, tmp_path):
    network = replace(network, kwargs={**network.kwargs, "checkpoint_path": "weights.pth"})
    save_packed(tmp_path / "p", network, weight_format("swis"))
    assert "checkpoint_path" not in load_packed(tmp_path / "p").network.kwargs


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_other_precisions_are_refused(network, tmp_path, dtype):
    narrow = replace(network, module=copy.deepcopy(network.module).to(dtype))
    with pytest.raises(ValueError, match="only float32 networks can be packed"):
        save_packed(tmp_path / "p", narrow, weight_format("swis"))


def test_a_checkpoint_is_not_a_packed_file(tiny_checkpoint):
    with pytest.raises(InputError, match="is not a packed file; task=pack writes them"):
        load_packed(tiny_checkpoint)


def test_unknown_codings_are_refused(network, tmp_path):
    with pytest.raises(ValueError, match="coding must be one of"):
        save_packed(tmp_path / "p", network, weight_format("swis"), coding="zip")
    with pytest.raises(ValueError, match="the format float cannot be packed"):
        save_packed(tmp_path / "p", network, weight_format("float"))
    with pytest.raises(InputError, match="'nowhere' matches no layer"):
        save_packed(tmp_path / "p", network, weight_format("swis"), skip=["nowhere"])
