"""Paired comparisons of rows on the same images."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from swis.errors import InputError
from swis.evaluation.paired_tests import compare, pack_correct, unpack_correct
from swis.results.intervals import wilson_interval


@pytest.mark.parametrize("images", [1, 7, 8, 500])
def test_correct_images_are_packed_and_unpacked(images):
    correct = np.random.default_rng(0).random(images) < 0.7
    assert np.array_equal(unpack_correct(pack_correct(correct)), correct)


def test_a_comparison_computed_by_hand():
    one, other = np.zeros((2, 50), bool)
    one[:10], other[8:11] = True, True  # 8 gained, 1 lost
    found = compare(pack_correct(one), pack_correct(other))
    assert found.difference == pytest.approx(14)
    assert found.p_value == pytest.approx(2 * (1 + 9) / 2**9)  # at most one of nine is lost
    assert 0 < found.low < 14 < found.high


def test_the_interval_is_close_to_the_bootstrap_interval():
    generator = np.random.default_rng(1)
    one, other = generator.random(400) < 0.8, generator.random(400) < 0.7
    found = compare(pack_correct(one), pack_correct(other))
    resampled = generator.integers(0, 400, (4000, 400))
    differences = 100 * (one[resampled].mean(1) - other[resampled].mean(1))
    assert np.quantile(differences, [0.025, 0.975]) == pytest.approx([found.low, found.high], abs=0.6)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 1), (12, 12), (40, 3), (60, 0)])
def test_the_ends_are_the_differences_that_a_score_test_just_rejects(gained, lost):
    """The maximum-likelihood share of lost images is found by a numerical search."""
    images = 60
    one, other = np.arange(images) < gained, np.arange(images) >= images - lost
    found = compare(pack_correct(one), pack_correct(other))

    def score(difference):
        def unlikely(share):
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = [share + difference, share, 1 - 2 * share - difference]
                logs = np.array([gained, lost, images - gained - lost]) * np.log(shares)
            return -np.where(np.isnan(logs), 0, logs).sum()

        bounds = max(0, -difference), (1 - difference) / 2
        share = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-10}).x
        variance = (2 * share + difference - difference**2) / images
        return ((gained - lost) / images - difference) / np.sqrt(variance)

    ends = [end for end in (found.low, found.high) if abs(end) < 100]
    assert [abs(score(end / 100)) for end in ends] == pytest.approx([1.96] * len(ends), abs=2e-3)
    assert found.low < found.difference <= found.high
    assert found.high == 100 or found.difference < found.high


def test_the_interval_of_one_accuracy_is_wilson_s():
    for images in (1, 7, 500):
        counts = np.arange(images + 1)
        low, high = wilson_interval(counts, images)
        for count in counts[:: max(1, images // 50)]:
            ends = binomtest(int(count), images).proportion_ci(method="wilson")
            assert (low[count], high[count]) == pytest.approx((100 * ends.low, 100 * ends.high))
        assert (low[0], high[-1]) == (0, 100)
        assert (low < high).all()


def test_equal_rows_have_no_difference_and_swapping_changes_the_sign():
    one, other = np.arange(30) < 20, np.arange(30) < 12
    same = compare(pack_correct(one), pack_correct(one))
    assert (same.difference, same.p_value) == (0, 1)
    assert same.high == -same.low == pytest.approx(100 * 1.96**2 / (30 + 1.96**2), rel=1e-4)
    texts = pack_correct(one), pack_correct(other)
    there, back = compare(*texts), compare(*texts[::-1])
    assert there.difference == -back.difference > 0
    assert (there.low, there.high) == (-back.high, -back.low)
    assert there.p_value == back.p_value


def test_different_numbers_of_images_are_refused():
    with pytest.raises(InputError, match="3 and 4 images"):
        compare(pack_correct(np.ones(3)), pack_correct(np.ones(4)))


def test_rows_of_older_versions_are_refused():
    with pytest.raises(InputError, match="no column correct"):
        compare(pack_correct(np.ones(3)), None)
