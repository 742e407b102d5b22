"""Arrays of dot-product units that take weights bit by bit, or only those of their bits that are one."""

from __future__ import annotations

import numpy as np

from swis.tiling import Work
from swis.workload import Layer

SKIPPING = ("bits", "significances", "columns")


def stripes_work(layer: Layer, filters: int, columns: int, lanes: int, weight_bits: int) -> Work:
    """Return the work of an array of ``filters`` x ``columns`` units that spend a cycle on every weight bit.

    It is BitSim's model of Stripes, with the weights, not the activations, as the serial operand. A unit
    computes one output pixel of one filter, its neighbours those of other filters and of other pixels of the
    same row. In a step it takes ``lanes`` terms of a dot product, from the channels at one kernel position
    or, where the kernel has more positions than there are channels, from one channel's kernel. Every row,
    every filter's rest and every channel's rest costs a whole step. A depthwise layer occupies one filter's
    units alone.

    >>> layer = Layer("conv", 64, 64, 3, 3, 56, 56, 56, 56)
    >>> stripes_work(layer, 32, 16, 8, weight_bits=8).cycles(layer)
    258048
    """
    channels, taps = layer.group_channels, layer.kernel_h * layer.kernel_w
    terms = -(-taps // lanes) * channels if taps > channels else -(-channels // lanes) * taps
    across = layer.groups * -(-layer.group_filters // filters)
    return Work(filters, columns, lanes, steps=terms * across * weight_bits, by_row=True)


def skipping_work(
    codes: np.ndarray, layer: Layer, filters: int, columns: int, lanes: int, skipping: str
) -> Work:
    """Return the work of an array as in ``stripes_work`` that passes over weight bits of zero.

    ``codes`` int [out_channels, in_channels / groups, kernel_h, kernel_w], sign-magnitude. All filters and
    lanes of a step wait for the slowest. A step takes, by what is skipped: "bits" (as Pragmatic does), the
    most ones of any magnitude; "significances" (Bitlet), the most ones that the lanes of a unit have at any
    significance; "columns" (BitWave), the most significances at which a lane of a unit has a one. Raises
    ``ValueError`` for another kind of skipping and for codes of another shape.

    >>> codes = np.array([1, 1, 2, 127, 0, 0, 0, 0]).reshape(1, 8, 1, 1)
    >>> layer = Layer("fc", 8, 1, 1, 1, 1, 1, 1, 1)
    >>> [skipping_work(codes, layer, 1, 1, 4, kind).steps for kind in SKIPPING]
    [7, 3, 7]
    """
    if skipping not in SKIPPING:
        raise ValueError(f"skipping is one of {SKIPPING}, not {skipping!r}")
    shape = (layer.out_channels, layer.group_channels, layer.kernel_h, layer.kernel_w)
    if codes.shape != shape:
        raise ValueError(f"layer {layer.name} has weights {shape}, codes are {codes.shape}")
    magnitudes = np.abs(codes.astype(np.int16)).reshape(*shape[:2], -1)
    if magnitudes.shape[2] <= magnitudes.shape[1]:
        magnitudes = magnitudes.transpose(0, 2, 1)
    magnitudes = np.pad(magnitudes, ((0, 0), (0, 0), (0, -magnitudes.shape[2] % lanes)))
    steps = magnitudes.reshape(len(codes), -1, lanes)
    if skipping == "bits":
        pace = np.bitwise_count(steps).max(2)
    elif skipping == "columns":
        pace = np.bitwise_count(np.bitwise_or.reduce(steps, axis=2))
    else:
        ones = [(steps >> significance & 1).sum(2) for significance in range(8)]
        pace = np.maximum.reduce(ones)
    each = pace.reshape(layer.groups, -1, pace.shape[1])
    slowest = np.maximum.reduceat(each, range(0, each.shape[1], filters), axis=1)
    return Work(filters, columns, lanes, steps=int(slowest.sum(dtype=np.int64)), by_row=True)
