import math

import pytest
import torch

from swis.encoding.metrics import kl_divergence, mse_plus_plus, sqnr_db


def test_mse_plus_plus_by_hand():
    error = torch.tensor([[3, -1, 0, 2]])
    assert mse_plus_plus(error, 0).item() == 14 / 4
    assert mse_plus_plus(error, 1).item() == (14 + 16) / 4
    assert mse_plus_plus(error, 0.5).item() == (14 + 8) / 4


def test_sqnr_of_a_tenth_is_twenty_decibel():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert sqnr_db(x, 1.1 * x) == pytest.approx(20, abs=1e-4)
    assert sqnr_db(x, x) == float("inf")


def test_logits_that_are_no_numbers_have_no_divergence():
    assert math.isnan(kl_divergence(torch.zeros(2, 3), torch.full((2, 3), math.nan)))
