"""Packed files: the same network comes back, and nothing else passes for one."""

import json
from dataclasses import replace

import pytest
import torch
from conftest import TINY, TINY_INPUTS
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from swis.activations import ActivationRange
from swis.apply import WeightFormat, layer_macs, with_weights
from swis.codec import CODINGS
from swis.config import ModelConfig
from swis.errors import InputError
from swis.fold import fold_batch_norm
from swis.models import new_network
from swis.packed import load_packed, save_packed


@pytest.fixture(scope="module")
def network():
    return new_network(ModelConfig(label="tiny", name=TINY), 10, TINY_INPUTS, seed=0)


@pytest.fixture
def packed_file(network, tmp_path):
    path = tmp_path / "packed.safetensors"
    save_packed(path, network, WeightFormat("swis", 3), coding="compact", skip=["conv_stem"])
    return path


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("fold_bn", [False, True])
@pytest.mark.parametrize("method", ["swis", "swis_c", "truncate", "round", "uniform", "base"])
def test_logits_are_the_same_to_the_bit(network, tmp_path, method, fold_bn, coding):
    form, path = WeightFormat(method, 3), tmp_path / "packed.safetensors"
    save_packed(path, network, form, coding=coding, skip=["conv_stem"], fold_bn=fold_bn, label="tiny")
    packed = load_packed(path)
    source = fold_batch_norm(network.module, (1, 32, 32)) if fold_bn else network.module
    expected, _ = with_weights(source, form, layer_macs(source, (1, 32, 32)), {"conv_stem"})
    images = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(packed.network.module(images), expected(images))
    assert (packed.form, packed.coding, packed.skip) == (form, coding, ["conv_stem"])
    assert packed.layers["conv_stem"].form.method == "base"
    assert packed.network.inputs == network.inputs
    sizes = [len(tensor) for key, tensor in load_file(path).items() if key.endswith(".packed")]
    assert sum(sum(layer.bits.values()) for layer in packed.layers.values()) == 8 * sum(sizes)


def test_plain_files_take_the_bits_of_the_formula(network, tmp_path):
    path = tmp_path / "packed.safetensors"
    form = WeightFormat("swis", 2, group_size=16)
    save_packed(path, network, form)
    _, costs = with_weights(network.module, form, layer_macs(network.module, (1, 32, 32)))
    formula = sum(cost.stored_bits for cost in costs) / sum(cost.weights for cost in costs)
    parts = load_packed(path).bits_per_weight()
    assert sum(parts.values()) - parts["metadata"] == pytest.approx(formula)
    assert parts["metadata"] < 0.01  # the last byte of each layer


def test_activation_ranges_come_back_exactly(network, tmp_path):
    ranges = {"conv_head": ActivationRange(-0.1, 1 / 3)}
    save_packed(tmp_path / "p", network, WeightFormat("swis"), activation_bits=8, ranges=ranges)
    packed = load_packed(tmp_path / "p")
    assert (packed.activation_bits, packed.ranges) == (8, ranges)


def test_a_shared_weight_is_stored_once(network, tmp_path, monkeypatch):
    class Twice(nn.Module):
        num_classes = 4

        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    network = replace(network, module=Twice())
    monkeypatch.setattr("swis.packed.new_network", lambda *_, **__: network)
    save_packed(tmp_path / "p", network, WeightFormat("swis"))
    assert [key for key in load_file(tmp_path / "p") if key.endswith("packed")] == ["a.weight.packed"]
    packed = load_packed(tmp_path / "p")
    assert packed.layers["b"].bits == {}


@pytest.mark.parametrize("position", [0.02, 0.3, 0.5, 0.7, 0.95, 1.0])
def test_a_changed_byte_is_noticed(packed_file, position):
    content = bytearray(packed_file.read_bytes())
    content[int(position * (len(content) - 1))] ^= 0x10
    packed_file.write_bytes(content)
    with pytest.raises(InputError, match=r"packed\.safetensors"):
        load_packed(packed_file)


def test_a_cut_file_is_noticed(packed_file):
    packed_file.write_bytes(packed_file.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a readable packed file"):
        load_packed(packed_file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "is not a packed file"),
        ({"version": "2"}, "version 2 of the format, this code reads 1"),
        ({"coding": "plain"}, "is damaged"),
        ({"form": json.dumps({})}, "is damaged"),
        ({"sha256": "0"}, "is damaged"),
    ],
)
def test_a_changed_header_is_noticed(packed_file, change, message):
    with safe_open(packed_file, "pt") as file:
        header = file.metadata()
    save_file(load_file(packed_file), packed_file, header | change)
    with pytest.raises(InputError, match=message):
        load_packed(packed_file)


def test_a_checkpoint_is_not_a_packed_file(tiny_checkpoint):
    with pytest.raises(InputError, match="is not a packed file; task=pack writes them"):
        load_packed(tiny_checkpoint)


def test_unknown_codings_are_refused(network, tmp_path):
    with pytest.raises(ValueError, match="coding is one of"):
        save_packed(tmp_path / "p", network, WeightFormat("swis"), coding="zip")
