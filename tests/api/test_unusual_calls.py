"""Unusual calls of the Python interface: they are right, or refused in one line."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import swis
from swis.errors import InputError
from swis.options.calibrations import OutputAware
from swis.options.training import RetrainConfig


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)).eval()


@pytest.fixture
def images():
    return torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Shifting(nn.Module):
    """A network that changes its input in place."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        x -= 0.5
        return self.inner(x)


def test_a_network_may_change_its_input(network, images):
    shifting, before = Shifting(network), images.clone()
    low = swis.quantize(shifting, swis.Swis(shifts=3), images, activation_bits=8)
    assert swis.evaluate(low, [images], reference=shifting).logit_sqnr_db > 15
    assert swis.evaluate(shifting, [images], reference=shifting).agreement == 100
    swis.sensitivity(shifting, swis.Swis(shifts=2), images)
    assert torch.equal(images, before)


def test_a_stored_training_belongs_to_the_activation_bits_and_all_labels(network, images, tmp_path):
    settings = RetrainConfig(epochs=1, batch_size=32, learning_rate=1e-2)
    images, labels = images.repeat(2, 1, 1, 1), torch.arange(128) % 4
    for bits in (None, 3):
        low = swis.quantize(network, swis.Swis(shifts=2), images, calibrate="none", activation_bits=bits)
        kept = swis.retrain(low, (images, labels), settings=settings, folder=tmp_path)
        assert torch.equal(kept(images), swis.retrain(low, (images, labels), settings=settings)(images))
    other = labels.clone()
    other[1::2] = 0
    changed = swis.retrain(low, (images, other), settings=settings, folder=tmp_path)
    assert not torch.equal(kept(images), changed(images))


def test_a_schedule_covers_all_layers(network, images):
    fmt = swis.Swis(shifts=2.5)
    found = swis.schedule(network, fmt, images, skip=["3"])
    with pytest.raises(InputError, match="the schedule has no shifts for layer 3; give the skip"):
        swis.quantize(network, fmt, images, schedule=found)
    low = swis.quantize(network, fmt, images, schedule=found, skip="3")
    assert low.layers["format"].tolist() == ["swis", "int8"]


def test_an_own_design_to_compare_with_is_taken_as_it_is(network, images):
    low = swis.quantize(network, swis.Swis(shifts=2), images, activation_bits=8)
    fast = swis.accelerator("stripes", name="fast", frequency_mhz=1000)
    wide = swis.accelerator(fast, name="wide", columns=16)
    table = swis.simulate(low, versus=[fast, "stripes", wide]).query("layer == 'total'")
    latency = table.set_index("accelerator")["latency_ms"]
    assert latency["fast"] == latency["stripes"] / 2
    assert (wide.columns, wide.frequency_mhz) == (16, 1000) and latency["wide"] <= latency["fast"]


def test_a_baseline_does_not_depend_on_where_a_design_is_from(network, images):
    low = swis.quantize(network, swis.Swis(shifts=2), images, activation_bits=8)
    tables = [
        swis.simulate(low, swis.accelerator("swis_ds", columns=16, name=name), versus="stripes")
        for name in ("swis_ds", "mine")
    ]
    assert tables[0]["latency_cycles"].tolist() == tables[1]["latency_cycles"].tolist()


def test_other_types_are_computed_in_float32(network, images):
    half = nn.Sequential(*[type(network)(*network)]).bfloat16()
    low = swis.quantize(half, swis.Swis(shifts=2), images.bfloat16(), activation_bits=8)
    same = swis.quantize(half.float(), swis.Swis(shifts=2), images.bfloat16().float(), activation_bits=8)
    assert torch.equal(low(images), same(images))
    assert swis.evaluate(low, [images], reference=network.bfloat16()).agreement > 50
    assert next(network.parameters()).dtype == torch.bfloat16  # not changed


def test_numbers_of_formats_may_be_floats_and_of_numpy():
    assert swis.Swis(shifts=2.0, group_size=np.int64(8)) == swis.Swis(shifts=2, group_size=8)
    assert type(swis.Swis(shifts=np.float64(3)).shifts) is int
    for wrong in ({"group_size": 2.5}, {"shifts": "2"}, {"group_size": True}, {"alpha": "1"}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} must be a"):
            swis.Swis(**wrong)


def test_pairs_may_be_lists(network, images):
    labels = torch.arange(64) % 4
    assert swis.evaluate(network, [images, labels]).equals(swis.evaluate(network, (images, labels)))
    assert torch.equal(
        swis.quantize(network, swis.Swis(), [images, labels])(images),
        swis.quantize(network, swis.Swis(), images)(images),
    )


def test_numbers_of_numpy_are_stored(network, images, tmp_path):
    fmt = swis.Swis(shifts=np.int64(2), alpha=np.float32(0.5))
    low = swis.quantize(network, fmt, images, activation_bits=np.int64(8))
    swis.save(low, tmp_path / "low.safetensors")
    again = swis.load(tmp_path / "low.safetensors", network)
    assert torch.equal(again(images), low(images)) and type(low.activation_bits) is int


def test_labels_may_be_lists_or_missing_or_of_other_types(network, images):
    labels = [number % 4 for number in range(64)]
    found = swis.evaluate(network, (images, torch.tensor(labels)))
    assert swis.evaluate(network, [images, labels]).equals(found)
    assert swis.evaluate(network, (images, None), reference=network).agreement == 100
    low = swis.quantize(network, swis.Swis(), (images, labels))
    settings = swis.RetrainConfig(epochs=1, batch_size=32)
    kinds = (torch.tensor(labels), torch.tensor(labels, dtype=torch.int32), labels)
    first, *others = (swis.retrain(low, (images.double(), each), settings=settings)(images) for each in kinds)
    assert all(torch.equal(first, other) for other in others)


REFUSED = {
    "labels below 0": (lambda n, x: swis.evaluate(n, (x, -torch.ones(64).long())), "class numbers in 0..3"),
    "one label for all": (
        lambda n, x: swis.evaluate(nn.Sequential(), [{"input": x[:, 0, 0], "labels": torch.tensor([1])}]),
        r"labels must have the shape \[64\], not \[1\]",
    ),
    "no images": (lambda n, x: swis.evaluate(n, (x[:0], torch.zeros(0))), "data has no inputs"),
    "small images": (lambda n, x: swis.evaluate(n, [x[..., :4]], reference=n), "cannot be run on its inputs"),
    "nan": (lambda n, x: swis.evaluate(n, (x * torch.nan, torch.zeros(64).long())), "are not finite"),
    "no module": (lambda n, x: swis.evaluate(3, [x]), "must be torch modules, not int"),
    "a data set": (lambda n, x: swis.evaluate(n, TensorDataset(x)), "give a DataLoader of it"),
    "labels in part": (
        lambda n, x: swis.evaluate(n, [(x, torch.zeros(64).long()), (x, None)]),
        "1 of 2 batches have no labels",
    ),
    "settings of another method": (
        lambda n, x: swis.quantize(n, swis.Swis(), x, output_aware=OutputAware()),
        "output_aware=... has no effect with calibrate=stats",
    ),
    "calibrate=False": (
        lambda n, x: swis.quantize(n, swis.Swis(), x, calibrate=False),
        "calibrate must be one of",
    ),
    "a pattern without a layer": (
        lambda n, x: swis.quantize(n, swis.Swis(), x, skip="conv*"),
        r"skip: 'conv\*' matches no layer",
    ),
    "a dictionary as schedule": (
        lambda n, x: swis.quantize(n, swis.Swis(), x, schedule={"0": 3}),
        "schedule must be from swis.schedule, or the name of a policy, not dict",
    ),
    "nothing to schedule": (
        lambda n, x: swis.schedule(n, swis.Swis(shifts=2.5), x, skip="*"),
        "skip leaves no layer",
    ),
    "percentile": (
        lambda n, x: swis.quantize(n, swis.Swis(), x, activation_bits=8, percentile="99"),
        "percentile must be a number",
    ),
    "scripted": (
        lambda n, x: swis.quantize(torch.jit.trace(n, x), swis.Swis(), x),
        "a scripted network cannot be quantized",
    ),
    "meta": (lambda n, x: swis.quantize(n.to("meta"), swis.Swis(), x), "on the device meta"),
    "versus": (
        lambda n, x: swis.simulate(swis.quantize(n, swis.Swis(), x, activation_bits=8), versus=3),
        "versus must be a list of accelerators, not int",
    ),
    "accelerator": (
        lambda n, x: swis.simulate(swis.quantize(n, swis.Swis(), x, activation_bits=8), 3),
        "an accelerator is a name or what swis.accelerator returns, not int",
    ),
    "a design without a name": (lambda n, x: swis.accelerator("swis_ss", name=""), "must be a value, not ''"),
    "a float network": (lambda n, x: swis.export_onnx(n, "n.onnx"), "takes a network from swis.quantize"),
    "no format": (lambda n, x: swis.register(3), "is a subclass of swis.WeightFormat, not 3"),
    "no whole number": (lambda n, x: swis.example(training=1.5), "training must be a whole number, not 1.5"),
    "only totals": (
        lambda n, x: (
            swis.simulate(swis.quantize(n, swis.Swis(), x, activation_bits=8))
            .query("layer == 'total'")
            .plot()
        ),
        "the table has no layers to draw",
    ),
    "no images, no labels": (lambda n, x: swis.evaluate(n, x[:0], reference=n), "data has no inputs"),
    "labels in a column": (
        lambda n, x: swis.retrain(swis.quantize(n, swis.Swis(), x), (x, torch.zeros(64, 1).long())),
        r"labels must have the shape \[64\], not \[64, 1\]",
    ),
    "signed digits on an array of SWIS": (
        lambda n, x: swis.simulate(swis.quantize(n, swis.SwisSigned(), x, activation_bits=8), "swis_c"),
        "swis_c has no signed digits; use one that has them, such as swis_signed",
    ),
    "scales of groups on an array of SWIS": (
        lambda n, x: swis.simulate(swis.quantize(n, swis.UniformGroup(), x, activation_bits=8), "swis_ds"),
        "swis_ds takes shift sets, not a scale for each group of weights; use one without shift sets",
    ),
    "signed digits of consecutive sets": (
        lambda n, x: swis.accelerator("swis_c", signed_digits=True),
        "signed_digits needs shared_sets=true and consecutive_sets=false",
    ),
    "labels of a training": (
        lambda n, x: swis.retrain(swis.quantize(n, swis.Swis(), x), (x, torch.arange(64))),
        "class numbers in 0..3",
    ),
    "settings of a training": (
        lambda n, x: swis.retrain(swis.quantize(n, swis.Swis(), x), (x, x), settings={"epochs": 1}),
        "settings must be a RetrainConfig, not dict",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_refused_in_one_line(case, network, images):
    call, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as refused:
        call(network, images)
    assert "\n" not in str(refused.value)
