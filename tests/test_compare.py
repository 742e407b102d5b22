"""Paired comparisons of rows on the same images."""

import numpy as np
import pytest

from swis.compare import compare, pack_correct, unpack_correct
from swis.errors import InputError


@pytest.mark.parametrize("images", [1, 7, 8, 500])
def test_what_was_right_comes_back(images):
    correct = np.random.default_rng(0).random(images) < 0.7
    assert np.array_equal(unpack_correct(pack_correct(correct)), correct)


def test_by_hand():
    one, other = np.zeros((2, 50), bool)
    one[:10], other[8:11] = True, True  # 8 gained, 1 lost
    found = compare(pack_correct(one), pack_correct(other))
    assert found.difference == pytest.approx(14)
    assert found.p_value == pytest.approx(2 * (1 + 9) / 2**9)  # at most one of nine on the other side
    assert 0 < found.low < 14 < found.high


def test_the_interval_is_that_of_resampled_images():
    generator = np.random.default_rng(1)
    one, other = generator.random(400) < 0.8, generator.random(400) < 0.7
    found = compare(pack_correct(one), pack_correct(other))
    drawn = generator.integers(0, 400, (4000, 400))
    differences = 100 * (one[drawn].mean(1) - other[drawn].mean(1))
    assert np.quantile(differences, [0.025, 0.975]) == pytest.approx([found.low, found.high], abs=0.6)


def test_equals_do_not_differ_and_order_only_turns_the_sign():
    one, other = np.arange(30) < 20, np.arange(30) < 12
    same = compare(pack_correct(one), pack_correct(one))
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    texts = pack_correct(one), pack_correct(other)
    there, back = compare(*texts), compare(*texts[::-1])
    assert there.difference == -back.difference > 0
    assert there.p_value == back.p_value


def test_other_numbers_of_images_are_refused():
    with pytest.raises(InputError, match="3 and 4 images"):
        compare(pack_correct(np.ones(3)), pack_correct(np.ones(4)))


def test_rows_of_older_versions_are_refused():
    with pytest.raises(InputError, match="no column correct"):
        compare(pack_correct(np.ones(3)), None)
