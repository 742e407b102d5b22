"""Operands of layers that a network calls twice or not at all, and of layer shapes without a network."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from swis.encoding.encode import encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.network_operands import StudyOperands
from swis.formats.registry import weight_format
from swis.hardware.designs import design, energy_table
from swis.hardware.layer_shapes import Layer
from swis.hardware.operands import ShapeOperands, operands_of
from swis.networks.activations import observe_ranges
from swis.networks.layers import weight_layers

CONFIG = load(["accelerator=laconic"])
LACONIC, _ = design(CONFIG.accelerator, energy_table(CONFIG.energy), 4)
BASE = weight_format("int8")


def study_of(module: nn.Module, image: torch.Tensor) -> SimpleNamespace:
    """Return the attributes of a study that operands need."""
    return SimpleNamespace(
        base_module=module,
        network=SimpleNamespace(inputs={"input_size": image.shape[1:]}),
        calibration_images=image,
        device=torch.device("cpu"),
        ranges=observe_ranges(module, weight_layers(module), [image]),
        config=CONFIG,
        skip=frozenset(),
        schedule=lambda fmt: None,
    )


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(2, 3, 1)

    def forward(self, x):
        return self.head(x).mean() + self.head(F.avg_pool2d(x, 2)).mean()


class NeverCalled(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return F.linear(self.first(x.flatten(1)), self.second.weight)


def test_every_call_of_a_layer_has_its_own_inputs():
    image = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    one, other = StudyOperands(study_of(Twice(), image)).of(BASE, LACONIC)
    assert (one.inputs.shape, other.inputs.shape) == ((2, 4, 4), (2, 2, 2))
    pooled = F.avg_pool2d(torch.from_numpy(one.inputs).float()[None], 2)[0].numpy()
    assert np.abs(other.inputs - pooled).max() <= 1


def test_missing_inputs_of_a_layer_that_is_not_called_are_named():
    operands = StudyOperands(study_of(NeverCalled(), torch.rand(1, 2, 2, 2)))
    with pytest.raises(InputError, match="laconic needs the inputs of layer second, which is not called"):
        operands.of(BASE, LACONIC)
    config = load(["accelerator=stripes"])
    stripes, _ = design(config.accelerator, energy_table(config.energy), 4)
    assert len(operands.of(BASE, stripes)) == 2


@pytest.mark.parametrize("seed", range(8))
def test_random_inputs_of_shapes_use_the_whole_range(seed):
    """This holds even if all random values are negative."""
    [found] = ShapeOperands([Layer("fc", 1, 2, 1, 1, 1, 1, 1, 1)], seed).of(BASE, LACONIC)
    assert found.inputs.item() in (0, 255)


def test_a_reordered_depthwise_filter_gets_its_own_channel():
    layer = Layer("conv", 4, 4, 3, 3, 3, 3, 1, 1, groups=4)
    fmt, order = weight_format("swis", shifts=2, group_size=3), np.array([2, 3, 0, 1])
    weight = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    inputs = np.arange(4 * 9).reshape(4, 3, 3)
    schedules = [LayerSchedule(np.full(4, 2), places) for places in (np.arange(4), order)]
    plain, moved = (
        operands_of(layer, fmt, encode(weight, fmt, schedule=schedule), codes=True, inputs=inputs)
        for schedule in schedules
    )
    assert np.array_equal(moved.codes, plain.codes[order])
    assert np.array_equal(moved.inputs, inputs[order])
