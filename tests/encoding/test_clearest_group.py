"""The group that explains the method is a real one that shows the idea."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.encoding.clearest_group import LARGEST_ERROR, clearest, clearest_group
from swis.encoding.decompose import decompose
from swis.formats.swis import Swis

SHOWN = ([17, -62, -21, 67], [16, -64, -20, 68], 0b1010100)


def found(*groups):
    return clearest(*map(np.array, zip(*groups, strict=True)))


@pytest.mark.parametrize(
    "poor",
    [
        ([16, -64, -20, 68], [16, -64, -20, 68], 0b1010100),  # nothing is lost
        ([17, 62, 21, 67], [16, 64, 20, 68], 0b1010100),  # no sign differs
        ([17, -17, -62, 68], [16, -16, -64, 68], 0b1010100),  # two masks are the same
        ([1, -62, -21, 67], [0, -64, -20, 68], 0b1010100),  # a mask is empty
        ([17, -32, -9, 57], [16, -32, -8, 56], 0b0111000),  # only neighbours
        ([17 + LARGEST_ERROR, -64, -20, 68], [16, -64, -20, 68], 0b1010100),  # an error is large
        ([65, -68, 85, 81], [64, -68, 84, 80], 0b1010100),  # all weights take 64
        ([18, -62, -21, 67], [16, -64, -20, 68], 0b1010100),  # errors are larger
    ],
)
def test_a_group_that_hides_the_idea_comes_last(poor):
    assert found(poor, SHOWN) == 1
    assert found(SHOWN, poor) == 0


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.integers(1, 7))
def test_every_layer_has_one(weights, size, shifts, seed):
    filters = torch.randn(3, weights, generator=torch.Generator().manual_seed(seed))
    fmt = Swis(shifts=shifts, group_size=size)
    group = clearest_group(filters, fmt)
    codes = (filters / filters.abs().amax(1, keepdim=True) * 127).round().short()
    start = group.place * size
    count = len(codes[group.row, start : start + size])
    assert group.codes[:count] == tuple(codes[group.row, start : start + size].tolist())
    kept = decompose(codes, fmt)
    assert group.kept[:count] == tuple(kept.codes[group.row, start : start + size].tolist())
    assert sum(1 << s for s in group.exponents) == kept.shift_sets[group.row, group.place]
