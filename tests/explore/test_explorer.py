"""The explorer shows what the library computes."""

import pytest

from swis.encoding.decompose import decompose, to_filters
from swis.encoding.quantizer import quantize
from swis.explore import explorer
from swis.formats.registry import weight_format

METHODS = ("swis", "swis_c", "truncate", "round")


@pytest.mark.parametrize("model", explorer.MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_every_layer_can_be_looked_into(model, method):
    layers = explorer.layers_of(model)
    for layer in (next(iter(layers)), max(layers, key=lambda name: layers[name][1].numel())):
        figure = explorer.layer_figure(model, layer, method, shifts=3, group=10**6)
        assert len([axes for axes in figure.axes if axes.has_data()]) >= 3


def test_the_group_drawn_is_that_of_the_layer():
    _, weight = explorer.layers_of("resnet18")["conv1"]
    codes = to_filters(quantize(weight, granularity="channel").codes)
    found = decompose(codes, weight_format("swis", 2, 4))
    groups = -(-codes.shape[1] // 4)
    axes = explorer.layer_figure("resnet18", "conv1", group=groups + 1).axes[0]
    assert axes.get_title().startswith("filter 1, group 1")
    assert [label.get_text() for label in axes.get_yticklabels()] == [f"{code:+d}" for code in codes[1, 4:8]]
    chosen = [bit for bit in range(7) if int(found.shift_sets[1, 1]) >> bit & 1]
    assert axes.get_title().endswith(f"shift set {chosen}")
