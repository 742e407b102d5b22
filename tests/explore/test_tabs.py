"""What the explorer's tabs compute and draw, of a small network: it is what the library says."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import swis
from swis.encoding.decompose import decompose, to_filters
from swis.encoding.quantizer import quantize
from swis.errors import InputError
from swis.explore.accelerator import accelerator, design_of, designs, simulated
from swis.explore.application import application
from swis.explore.drawing import Scale, readable
from swis.explore.network import layer_table, measured_sensitivity, network
from swis.explore.subject import MODELS, Subject
from swis.explore.trade_off import Choice, trade_off, trade_off_picture
from swis.explore.weights import MADE, bit_formats, group_of, weights, weights_picture
from swis.formats.registry import weight_format
from swis.formats.swis import Swis


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU()]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(8 * 16, 4)).eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 1, 8, 8)


@pytest.fixture(scope="module")
def subject(small, images):
    return Subject.of(small, images)


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame(
        {
            "method": ["swis", "swis", "truncate", "truncate", "float"],
            "model": ["a", "b", "a", "b", "a"],
            "bits": [2.0, 2.0, 3.0, 3.0, None],
            "weight_bits": [4.5, 4.5, 4.0, 4.0, 32.0],
            "top1": [90.0, 80.0, 85.0, 84.0, 95.0],
            "correct": [b"1", b"0", b"1", b"1", b"1"],
        }
    )


@pytest.mark.parametrize("name", bit_formats())
def test_a_group_is_what_the_library_decomposes(subject, name):
    fmt = weight_format(name, 3, 4)
    codes = to_filters(quantize(subject.weights["5"]).codes)
    whole = decompose(codes, fmt)
    found = group_of(subject, "5", name, fmt, row=3, place=31)  # the last group of the last filter
    assert found.codes == codes[3, 124:].tolist()
    assert found.kept == whole.codes[3, 124:].tolist()
    used = int(whole.shift_sets[3, 31]) if fmt.grouped else int(whole.shift_sets.flatten()[0])
    assert found.shift_set == [bit for bit in range(7) if used >> bit & 1]


def test_formats_stand_side_by_side_and_a_group_behind_the_last_is_the_first(subject):
    first = weights_picture(subject, "0", bit_formats(), shifts=2, row=0, place=0).svg()
    assert weights_picture(subject, "0", bit_formats(), shifts=2, row=8, place=3).svg() == first
    assert all(words in first for words in ("SWIS, any shifts: 2 of 7", "Rounding to the top bits: 2 of 7"))
    assert "mask bit is 1" in first  # the legend


def test_weights_of_a_network_of_few_bits_are_shown_as_they_are(small, images):
    low = swis.quantize(small, Swis(shifts=2), images)
    found = group_of(Subject.of(low), "5", MADE, low.fmt, row=1, place=2)
    assert found.kept == low.encoded["5"].codes[1, 8:12].tolist()
    tab = weights(low)
    tab.formats.value = (MADE,)
    assert "as in this network" in tab.picture.svg()


def test_a_table_of_layers_says_what_quantize_and_simulate_say(small, images, subject):
    fmts = dict.fromkeys(subject.names, Swis(shifts=3))
    table, whole = layer_table(subject, fmts)
    low = swis.quantize(small, Swis(shifts=3), images, calibrate="none", activation_bits=8)
    theirs, run = low.layers, swis.simulate(low)
    np.testing.assert_allclose(table["bits"], theirs["bits"])
    np.testing.assert_allclose(table["sqnr_db"], theirs["sqnr_db"], rtol=1e-4)
    np.testing.assert_allclose(table["cycles"], run["latency_cycles"].iloc[:-1])
    assert whole["cycles"] == run["latency_cycles"].iloc[-1]
    assert whole["energy_uj"] == pytest.approx(run["energy_pj"].iloc[-1] / 1e6)
    assert whole["bits"] == pytest.approx(low.cost["weight_bits"])


def test_totals_move_with_a_single_layer_and_come_back(small, images):
    tab = network(small, images)
    before = dict(tab.whole)
    tab.layer.value = "5"
    tab.its_shifts.value = 5
    assert tab.whole["bits"] > before["bits"]
    assert tab.table["format"].tolist() == [f"SWIS, any shifts: {shifts} of 7" for shifts in (2, 2, 5)]
    assert "%" in tab.picture.svg()  # beside all layers alike
    tab.alike.click()
    assert tab.whole == before


def test_sensitivity_is_measured_when_it_is_asked_for(small, images):
    tab = network(small, images)
    assert "Sensitivity" not in tab.picture.svg()
    tab.measure.click()
    assert "Sensitivity" in tab.picture.svg()
    known = measured_sensitivity(tab.subject, Swis(shifts=2))
    assert tab.table["kl_divergence"].to_dict() == known


def test_a_click_on_a_layer_opens_it_under_weights(small, images, rows):
    found = application(small, images, table=rows)
    found.selected_index = 1
    found.pages["Network"]._heard.value = "5"  # as a click does
    assert found.selected_index == 0
    assert found.pages["Weights"].layer.value == "5"


def test_designs_take_what_the_library_says(subject, small, images):
    low = swis.quantize(small, Swis(shifts=2), images, activation_bits=8)
    theirs = swis.simulate(low, "swis_ss", versus=["stripes"])
    theirs = theirs[theirs["layer"] == "total"].set_index("accelerator")
    mine = simulated(subject, ["swis_ss", "stripes"], Swis(shifts=2))[1].set_index("accelerator")
    for column in ("latency_cycles", "energy_pj", "dram_bytes", "latency_ms"):
        np.testing.assert_allclose(mine[column].astype(float), theirs[column].astype(float))


@pytest.mark.parametrize("name", designs())
def test_every_design_follows_its_sliders(subject, name):
    before, after = (
        simulated(subject, [name], Swis(shifts=2), {"dram_bits_per_cycle": bits})[1]["stall_cycles"].item()
        for bits in (256, 8)
    )
    assert after > before
    assert design_of(name, 4, {"rows": 4})[0].rows == 4


def test_a_larger_sram_takes_more_area_in_every_design(small, images):
    tab = accelerator(small, images)
    before = tab.sums["area_mm2"].copy()
    tab.sizes["weight_sram_bytes"].value = 256
    assert (tab.sums["area_mm2"] > before).all()


def test_the_front_is_what_no_row_beats(rows):
    choice = Choice("weight_bits", "top1", query="method != 'float'")
    assert choice.front(choice.rows(rows))["top1"].tolist() == [85.0, 90.0]
    cheaper = Choice("top1", "weight_bits", query="method != 'float'")  # less of what is drawn upwards
    assert cheaper.front(cheaper.rows(rows))["weight_bits"].tolist() == [4.5, 4.0]


@pytest.mark.parametrize(
    "choice",
    [
        Choice("weight_bits", "top1"),
        Choice("weight_bits", "top1", colour="method", facet="model", log=True),
        Choice("bits", "top1", colour="bits", only="model", values=("b",), query="top1 > 1"),
    ],
    ids=["plain", "facets", "filters"],
)
def test_the_code_draws_the_same_rows_and_fronts(choice, rows):
    matplotlib.use("agg")
    names = {"rows": rows}
    exec(choice.code().replace("table = ...", "table = rows"), names)
    mine = choice.rows(rows)
    assert len(names["table"]) == len(mine)
    axes = names["grid"].axes_dict if choice.facet else {"": names["grid"].ax}
    for value, each in axes.items():
        part = mine[mine[choice.facet] == value] if choice.facet else mine
        assert each.lines[-1].get_ydata().tolist() == choice.front(part)[choice.y].tolist()
    assert trade_off_picture(rows, choice).svg().count("data-name") == len(mine)


def test_a_mark_tells_its_row_and_a_filter_that_is_none_says_so(rows):
    tab = trade_off(rows)
    assert tab.picture.svg().count("data-name") == 4  # all but the float row
    tab._heard.value = "2"
    assert "85" in tab.picture.below
    tab.query.value = "bits <"
    assert "is none that pandas takes" in tab.picture.svg()
    tab.query.value = "bits == 2"
    assert tab.picture.svg().count("data-name") == 2


def test_other_columns_are_offered_with_other_rows(rows):
    tab = trade_off(rows)
    tab.take(pd.DataFrame({"mine": [1.0, 2.0], "top5": [3.0, 4.0]}))
    assert (tab.x.value, tab.y.value, tab.colour.value) == ("mine", "top5", "")
    with pytest.raises(InputError, match="two columns"):
        trade_off(pd.DataFrame({"mine": [1.0, 2.0]}))


def test_what_is_saved_has_a_picture_of_every_tab(small, images, rows):
    found = application(small, images, table=rows)
    saved = {
        title: Image.open(io.BytesIO(tab._repr_mimebundle_()["image/png"]))
        for title, tab in found.pages.items()
    }
    whole = Image.open(io.BytesIO(found._repr_mimebundle_()["image/png"]))
    assert whole.height > sum(each.height for each in saved.values())  # and their titles
    assert all(len(each.getcolors(each.width * each.height)) > 8 for each in saved.values())


def test_another_network_of_the_package_can_be_chosen():
    found = application()
    for name in ("Weights", "Network"):
        found.pages[name].network.value = "resnet18"
    assert found.pages["Weights"].layer.value == "conv1"
    assert found.pages["Network"].subject.model == "resnet18"
    assert "resnet18" in MODELS.values()


def test_a_network_whose_inputs_are_not_known_is_refused(small):
    with pytest.raises(InputError, match="calibration"):
        application(small)


def test_numbers_are_as_people_write_them():
    assert [readable(value) for value in (1.5e9, 1e6, 999, 0.5, 1e-7)] == [
        "1.5 G",
        "1 M",
        "999",
        "0.5",
        "0.0000001",
    ]
    labels = [label for scale in (Scale(0, 2e9), Scale(1e-5, 1e9, log=True)) for _, label in scale.ticks()]
    assert not [label for label in labels if "e" in label]
