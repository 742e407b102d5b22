"""The group of a layer that shows best what a shared shift set is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from swis.encoding.decompose import decompose, to_filters
from swis.encoding.quantizer import quantize
from swis.formats.powers_of_two import PowersOfTwo

LARGEST_ERROR = 4  # largest error of a code in a group that is clear


class Group(NamedTuple):
    """A group: its filter, its place in the filter, its codes, what is kept of them, and their exponents."""

    row: int
    place: int
    codes: tuple[int, ...]
    kept: tuple[int, ...]
    exponents: tuple[int, ...]


def clearest_group(filters: Tensor, fmt: PowersOfTwo) -> Group:
    """Return the group of a layer that shows best what a shift set does.

    ``filters`` are weights [out, in, kernel] or [out, in]. ``clearest`` has the rules; most groups of a layer
    are less clear.

    >>> import torch
    >>> from swis.formats.swis import Swis
    >>> filters = torch.tensor([[1.27, 1.27, 1.27, 1.27, 0.64, -0.80, 0.16, 0.36]])
    >>> clearest_group(filters, Swis(shifts=3)).place
    1
    """
    codes = to_filters(quantize(filters, fmt.magnitude_bits, fmt.granularity, fmt.clip).codes)
    found, size = decompose(codes, fmt), fmt.metric_weights
    padding = (0, 0), (0, -codes.shape[1] % size)
    exact, kept = (np.pad(each.numpy().astype(int), padding) for each in (codes, found.codes))
    exact, kept = exact.reshape(-1, size), kept.reshape(-1, size)
    sets = found.shift_sets.numpy().astype(int)
    best = clearest(exact, kept, sets.reshape(-1))
    exponents = tuple(bit for bit in range(8) if sets.flat[best] >> bit & 1)
    return Group(
        *divmod(best, sets.shape[1]), tuple(exact[best].tolist()), tuple(kept[best].tolist()), exponents
    )


def clearest(codes: np.ndarray, kept: np.ndarray, sets: np.ndarray) -> int:
    """Return the place of the clearest among groups.

    ``codes`` and ``kept`` are integers [groups, weights], ``sets`` bit fields [groups] of exponents. Rules
    decide one after another, each among the groups that the rules before it leave: as many masks as possible
    differ; no mask is empty; exponents are not only neighbours; no exponent is used by all weights or by
    none; both signs occur; there are errors, but none above ``LARGEST_ERROR``; errors are small compared with
    the weights.
    """
    masks, errors = np.abs(kept), np.abs(kept - codes)
    ordered = np.sort(masks, axis=1)
    bits = np.arange(8)
    used = masks[:, :, None] >> bits & 1
    in_set = (sets[:, None] >> bits & 1).astype(bool)
    lowest = sets & -sets
    rules = (
        (np.diff(ordered, axis=1) > 0).sum(1),
        (masks > 0).all(1),
        (sets + lowest) & sets != 0,
        (~in_set | (used.any(1) & ~used.all(1))).all(1),
        (kept.min(1) < 0) & (kept.max(1) > 0),
        (errors.max(1) > 0) & (errors.max(1) <= LARGEST_ERROR),
        -errors.sum(1) / np.maximum(masks.sum(1), 1),
    )
    left = np.arange(len(codes))
    for rule in rules:
        left = left[rule[left] == rule[left].max()]
    return int(left[0])
