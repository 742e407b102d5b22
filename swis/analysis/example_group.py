"""A group of a real layer that shows what a shared shift set is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from swis.errors import InputError

LARGEST_ERROR = 4  # of a code in a group that is shown


@dataclass(frozen=True)
class ExampleGroup:
    """A group's codes, what is kept of them, and the exponents that they share, the largest first."""

    codes: tuple[int, ...]
    kept: tuple[int, ...]
    shift_set: tuple[int, ...]


def example_group(codes: np.ndarray, kept: np.ndarray, shift_sets: np.ndarray) -> ExampleGroup:
    """Return the group that shows the method best; raise ``InputError`` if none does.

    ``codes`` and ``kept`` are integers [groups, weights], ``shift_sets`` bit fields [groups] of exponents.
    Its exponents are not all neighbours and each is used by some weights and not by others; no two weights
    have the same mask and none an empty one; signs differ; and some errors are there, but none larger than
    ``LARGEST_ERROR``. Of these it is the first one whose errors are the smallest beside its codes.

    >>> codes, kept = np.array([[66, -3, 65]]), np.array([[66, -2, 64]])
    >>> example_group(codes, kept, np.array([0b1000010])).shift_set
    (6, 1)
    """
    errors = np.abs(kept.astype(int) - codes)
    masks = np.abs(kept.astype(int))
    sets = shift_sets.astype(int)
    used = masks[:, :, None] >> np.arange(8) & 1
    some = used.any(1) & ~used.all(1) | (sets[:, None] >> np.arange(8) & 1 == 0)
    lowest = sets & -sets
    good = (
        some.all(1)
        & ((sets + lowest) & sets != 0)
        & (masks > 0).all(1)
        & (kept.min(1) < 0)
        & (kept.max(1) > 0)
        & (errors.max(1) > 0)
        & (errors.max(1) <= LARGEST_ERROR)
    )
    good &= np.array([len(set(row)) == len(row) for row in masks.tolist()])
    if not good.any():
        raise InputError("no group of the layer shows what a shared shift set is")
    share = np.where(good, errors.sum(1) / np.maximum(masks.sum(1), 1), np.inf)
    best = int(share.argmin())
    exponents = tuple(bit for bit in range(7, -1, -1) if sets[best] >> bit & 1)
    return ExampleGroup(tuple(codes[best].tolist()), tuple(kept[best].tolist()), exponents)
