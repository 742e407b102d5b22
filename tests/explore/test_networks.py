"""What the explorer's tabs of a network say: it is what quantize, simulate and the packed sizes say."""

import io

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
from swis.explore.accelerator import _ENERGY, accelerator
from swis.explore.application import application
from swis.explore.designs import design_of, designs, simulated, weights_on
from swis.explore.network import layer_table, measured_sensitivity, network
from swis.explore.subject import MADE, MODELS, Subject
from swis.explore.weights import bit_formats, group_of, weights, weights_picture
from swis.formats.registry import weight_format
from swis.formats.swis import Swis
from swis.formats.uniform import Uniform

ROWS = pd.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]})


class Words(nn.Module):
    """A network of token ids: an embedding that stays float, a weight of two layers, an idle layer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.idle = nn.Embedding(50, 16), nn.Linear(4, 4)
        self.one, self.other, self.head = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.other.weight = self.one.weight

    def forward(self, tokens):
        return self.head(self.other(self.one(self.embedding(tokens))).mean(1))


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
def words():
    torch.manual_seed(0)
    return Words().eval()


@pytest.fixture(scope="module")
def tokens():
    return torch.randint(0, 50, (4, 6))


def low_bit(small, images, **how):
    return swis.quantize(small, Swis(2.5 if "schedule" in how else 2), images, activation_bits=8, **how)


@pytest.mark.parametrize("name", bit_formats())
def test_a_group_is_what_the_library_decomposes(subject, name):
    fmt = weight_format(name, 3, 4)
    codes = to_filters(quantize(subject.weights["5"]).codes)
    whole = decompose(codes, fmt)
    found = group_of(subject, "5", fmt, row=3, place=31)  # the last group of the last filter
    assert found.codes == codes[3, 124:].tolist()
    assert found.kept == whole.codes[3, 124:].tolist()
    used = int(whole.shift_sets[3, 31]) if fmt.grouped else int(whole.shift_sets.flatten()[0])
    assert found.shift_set == [bit for bit in range(7) if used >> bit & 1]


def test_formats_stand_side_by_side(subject):
    given = {name: weight_format(name, 2) for name in bit_formats()}
    drawn = weights_picture(subject, "0", given, row=7, first=8).svg()
    assert all(words in drawn for words in ("SWIS, 2 of 7 shifts", "rounding, 2 of 7 shifts"))
    assert drawn.count("filter 7 of 8, group 2 of 3") == len(given)
    assert "mask bit is 1" in drawn  # the legend


def test_a_group_is_stored_with_its_padding(subject):
    fmt = Swis(shifts=2)  # a filter of 9 weights: a last group of one, stored as one of 4
    drawn = weights_picture(subject, "0", {"swis": fmt}, row=0, first=8).svg()
    assert f"Stored in {fmt.stored_bits(1, 4)} bits" in drawn
    assert "3 places are padding" in drawn


def test_every_group_of_every_filter_can_be_chosen(small, images):
    tab = weights(small, images)
    for layer, filters in tab.subject.weights.items():
        tab.layer.value = layer
        tab.row.value, tab.place.value = tab.row.max, tab.place.max
        last = group_of(tab.subject, layer, Swis(shifts=2), tab.row.value, tab.place.value)
        assert tab.row.value == len(filters) - 1
        assert len(last.codes) == filters[0].numel() - 4 * tab.place.value
        assert f"{last.codes[-1]:+d}" in tab.picture.svg()
    tab.layer.value = "2"  # with fewer groups
    assert (tab.row.value, tab.place.value) == (3, 2)
    tab.formats.value = ()
    assert "choose one format" in tab.picture.svg()


@pytest.mark.parametrize(
    "how", [{}, {"schedule": "optimal"}, {"skip": ["0"]}], ids=["plain", "filters", "skip"]
)
def test_weights_of_a_network_of_few_bits_are_shown_as_they_are(small, images, how):
    low = low_bit(small, images, **how)
    subject = Subject.of(low)
    found = group_of(subject, "5", subject.made("5"), row=1, place=2)
    assert found.kept == low.encoded["5"].codes[1, 8:12].tolist()
    tab = weights(low)
    assert MADE in tab.picture.svg()
    layer = low.layers.loc[tab.layer.value]
    assert subject.sqnr_db(tab.layer.value, subject.made(tab.layer.value)) == pytest.approx(layer["sqnr_db"])


def test_errors_are_counted_of_all_weights(small, images):
    low = low_bit(small, images)
    subject = Subject.of(low)
    values, counts = subject.errors("5", subject.made("5"))
    eight = to_filters(quantize(subject.weights["5"]).codes)
    off = (low.encoded["5"].codes.int() - eight.int()).flatten()
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {
        value: int((off == value).sum()) for value in range(int(off.min()), int(off.max()) + 1)
    }


@pytest.mark.parametrize("fmt", [Swis(shifts=2), Swis(shifts=2, granularity="tensor"), Uniform(shifts=3)])
def test_of_a_large_layer_some_filters_are_measured(monkeypatch, fmt):
    torch.manual_seed(0)
    layer = nn.Linear(64, 100)
    inputs, low = (
        torch.rand(2, 64),
        swis.quantize(nn.Sequential(layer), fmt, torch.rand(2, 64), calibrate="none"),
    )
    monkeypatch.setattr("swis.explore.subject._WEIGHTS", 3 * 64)
    monkeypatch.setattr("swis.explore.subject._SLOW_WEIGHTS", 3 * 64)
    subject = Subject.of(low, inputs)
    every = subject.every("0", fmt)
    assert 34 <= every <= 64
    some = (subject.weights["0"][::every], low.encoded["0"].weight()[::every])
    for given in (fmt, subject.made("0")):
        assert subject.sqnr_db("0", given) == pytest.approx(swis_sqnr(*some), abs=1e-3)
    if fmt.on_codes:  # filters of the network and 8-bit codes are the same ones
        assert abs(subject.errors("0", subject.made("0"))[0]).max() <= 64
    every = subject.every("0", Swis(shifts=2))
    assert f"one filter in {every}" in weights_picture(subject, "0", {"swis": Swis(shifts=2)}).svg()


def swis_sqnr(reference, approximation):
    noise = (reference - approximation).double().square().sum()
    return float(10 * torch.log10(reference.double().square().sum() / noise))


@pytest.mark.parametrize(
    "how", [{}, {"schedule": "optimal"}, {"skip": ["0"]}], ids=["plain", "filters", "skip"]
)
def test_a_table_of_layers_says_what_quantize_and_simulate_say(small, images, how):
    low = low_bit(small, images, **how)
    tab = network(low)
    theirs, run = low.layers, swis.simulate(low)
    for column in ("weights", "bits", "sqnr_db"):
        np.testing.assert_allclose(tab.table[column].astype(float), theirs[column].astype(float), rtol=1e-6)
    np.testing.assert_allclose(tab.table["cycles"], run["latency_cycles"].iloc[:-1])
    assert tab.whole["cycles"] == run["latency_cycles"].iloc[-1]
    assert tab.whole["energy_uj"] == pytest.approx(run["energy_pj"].iloc[-1] / 1e6)
    assert tab.whole["bits"] == pytest.approx(low.cost["weight_bits"])


def test_a_float_network_in_a_format_is_what_quantize_makes_of_it(small, images, subject):
    table, whole = layer_table(subject, dict.fromkeys(subject.names, Swis(shifts=3)))
    low = swis.quantize(small, Swis(shifts=3), images, calibrate="none", activation_bits=8)
    np.testing.assert_allclose(table["sqnr_db"], low.layers["sqnr_db"], rtol=1e-4)
    assert whole["cycles"] == swis.simulate(low)["latency_cycles"].iloc[-1]
    assert whole["bits"] == pytest.approx(low.cost["weight_bits"])


def test_weights_that_stay_float_or_are_shared_count_as_quantize_counts_them(words, tokens):
    low = swis.quantize(words, Swis(shifts=2), tokens)
    tab = network(words, tokens)
    assert tab.whole["bits"] == pytest.approx(low.cost["weight_bits"])
    packed = (low.layers["weights"] * low.layers["bits"]).sum() / 8e6
    assert tab.whole["megabytes"] == pytest.approx(packed)
    assert tab.table.loc["idle", "kind"] == "not called"
    assert "800 weights belong to no layer" in tab.picture.below
    assert not tab.table.loc["other", "weights"]
    assert "nan" not in tab.picture.html()


def test_totals_move_with_a_single_layer_and_come_back(small, images):
    tab = network(small, images)
    before = dict(tab.whole)
    tab.layer.value = "5"
    tab.its_shifts.value = 5
    assert tab.whole["bits"] > before["bits"]
    assert tab.table["format"].tolist() == [f"SWIS, {shifts} of 7 shifts" for shifts in (2, 2, 5)]
    assert "the change to all layers alike" in tab.picture.svg()
    tab.shifts.value = 3  # those of all others
    assert tab.table["format"].tolist() == [f"SWIS, {shifts} of 7 shifts" for shifts in (3, 3, 5)]
    tab.layer.value = "0"
    assert (tab.its_shifts.value, list(tab.own)) == (3, ["5"])  # looking at a layer changes none
    tab.alike.click()
    tab.shifts.value = 2
    assert tab.whole == before


def test_shifts_are_chosen_of_formats_that_have_some(small, images):
    tab = network(low_bit(small, images))
    assert tab.shifts.disabled and tab.its_shifts.disabled  # as in the network
    tab.its_format.value = "truncate"
    assert tab.shifts.disabled and not tab.its_shifts.disabled
    tab.its_format.value = "int8"
    assert tab.its_shifts.disabled


def test_sensitivity_is_measured_when_it_is_asked_for(small, images):
    tab = network(small, images)
    assert "kl_divergence" not in tab.table
    tab.measure.click()
    known = measured_sensitivity(tab.subject, Swis(shifts=2))
    assert tab.table["kl_divergence"].to_dict() == known
    tab.shifts.value = 5
    assert "each layer alone in SWIS, 2 of 7 shifts" in tab.picture.svg()  # in what it was measured in


def test_a_network_without_classes_says_that_it_has_no_sensitivity(images):
    tab = network(nn.Sequential(nn.Conv2d(1, 4, 3)), images)
    tab.measure.click()
    assert "logits must be" in tab.picture.svg()
    assert not tab.measure.disabled


def test_a_layer_without_error_is_drawn(images):
    silent = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 2))
    nn.init.zeros_(silent[0].weight)
    found = application(silent, images, table=ROWS)
    assert "without error: SWIS" in found.pages["Weights"].picture.svg()
    assert "no error" in found.pages["Network"].picture.svg()
    assert not any("inf" in tab.picture.svg().replace("information", "") for tab in found.pages.values())


def test_a_click_on_a_layer_opens_it_under_weights(small, images):
    found = application(small, images, table=ROWS)
    for layer in ("5", "5", "2"):
        found.selected_index = 1
        found.pages["Network"]._heard.value = f"={layer}"  # as a click does
        assert found.selected_index == 0
        assert found.pages["Weights"].layer.value == layer


def test_a_network_that_is_one_layer_has_a_layer_to_click_on():
    found = application(nn.Linear(8, 4), torch.ones(2, 8), table=ROWS)
    assert "(the network)" in found.pages["Network"].picture.html()
    found.selected_index = 1
    found.pages["Network"]._heard.value = "="
    assert found.selected_index == 0


@pytest.mark.parametrize("name", designs())
@pytest.mark.parametrize("how", [{}, {"schedule": "optimal"}], ids=["plain", "filters"])
def test_designs_take_what_the_library_says(small, images, how, name):
    low = low_bit(small, images, **how)
    subject = Subject.of(low)
    given = {layer: subject.made(layer) for layer in subject.names}
    mine = simulated(subject, [name], given).totals.iloc[0]
    own = all(weights_on(design_of(name)[0], each) is each for each in given.values())
    theirs = swis.simulate(low, name) if own else swis.simulate(low, "swis_ss", versus=[name])
    theirs = theirs[(theirs["layer"] == "total") & (theirs["accelerator"] == name)].iloc[0]
    for column in ("latency_cycles", "energy_pj", "dram_bytes", "latency_ms", "utilization", "macs"):
        assert mine[column] == pytest.approx(theirs[column]), column


def test_slow_designs_are_computed_when_it_is_asked_for(small, images):
    tab = accelerator(small, images)
    tab.designs.value = ("swis_ss", "pragmatic", "laconic", "bitfusion")
    assert tab.sums["accelerator"].tolist() == ["swis_ss"]
    assert "Not computed for these sizes: Pragmatic; Laconic; BitFusion" in tab.picture.above
    tab.compute.click()
    assert tab.sums["accelerator"].tolist() == list(tab.designs.value)
    assert "Not computed" not in tab.picture.above
    tab.sizes["rows"].value = 16
    assert tab.sums["accelerator"].tolist() == ["swis_ss"]
    tab.sizes["rows"].value = 8  # which is known
    assert len(tab.sums) == 4
    tab.designs.value = ()
    assert "choose one design" in tab.picture.svg()


@pytest.mark.parametrize("name", [name for name, follows in designs().items() if follows])
def test_every_design_follows_its_sliders(subject, name):
    given = dict.fromkeys(subject.names, Swis(shifts=2))
    before, after = (
        simulated(subject, [name], given, {"dram_bits_per_cycle": bits}).totals["stall_cycles"].item()
        for bits in (256, 8)
    )
    assert after > before
    assert design_of(name, {"rows": 4})[0].rows == 4


def test_a_larger_sram_takes_more_area_in_every_design(small, images):
    tab = accelerator(small, images)
    before = tab.sums["area_mm2"].copy()
    tab.sizes["weight_sram_bytes"].value = 256
    assert (tab.sums["area_mm2"] > before).all()


def test_a_design_that_cannot_run_a_network_says_why():
    wide = accelerator(nn.Sequential(nn.Conv2d(4096, 8, 7)), torch.rand(1, 4096, 8, 8))
    wide.sizes["input_sram_bytes"].value = 16
    wide.sizes["rows"].value = wide.sizes["columns"].value = 32
    assert "SRAM" in wide.picture.html() + str(wide.picture.above)


def test_another_network_of_the_package_can_be_chosen():
    found = application()
    for name in ("Weights", "Network", "Accelerator"):
        found.pages[name].network.value = "resnet18"
        assert found.pages[name].subject.model == "resnet18"
    assert found.pages["Weights"].layer.value == "conv1"
    assert set(MODELS.values()) >= {"resnet18", "mobilenet_v2"}


def test_group_sizes_are_those_of_quantize_and_simulate(small, images):
    tab, arrays = network(small, images), accelerator(small, images)
    for size in (1, 8, 16):
        tab.group_size.value = arrays.group_size.value = size
        low = swis.quantize(small, Swis(2, size), images, calibrate="none", activation_bits=8)
        cycles = swis.simulate(low)["latency_cycles"].iloc[-1]
        assert tab.whole["bits"] == pytest.approx(low.cost["weight_bits"])
        assert tab.whole["cycles"] == cycles
        assert arrays.sums.set_index("accelerator").at["swis_ss", "latency_cycles"] == cycles


def test_what_is_no_network_to_look_into_is_refused(small, images):
    with pytest.raises(InputError, match="calibration"):
        application(small)
    with pytest.raises(InputError, match="leave out calibration"):
        application(None, images)
    with pytest.raises(InputError, match="no convolution or linear layer"):
        weights(nn.ReLU(), images)
    with pytest.raises(InputError, match="no model=alexnet"):
        weights("alexnet")


def test_what_is_saved_has_a_picture_of_every_tab(small, images):
    found = application(small, images, table=ROWS)
    saved = {
        title: Image.open(io.BytesIO(tab._repr_mimebundle_()["image/png"]))
        for title, tab in found.pages.items()
    }
    whole = Image.open(io.BytesIO(found._repr_mimebundle_()["image/png"]))
    assert whole.height > sum(each.height for each in saved.values())  # and their titles
    assert all(len(each.getcolors(each.width * each.height)) > 8 for each in saved.values())


def test_a_tab_that_was_closed_is_left_alone(small, images):
    tab = weights(small, images)
    before = tab.picture
    tab.close()
    tab.shifts.value = 4
    assert tab.picture is not before


def test_a_saved_picture_has_the_colours_of_its_legends():
    whole = application(table=ROWS)._repr_mimebundle_()["image/png"]
    seen = [colour for _, colour in Image.open(io.BytesIO(whole)).convert("RGB").getcolors(1 << 24)]
    for name, colour in _ENERGY.items():
        wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        nearest = min(sum(abs(a - b) for a, b in zip(wanted, each, strict=True)) for each in seen)
        assert nearest <= 12, name
