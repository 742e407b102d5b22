"""Paired tests: the difference between two networks' accuracies on the same images."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

import numpy as np

from swis.errors import InputError
from swis.results.intervals import Z


@dataclass(frozen=True)
class Comparison:
    """How much better the first network is [points of top-1], the 95 % interval, and McNemar's p-value."""

    difference: float
    low: float
    high: float
    p_value: float

    def __str__(self) -> str:
        return f"{self.difference:+.1f} points ({self.low:+.1f} to {self.high:+.1f}), p = {self.p_value:.2g}"


def pack_correct(correct: np.ndarray) -> str:
    """Return a row's column ``correct`` as text: which images were classified correctly, bool [images]."""
    bits = np.packbits(np.asarray(correct, bool)).tobytes()
    return base64.b64encode(len(correct).to_bytes(4, "little") + bits).decode()


def unpack_correct(text: str) -> np.ndarray:
    """Return which images were classified correctly, bool [images], from a row's column ``correct``.

    >>> unpack_correct(pack_correct(np.array([True, False, True]))).tolist()
    [True, False, True]
    """
    content = base64.b64decode(text)
    count = int.from_bytes(content[:4], "little")
    return np.unpackbits(np.frombuffer(content[4:], np.uint8), count=count).astype(bool)


def compare(first: str, second: str) -> Comparison:
    """Compare the columns ``correct`` of two rows with the same images in the same order.

    The p-value is that of McNemar's exact test; it looks at the images that only one of the two classifies
    correctly. The interval is Tango's: it holds the differences that a score test does not reject. Raises
    ``InputError`` if the numbers of images differ, or if a row has no such column. Sources: Q. McNemar, 1947;
    T. Tango, 1998.

    >>> right = np.arange(100) < 90
    >>> str(compare(pack_correct(right), pack_correct(right & (np.arange(100) >= 8))))
    '+8.0 points (+4.0 to +15.0), p = 0.0078'
    """
    if not isinstance(first, str) or not isinstance(second, str):
        raise InputError("a row of older code has no column correct; force=true computes it again")
    one, other = unpack_correct(first), unpack_correct(second)
    if len(one) != len(other):
        raise InputError(f"rows with {len(one)} and {len(other)} images cannot be compared image by image")
    from scipy.stats import binomtest  # imported here, because it takes a second to load

    gained, lost, images = int((one & ~other).sum()), int((other & ~one).sum()), len(one)
    p_value = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    low, high = _tango_low(gained, lost, images), -_tango_low(lost, gained, images)
    return Comparison(100 * (gained - lost) / images, 100 * low, 100 * high, float(p_value))


def _tango_low(gained: int, lost: int, images: int) -> float:
    """Return the lower end of Tango's 95 % score interval of (gained - lost) / images (T. Tango, 1998)."""
    from scipy.optimize import brentq

    def excess(difference: float) -> float:
        """Return how many images the observed gain lies above the 95 % limit of a true difference."""
        # the maximum-likelihood share of lost images for this true difference
        linear = (2 * images - gained + lost) * difference - gained - lost
        root = math.sqrt(linear**2 + 8 * images * lost * difference * (1 - difference))
        share = (root - linear) / (4 * images)
        variance = images * (2 * share + difference * (1 - difference))
        return gained - lost - images * difference - Z * math.sqrt(max(variance, 0.0))

    found = (gained - lost) / images
    return float(brentq(excess, -1.0, max(found - 1e-9, -1.0)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values [tests] adjusted for multiple tests by Holm's step-down method (S. Holm, 1979).

    >>> holm(np.array([0.01, 0.04, 0.03])).round(4).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values)
    stepped = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate(stepped).clip(max=1.0)
    return adjusted
