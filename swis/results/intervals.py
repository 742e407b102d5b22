"""Confidence intervals of accuracies."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

Z = NormalDist().inv_cdf(0.975)  # 95 % intervals


def wilson_interval(correct: np.ndarray | int, images: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends [%] of Wilson's 95 % interval of the accuracy, for ``correct`` of ``images`` images.

    The interval holds the accuracies that a score test does not reject, so that 0 % and 100 % have an
    interval too. Both ends have the shape of the counts; they are nan where a count is nan. Source:
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    >>> [round(float(end), 2) for end in wilson_interval(0, 500)]
    [0.0, 0.76]
    """
    count, right = np.asarray(images, float), np.asarray(correct, float)
    with np.errstate(invalid="ignore"):
        share = right / count
        reach = Z * np.sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
        ends = (share + Z**2 / (2 * count) + sign * reach for sign in (-1, 1))
        low, high = (100 * (end / (1 + Z**2 / count)).clip(0, 1) for end in ends)
    # with no image or all images correct, one end is exact
    return np.where(right == 0, 0.0, low), np.where(right == count, 100.0, high)
