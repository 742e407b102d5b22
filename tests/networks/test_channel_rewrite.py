"""Rewrites: channels are equalized and permuted, and the function of the network stays."""

import pytest
import timm
import torch
from conftest import normalised_network
from torch import nn

from swis.errors import InputError
from swis.networks.apply import weight_layers
from swis.networks.batch_norm import fold_batch_norm
from swis.networks.channel_rewrite import LimitedReLU, Link, equalize, links, permute, rewritten

SIZE = (1, 32, 32)


@pytest.fixture(scope="module")
def folded():
    return fold_batch_norm(normalised_network("mobilenetv2_035"), SIZE)


def by_input(layer):
    """Return the range of the weights of each input channel."""
    return layer.weight.detach().abs().transpose(0, 1).flatten(1).amax(1)


@pytest.mark.parametrize(
    "rewrites", [["equalize"], ["permute"], ["equalize", "permute"], ["permute", "equalize"]]
)
def test_rewrites_change_the_weights_but_not_the_function(folded, rewrites):
    changed = rewritten(folded, SIZE, rewrites)
    images = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, got = folded(images), changed(images)
    assert torch.allclose(got, expected, atol=1e-4 * float(expected.abs().max()))
    before, after = weight_layers(folded), weight_layers(changed)
    assert sum(not torch.equal(before[name].weight, after[name].weight) for name in before) > 30
    assert next(changed.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet18", 8), ("vgg11_bn", 7), ("efficientnet_lite0", 35), ("mobilenetv2_100", 37)],
)
def test_the_number_of_links_in_real_networks(name, count):
    # counted by hand: a residual sum uses an output twice, which breaks a link; VGG's head cannot be traced
    assert len(links(fold_batch_norm(timm.create_model(name).eval(), (3, 32, 32)))) == count


def test_a_link_names_the_modules_in_between():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU6(), nn.Identity(), nn.Conv2d(2, 2, 3))
    assert links(model) == [Link("0", "3", ("1", "2"))]


def test_ranges_are_equal_after_equalizing():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Conv2d(8, 2, 1)
    )
    model[0].weight.data *= torch.logspace(-2, 2, 8).reshape(-1, 1, 1, 1)
    model[2].weight.data[3] = 0  # a dead channel keeps its scale
    changed = equalize(model, (3, 9, 9))
    assert isinstance(changed[1], LimitedReLU)
    assert isinstance(changed[3], nn.ReLU)
    alive = torch.arange(8) != 3
    for first, second in ((changed[0], changed[2]), (changed[2], changed[4])):
        range1 = first.weight.detach().flatten(1).abs().amax(1)
        range2 = second.weight.detach().flatten(1).abs().amax(1) if second.groups > 1 else by_input(second)
        assert torch.allclose(range1[alive], range2[alive], rtol=1e-3)


def test_neighbours_have_similar_sizes_after_permuting():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, groups=64), nn.ReLU(), nn.Conv2d(64, 8, 1)
    )
    model[4].weight.data *= torch.rand(64)[:, None, None]
    before, after = (net[4].weight.detach() for net in (model, permute(model, (1, 5, 5))))
    assert torch.equal(before.flatten(1).sort().values, after.flatten(1).sort().values)
    roughness = [float(w.abs().mean(0).diff(dim=0).abs().sum()) for w in (before, after)]
    assert roughness[1] < 0.2 * roughness[0]


class Residual(nn.Module):
    """The output of the first layer is used twice."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))

    def forward(self, x):
        x = self.a(x)
        return self.c(torch.relu(self.b(x)) + x)


def test_a_second_use_of_an_output_breaks_the_link():
    assert links(Residual()) == []


def test_a_layer_called_twice_is_in_no_link():
    layer = nn.Linear(4, 4)
    assert links(nn.Sequential(nn.Linear(4, 4), layer, nn.ReLU(), layer)) == []


class Deciding(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_modules_that_cannot_be_traced_are_not_linked():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), Deciding(), nn.Linear(2, 2))
    assert links(model) == [Link("0", "2", ("1",))]
    with pytest.raises(InputError, match=r"torch\.fx"):
        links(Deciding())


class Reused(nn.Sequential):
    """The first layer's weight is used a second time, which the graph of modules does not show."""

    def forward(self, x):
        return super().forward(x) + self[0].weight.sum()


def test_a_rewrite_that_changes_the_function_is_refused():
    torch.manual_seed(0)
    model = Reused(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with pytest.raises(InputError, match="rewrites"):
        equalize(model, (2,))


def test_a_linear_layer_on_the_last_axis_is_in_no_link():
    """Even if its number of inputs equals the number of channels before it."""
    model = nn.Sequential(nn.Conv1d(4, 8, 1), nn.ReLU(), nn.Linear(8, 3), nn.Flatten(), nn.Linear(24, 2))
    assert links(model) == []
    flat = nn.Sequential(nn.Conv2d(4, 8, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    assert [link.second for link in links(flat)] == ["3"]


def test_rewrites_need_a_folded_network_on_the_command_line(command_line):
    done = command_line("rewrites=[equalize]", "model=mobilenet_v2")
    assert done.status == 2
    assert "fold_bn=true" in done.err
