"""The group that explains the method is a real one that shows the idea."""

import numpy as np
import pytest

from swis.analysis.example_group import LARGEST_ERROR, example_group
from swis.errors import InputError

SHOWN = ([17, -62, -21, 67], [16, -64, -20, 68], 0b1010100)


def found(*groups):
    codes, kept, sets = zip(*groups, strict=True)
    return example_group(np.array(codes), np.array(kept), np.array(sets))


def test_it_has_what_the_group_keeps():
    group = found(SHOWN)
    assert (group.codes, group.kept, group.shift_set) == ((17, -62, -21, 67), (16, -64, -20, 68), (6, 4, 2))


@pytest.mark.parametrize(
    "poor",
    [
        ([16, -64, -20, 68], [16, -64, -20, 68], 0b1010100),  # nothing is lost
        ([17, 62, 21, 67], [16, 64, 20, 68], 0b1010100),  # no sign differs
        ([17, -17, -62, 68], [16, -16, -64, 68], 0b1010100),  # two masks are the same
        ([1, -62, -21, 67], [0, -64, -20, 68], 0b1010100),  # a mask is empty
        ([17, -32, -9, 57], [16, -32, -8, 56], 0b0111000),  # neighbours alone
        ([17 + LARGEST_ERROR, -64, -20, 68], [16, -64, -20, 68], 0b1010100),  # an error is large
        ([65, -68, 85, 81], [64, -68, 84, 80], 0b1010100),  # all weights take 64
    ],
)
def test_it_is_none_that_hides_the_idea(poor):
    with pytest.raises(InputError):
        found(poor)
    assert found(poor, SHOWN).codes == (17, -62, -21, 67)


def test_of_good_groups_it_is_the_one_of_the_smallest_errors():
    smaller = ([16, -64, -21, 68], [16, -64, -20, 68], 0b1010100)
    assert found(SHOWN, smaller).codes == (16, -64, -21, 68)
