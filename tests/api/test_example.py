"""The network and the images that come with the package."""

import pytest
import torch

import swis
from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.study import prepare


def test_the_images_are_those_of_the_command_line():
    network, training, test = swis.example("resnet18", training=20, test=30, seed=3)
    settings = ["data.limit=30", "calibration.images=20", "seed=3", "calibrate=stats", "data.workers=0"]
    study = prepare(load(["model=resnet18", *settings]))
    batches = list(study.batches)
    assert torch.equal(training[0], study.calibration_images)
    assert torch.equal(test[0], torch.cat([images for images, _ in batches]))
    assert torch.equal(test[1], torch.cat([labels for _, labels in batches]))
    theirs = study.network.module.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())


def test_it_goes_through_the_interface_as_it_is():
    network, training, test = swis.example(training=8, test=100)
    low = swis.quantize(network, swis.Swis(shifts=3), training, activation_bits=8)
    found = swis.evaluate(low, test, reference=network)
    assert found.images == 100
    assert found.reference_top1 > 85 and found.top1 > 50


def test_training_images_have_their_labels():
    network, (images, labels), _ = swis.example(training=200, test=1)
    found = swis.evaluate(network, (images, labels))
    assert found.top1 > 85


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenet_v3", ""])
def test_other_networks_are_refused(name):
    with pytest.raises(InputError, match="the example must be one of mobilenet_v2, resnet18, not"):
        swis.example(name)


@pytest.mark.parametrize("given", [{"training": 0}, {"test": 0}, {"seed": -1}])
def test_numbers_that_cannot_be_are_refused(given):
    with pytest.raises(InputError, match="must be at least"):
        swis.example(**given)
