"""Unusual networks and data: they are computed correctly, or refused with a message of one line."""

import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

import swis
from swis.errors import InputError
from swis.networks.inputs import gathered
from swis.options.training import RetrainConfig


class Stateful(nn.Module):
    """Stores an intermediate result in itself, as some code does for skip connections."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.skip = self.one(x)
        return self.head(self.other(self.skip.relu()) + self.skip)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


def test_a_shuffling_loader_is_read_once(network, inputs):
    low = swis.quantize(network, swis.Swis(shifts=3), inputs)
    labels = network(inputs).argmax(1)
    loader = DataLoader(TensorDataset(inputs, labels), batch_size=16, shuffle=True)
    ordered, found = (swis.evaluate(low, data, reference=network) for data in ((inputs, labels), loader))
    assert found.agreement == ordered.agreement
    assert found.reference_top1 == 100
    assert found.logit_sqnr_db == pytest.approx(ordered.logit_sqnr_db)


def test_batches_of_a_network_with_a_state_are_not_mixed(inputs):
    torch.manual_seed(0)
    network = Stateful().eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        batches = list(inputs.repeat(64, 1).split(7))
        found = swis.evaluate(network, batches, reference=network)
    finally:
        torch.set_num_threads(threads)
    assert found.logit_sqnr_db == float("inf")
    with pytest.raises(InputError, match="the network stores results of its inputs in skip"):
        swis.quantize(network, swis.Swis(), inputs)


def test_a_stored_training_belongs_to_its_network_and_labels(network, inputs, tmp_path):
    settings = RetrainConfig(epochs=1, batch_size=32, learning_rate=1e-2)
    with pytest.raises(InputError, match=r"retraining needs images \[C, H, W\]"):
        swis.retrain(swis.quantize(network, swis.Swis(), inputs), (inputs, inputs[:, 0]), settings=settings)
    inputs = inputs.reshape(-1, 1, 2, 4)
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(32, 4)).eval()
    low = swis.quantize(network, swis.Swis(shifts=2), inputs)
    labels = torch.arange(64) % 4
    first = swis.retrain(low, (inputs, labels), settings=settings, folder=tmp_path)
    again = swis.retrain(low, (inputs, labels), settings=settings, folder=tmp_path)
    others = swis.retrain(low, (inputs, labels.flip(0)), settings=settings, folder=tmp_path)
    stored = sorted((tmp_path / "_details").glob("*.state"))
    assert torch.equal(first(inputs), again(inputs))
    assert not torch.equal(first(inputs), others(inputs))
    assert len(stored) == 2
    loader = DataLoader(TensorDataset(inputs, labels), sampler=SubsetRandomSampler(range(16)))
    with pytest.raises(InputError, match="the DataLoader has its own sampler or collate_fn"):
        swis.retrain(low, loader, settings=settings)


def test_two_inputs_are_not_read_as_inputs_and_labels():
    ids, mask = torch.arange(12).reshape(4, 3), torch.ones(4, 3)
    assert len(gathered((ids, mask)).args) == 2
    assert len(gathered([((ids, mask), torch.zeros(4))]).args) == 2
    assert len(gathered([{"ids": ids, "mask": mask, "labels": torch.zeros(4)}]).kwargs) == 2
    with pytest.raises(InputError, match=r"a pair must be inputs and labels of shape \[4\], not \[4, 3\]"):
        gathered([(ids, mask)])


def test_logits_need_two_classes_and_labels_must_be_class_numbers(network, inputs):
    one = nn.Sequential(nn.Linear(8, 1)).eval()
    for wrong in (
        lambda: swis.sensitivity(one, swis.Swis(), inputs),
        lambda: swis.schedule(one, swis.Swis(shifts=2.5), inputs),
        lambda: swis.evaluate(one, [inputs], reference=one),
    ):
        with pytest.raises(InputError, match="with at least two classes"):
            wrong()
    for labels in (torch.rand(64), torch.full((64,), 4)):
        with pytest.raises(InputError, match="labels must be class numbers in 0"):
            swis.evaluate(network, (inputs, labels))
    with pytest.raises(InputError, match=r"labels of shape \[64\], not \[64, 1\]"):
        swis.evaluate(network, (inputs, torch.zeros(64, 1)))
    assert swis.evaluate(network, [(inputs, [0] * 64)]).images == 64


def test_weights_that_changed_are_not_saved(network, inputs, tmp_path):
    low = swis.quantize(network, swis.Swis(), inputs)
    low.module[0].weight.data[0, 0] += 1
    with pytest.raises(InputError, match="the weights of layer 0 have changed since"):
        swis.save(low, tmp_path / "x.safetensors")


def test_a_quantized_network_is_pickled_with_its_activations(network, inputs):
    low = swis.quantize(network, swis.Swis(), inputs, activation_bits=8)
    again = pickle.loads(pickle.dumps(low))
    assert torch.equal(again(inputs), low(inputs))
    assert len(pickle.dumps(low.example)) < 2000  # one input, not the whole calibration set


def test_a_network_that_needs_float32_is_quantized_without_folding(inputs):
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            state = torch.zeros(1, len(x), 8)
            return self.head(self.cell(x[:, None], (state, state))[0][:, 0])

    torch.manual_seed(0)
    network = Recurrent().eval()
    low = swis.quantize(network, swis.Swis(shifts=4), inputs, activation_bits=8)
    assert swis.evaluate(low, [inputs], reference=network).agreement > 90
    assert (low.layers["format"] == "float").sum() > 1


def test_a_loaded_network_is_simulated_but_not_in_other_formats(network, inputs, tmp_path):
    low = swis.quantize(network, swis.Swis(), inputs, activation_bits=8)
    swis.save(low, tmp_path / "x.safetensors")
    again = swis.load(tmp_path / "x.safetensors", network)
    assert swis.simulate(again)["latency_cycles"].equals(swis.simulate(low)["latency_cycles"])
    assert swis.simulate(again, versus="stripes")["accelerator"].nunique() == 2
    with pytest.raises(InputError, match="a network from a file has no float weights"):
        swis.simulate(again, versus=["bitwave"])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda net, x: swis.quantize(net, swis.Swis, x), "a weight format is an object such as"),
        (
            lambda net, x: swis.quantize(net, swis.Swis(), x, activation_bits=40),
            "in 2..16, not 40",
        ),
        (lambda net, x: swis.quantize(net, swis.Swis(), x, activation_bits=7.5), "whole number in 2..16"),
        (lambda net, x: swis.quantize(net, swis.Swis(), x, percentile=99), "percentile needs quantized act"),
        (
            lambda net, x: swis.quantize(net, swis.Swis(), x, activation_bits=8, percentile=0),
            "percentile must be above 50",
        ),
        (lambda net, x: swis.quantize(net, swis.Int8(), x, calibrate="stats"), "has no shifts to calibrate"),
        (lambda net, x: swis.quantize(net, swis.Int8(), x, schedule="network"), "has no shifts to calibrate"),
        (lambda net, x: swis.schedule(net, swis.Int8(), x), "has no number of shifts"),
        (lambda net, x: swis.quantize(net, swis.Swis(), x, device="gpu"), "device=gpu is not a device"),
        (lambda net, x: swis.quantize(nn.ReLU(), swis.Swis(), x), "no convolution or linear layer"),
        (lambda net, x: swis.quantize(net, swis.Swis(), x[:0]), "calibration has no inputs"),
        (lambda net, x: swis.quantize(net, swis.Swis(), x / 0), "values that are not finite"),
        (
            lambda net, x: swis.quantize(net, swis.Swis(), x[:, :5]),
            "cannot be run on its inputs",
        ),
        (lambda net, x: swis.quantize(net, swis.Swis(), [x, x[:, :5]]), "batches of calibration do not fit"),
        (lambda net, x: swis.quantize(swis.quantize(net, swis.Swis(), x), swis.Swis(), x), "not Quantized"),
        (
            lambda net, x: swis.save(net, "x"),
            "save takes a network from swis.quantize",
        ),
        (lambda net, x: swis.simulate(net), "simulate takes a network from swis.quantize"),
        (lambda net, x: swis.retrain(net, (x, x[:, 0])), "retrain takes a network from swis.quantize"),
        (lambda net, x: swis.evaluate(net, []), "data has no batches"),
        (lambda net, x: swis.sensitivity(net, swis.Swis(shifts=2.5), x), "a whole number of shifts, not 2.5"),
        (
            lambda net, x: swis.quantize(
                net, swis.Swis(shifts=4), x, schedule=swis.schedule(net, swis.Swis(shifts=1.5), x)
            ),
            "the schedule has 1.5 shifts on average, but the format has 4",
        ),
    ],
)
def test_mistakes_are_named(network, inputs, wrong, reason):
    with pytest.raises(InputError, match=reason) as caught:
        wrong(network, inputs)
    assert "\n" not in str(caught.value)
