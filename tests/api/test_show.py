"""Views of quantized networks, formats and simulated accelerators in notebooks."""

from xml.etree import ElementTree

import matplotlib
import pandas as pd
import pytest
import torch
from torch import nn

import swis

matplotlib.use("agg")


@pytest.fixture(scope="module")
def low():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)).eval()
    return swis.quantize(network, swis.Swis(shifts=2), torch.rand(8, 1, 8, 8), activation_bits=8)


def test_a_quantized_network_is_shown_as_a_table_and_bars(low):
    page = low._repr_html_()
    root = ElementTree.fromstring(page.replace("<details open>", "<details>"))
    assert len(root.findall(".//rect")) == len(low.layers)
    assert f"{low.cost['weight_bits']:.2f}" in page
    assert all(f">{name}<" in page for name in low.layers.index)
    assert "nan" not in page


@pytest.mark.parametrize("kind", [swis.Swis, swis.Int8, swis.Uniform, swis.Float])
def test_a_format_is_shown_with_its_name_and_bits(kind):
    page = kind()._repr_html_()
    assert ElementTree.fromstring(page).find("b").text == kind.__name__
    assert ("bits per weight" in page) == kind.quantized


def test_simulated_layers_are_a_table_with_a_bar_chart(low):
    table = swis.simulate(low, "swis_ss", versus=["stripes"])
    cycles, energy = table.plot()
    assert len(cycles.containers) == len(energy.containers) == 2
    layers = table[table["layer"] != "total"]
    mine = layers[layers["accelerator"] == "stripes"]
    assert [bar.get_height() for bar in cycles.containers[1]] == (mine["latency_cycles"] / 1e3).tolist()
    assert len(layers.plot()[0].containers) == 2  # a part of the table can be drawn as well
    assert isinstance(table, pd.DataFrame)
    assert table.plot.scatter("macs", "energy_pj").get_xlabel() == "macs"
    assert table.plot(x="macs", y="energy_pj").get_xlabel() == "macs"
    assert type(table["macs"]) is pd.Series
