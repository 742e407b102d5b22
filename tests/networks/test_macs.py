"""MACs compared with torch's own count, for networks that use their weights in many ways."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from swis.errors import InputError
from swis.hardware.layer_shapes import Layer, workload
from swis.networks.macs import Macs, layer_macs, network_macs

NETWORKS = {
    "test_byobnet": {},
    "test_efficientnet": {},
    "test_nfnet": {},
    "test_convnext": {},
    "mvitv2_tiny": {"img_size": 64},  # convolutions over attention heads
    "cait_xxs24_224": {"img_size": 32, "depth": 1},  # a class token is an argument of modules
    "tnt_s_legacy_patch16_224": {"img_size": 32, "depth": 1},
    "vit_base_patch16_siglip_224": {"img_size": 32, "depth": 1, "embed_dim": 64, "num_heads": 2},
    "swinv2_tiny_window8_256": {"img_size": 64, "depths": (1, 1), "num_heads": (1, 2), "embed_dim": 16},
    "beit_base_patch16_224": {"img_size": 32, "depth": 1, "embed_dim": 64, "num_heads": 2},
}


def torch_s_count(model: nn.Module, input_size: tuple[int, ...]) -> int:
    """Return torch's count; with gradients it fails if a parameter is an argument of a module."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.requires_grad_(False)(torch.zeros(1, *input_size, device=next(model.parameters()).device))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_of_networks_equal_torch_s_count(name):
    with torch.device("meta"):
        model = timm.create_model(name, **NETWORKS[name]).eval()
    size = (3, *[NETWORKS[name].get("img_size", 64)] * 2)
    macs = network_macs(model, size)
    assert macs.total == torch_s_count(model, size)
    # mvitv2 multiplies queries by its embeddings of relative positions
    assert (macs.float_weights > 0) == (name == "mvitv2_tiny")
    # the shapes of the layers give the same MACs
    by_shape = dict.fromkeys(macs.layers, 0)
    for layer in workload(model, size):
        by_shape[layer.name] += layer.macs
    assert by_shape == macs.layers


class Unusual(nn.Module):
    """An LSTM, an attention, and layers that share a weight or are not called."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.lstm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LSTM(8, 4)
        self.one, self.two, self.unused = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.two.weight = self.one.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2)
        x = self.lstm(self.attention(x, x, x)[0])[0]
        return self.two(self.one(x)) @ x.transpose(1, 2)


def test_macs_that_torch_does_not_count():
    macs = network_macs(Unusual().eval(), (5, 2, 4))
    layers = {"attention.out_proj": 5 * 64, "one": 5 * 16, "two": 5 * 16, "unused": 0}
    # float weights: 3 projections of 5 tokens and the 4 gates of the LSTM; activations: scores and sums of
    # 2 heads, and the last product
    floats, products = 5 * 8 * 24 + 5 * 16 * (8 + 4), 2 * 5 * 5 * 8 + 5 * 5 * 4
    assert macs == Macs(layers, floats, products, ["attention.out_proj"])
    assert macs.total == sum(layers.values()) + floats + products


def test_a_linear_layer_that_is_used_without_a_call_is_simulated():
    class Projection(nn.Linear):
        pass

    class Inside(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv = Projection(8, 24)

        def forward(self, x):
            return F.linear(x.flatten(2), self.qkv.weight)

    assert layer_macs(Inside(), (5, 2, 4)) == {"qkv": 5 * 8 * 24}
    assert workload(Inside(), (5, 2, 4)) == [Layer("qkv", 8, 24, 1, 1, 1, 5, 1, 5)]


def test_macs_of_a_network_that_is_one_layer():
    assert layer_macs(nn.Linear(4, 2), (3, 4)) == {"": 3 * 8}


def test_a_computed_kernel_counts_as_float():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernels = nn.Parameter(torch.ones(2, 4, 3, 3, 3))

        def forward(self, x):
            return F.conv2d(x, self.kernels.sum(0))

    assert network_macs(Mixed(), (3, 4, 4)) == Macs({}, float_weights=4 * 4 * 27)


class Multiplied(nn.Module):
    """A weight outside of layers, used in one of several ways."""

    def __init__(self, use, *shape):
        super().__init__()
        self.use, self.weight, self.scale = use, nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.use(self, x.flatten(1))


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (Multiplied(lambda self, x: F.linear(x, self.weight * self.scale), 5, 12), 60),
        (Multiplied(lambda self, x: torch.einsum("nc,hcd->nhd", x, self.weight), 2, 12, 3), 72),
        (Multiplied(lambda self, x: torch.einsum("nc,chd->nhd", x, self.weight), 12, 2, 3), 72),
        (Multiplied(lambda self, x: F.bilinear(x, x, self.weight), 5, 12, 12), 5 * 144),
        (Multiplied(lambda self, x: x @ self.weight.relu(), 12), 12),
    ],
    ids=["scaled", "einsum", "einsum that copies nothing", "bilinear", "vector"],
)
def test_float_weights_are_not_counted_as_activations(network, count):
    assert network_macs(network, (3, 2, 2)) == Macs({}, float_weights=count)


def test_a_layer_with_its_input_as_a_keyword_argument_is_refused():
    class ByName(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return self.conv(input=x)

    with pytest.raises(InputError, match="layer conv gets its input as a keyword argument"):
        network_macs(ByName(), (1, 2, 2))
