"""A small network, images for it, and rows of results."""

import pandas as pd
import pytest
import torch
from torch import nn

from swis.explore.subject import Subject


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
