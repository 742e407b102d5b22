"""Checks before any work starts."""

import pytest

from swis.errors import InputError
from swis.experiments import preflight, study
from swis.experiments.config import load
from swis.networks.models import load_network
from swis.runtime.devices import pick_device


def test_a_network_for_other_classes_is_refused():
    with pytest.raises(InputError, match="has 1000 classes, but data=fashion_mnist has 10"):
        study.prepare(load(["model=efficientnet_lite0"]))


def test_weights_trained_on_other_data_are_refused(tiny, tmp_path):
    with pytest.raises(InputError, match="trained on fashion_mnist, not on data=cifar10"):
        preflight.check_fit(load(tiny), load_network(load(tiny).model), "cifar10", 10)


def test_an_impossible_device_is_named(tiny):
    with pytest.raises(InputError, match="device=abacus"):
        pick_device("abacus")
