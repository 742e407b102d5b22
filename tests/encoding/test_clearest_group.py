"""The group that shows best what a shared shift set is."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from swis.encoding.clearest_group import clearest_group
from swis.formats.swis import Swis


def test_masks_that_differ_come_before_small_errors():
    same, different = [64, 64, 64, 64], [72, 64, 8, 96]
    filters = torch.tensor([[*same, *different, 127, 0, 0, 0]]) / 127
    assert clearest_group(filters, Swis(shifts=3)) == (0, 1)


def test_bits_that_are_no_part_of_the_code_come_last():
    # 63 is kept as 64, whose bit it has not
    rounded_up, part = [63, 8, 72, 64], [65, 8, 72, 64]
    filters = torch.tensor([[*rounded_up, *part, 127, 0, 0, 0]]) / 127
    assert clearest_group(filters, Swis(shifts=2)) == (0, 1)


def test_of_clear_groups_the_one_with_large_weights():
    small, large = [3, 1, 2, 3], [96, 32, 64, 96]
    filters = torch.tensor([[*small, 127, 0, 0, 0], [*large, 127, 0, 0, 0]]) / 127
    assert clearest_group(filters, Swis(shifts=2)) == (1, 0)


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 7))
def test_there_is_always_one(weights, size, shifts, seed):
    filters = torch.randn(3, weights, generator=torch.Generator().manual_seed(seed))
    row, place = clearest_group(filters, Swis(shifts=shifts, group_size=size))
    assert 0 <= row < 3
    assert 0 <= place < -(-weights // size)
