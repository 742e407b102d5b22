"""Arrays of bit-serial PEs: they process all bits of the weights, or only the bits that are one."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork, filter_folds
from swis.options.choices import Skipping
from swis.options.names import require_known

SKIPPING = (Skipping.bits, Skipping.significances, Skipping.columns)  # kinds that depend on weights only


def stripes_work(
    layer: Layer, filters: int, columns: int, lanes: int, weight_bits: int, side_by_side: bool = False
) -> ArrayWork:
    """Return the work of an array of ``filters`` x ``columns`` PEs that spend a cycle on every weight bit.

    The model is that of Stripes in BitSim, but the weights are the serial operand instead of the activations.
    A PE computes one output pixel of one filter; the PEs of a row have the same filter, those of a column the
    same pixel, and all pixels are in one row of the output. In a step a PE takes ``lanes`` terms of a dot
    product. These are channels at one kernel position or, if the kernel has more positions than there are
    channels, kernel positions of one channel. A partial group of pixels, filters or terms costs a whole step.
    A depthwise layer uses one row of PEs, unless channels are ``side_by_side``.

    >>> layer = Layer("conv", 64, 64, 3, 3, 56, 56, 56, 56)
    >>> stripes_work(layer, 32, 16, 8, weight_bits=8).cycles(layer)
    258048
    """
    channels, taps = layer.group_channels, layer.kernel_h * layer.kernel_w
    terms = -(-taps // lanes) * channels if taps > channels else -(-channels // lanes) * taps
    starts, bundle = filter_folds(layer, filters, side_by_side)
    steps, useful_lane_cycles = terms * len(starts) * weight_bits, layer.macs * weight_bits
    return ArrayWork(
        filters, columns, lanes, steps, len(starts), useful_lane_cycles, by_row=True, bundle=bundle
    )


def skipping_work(
    codes: np.ndarray,
    layer: Layer,
    filters: int,
    columns: int,
    lanes: int,
    skipping: str,
    side_by_side: bool = False,
) -> ArrayWork:
    """Return the work of an array as in ``stripes_work`` that skips weight bits of zero.

    ``codes`` int [out_channels, in_channels / groups, kernel_h, kernel_w] are signed magnitudes. In a step
    all filters and lanes wait for the slowest one. The cycles of a step depend on ``skipping``:

    * "bits" (like Pragmatic): the largest number of ones in a magnitude;
    * "significances" (like Bitlet): the largest number of ones that a PE's lanes have at one significance;
    * "columns" (like BitWave): the largest number of significances at which a lane of a PE has a one.

    Raises ``ValueError`` for another kind of skipping, and for codes of another shape.

    >>> codes = np.array([1, 1, 2, 127, 0, 0, 0, 0]).reshape(1, 8, 1, 1)
    >>> layer = Layer("fc", 8, 1, 1, 1, 1, 1, 1, 1)
    >>> [skipping_work(codes, layer, 1, 1, 4, kind).steps for kind in SKIPPING]
    [7, 3, 7]
    """
    require_known("skipping", skipping, SKIPPING)
    steps = _in_steps(_magnitudes(codes, layer), lanes)
    if skipping == "bits":
        pace = np.bitwise_count(steps).max(2)
    elif skipping == "columns":
        pace = np.bitwise_count(np.bitwise_or.reduce(steps, axis=2))
    else:
        pace = np.maximum.reduce([(steps >> significance & 1).sum(2) for significance in range(8)])
    starts, bundle = filter_folds(layer, filters, side_by_side)
    slowest = np.maximum.reduceat(pace, starts, axis=0)
    ones = int(np.bitwise_count(steps).sum(dtype=np.int64))
    if skipping == "significances":  # a PE takes a one of each of 8 significances per cycle
        ones = -(-ones * lanes // 8)
    steps, useful_lane_cycles = int(slowest.sum(dtype=np.int64)), layer.pixels * ones
    return ArrayWork(
        filters, columns, lanes, steps, len(starts), useful_lane_cycles, by_row=True, bundle=bundle
    )


def laconic_work(
    codes: np.ndarray, inputs: np.ndarray, layer: Layer, filters: int, columns: int, lanes: int
) -> ArrayWork:
    """Return the work of an array as in ``stripes_work`` that multiplies ones of weights by ones of inputs.

    ``codes`` are those of ``skipping_work``. ``inputs`` int [in_channels, maps in_h, in_w] are the inputs of
    one image minus their zero point, with the maps one below the other. A lane spends (ones of its weight) x
    (ones of its input) cycles, like Laconic without Booth recoding, and all PEs of a step wait for the
    slowest lane. ``steps`` is the mean over folds of pixels, rounded up. Raises ``ValueError`` for operands
    of another shape, and ``InputError`` for a layer with more outputs than its inputs and padding give.

    >>> layer = Layer("fc", 4, 1, 1, 1, 1, 1, 1, 1)
    >>> codes, inputs = (np.array(values).reshape(-1, 4, 1, 1) for values in ([3, 7, 1, 0], [1, 3, 7, 255]))
    >>> laconic_work(codes, inputs[0], layer, 1, 1, 4).steps
    6
    """
    shape = (layer.in_channels, layer.maps * layer.in_h, layer.in_w)
    if inputs.shape != shape:
        raise ValueError(f"layer {layer.name} has inputs {shape}, not {inputs.shape}")
    layer.check()
    ones = np.bitwise_count(_magnitudes(codes, layer))
    terms = _in_steps(ones, lanes).reshape(layer.groups, layer.group_filters, -1)
    slowest = np.maximum.reduceat(terms, range(0, layer.group_filters, filters), axis=1)
    cycles = useful_lane_cycles = folds = 0
    for group, (weights, mine) in enumerate(zip(terms, slowest, strict=True)):
        seen = _in_steps(_windows(inputs, layer, group), lanes).reshape(layer.pixels, -1)
        useful_lane_cycles += int((seen.sum(0, dtype=np.int64) * weights.sum(0, dtype=np.int64)).sum())
        rows = seen.reshape(layer.maps * layer.out_h, layer.out_w, -1)
        most = np.maximum.reduceat(rows, range(0, layer.out_w, columns), axis=1)
        folds = most.shape[0] * most.shape[1]
        most = most.reshape(folds, -1, lanes)
        for fold in mine.reshape(len(mine), -1, lanes):
            products = [most[:, :, lane] * fold[:, lane] for lane in range(lanes)]
            cycles += int(np.maximum.reduce(products).sum(dtype=np.int64))
    steps = -(-cycles // folds)
    return ArrayWork(
        filters, columns, lanes, steps, layer.groups * slowest.shape[1], useful_lane_cycles, by_row=True
    )


def _magnitudes(codes: np.ndarray, layer: Layer) -> np.ndarray:
    """Return |codes| as uint8 [filters, channels, taps]."""
    shape = (layer.out_channels, layer.group_channels, layer.kernel_h, layer.kernel_w)
    if codes.shape != shape:
        raise ValueError(f"layer {layer.name} has weights {shape}, but the codes are {codes.shape}")
    return np.abs(codes.astype(np.int16)).astype(np.uint8).reshape(*shape[:2], -1)


def _in_steps(values: np.ndarray, lanes: int) -> np.ndarray:
    """Cut values [count, channels, taps] into steps of a PE, [count, steps, lanes]."""
    if values.shape[2] <= values.shape[1]:
        values = values.transpose(0, 2, 1)
    values = np.pad(values, ((0, 0), (0, 0), (0, -values.shape[2] % lanes)))
    return values.reshape(len(values), -1, lanes)


def _windows(inputs: np.ndarray, layer: Layer, group: int) -> np.ndarray:
    """Return the number of ones in every input of every output pixel, uint8 [pixels, channels, taps]."""
    channels = slice(group * layer.group_channels, (group + 1) * layer.group_channels)
    ones = np.bitwise_count(np.abs(inputs[channels].astype(np.int32))).astype(np.uint8)
    padding = ((layer.pad_top, layer.pad_bottom), (layer.pad_left, layer.pad_right))
    ones = ones.reshape(len(ones), layer.maps, layer.in_h, layer.in_w)
    ones = np.pad(ones, ((0, 0), (0, 0), *padding))
    windows = sliding_window_view(ones, (layer.span_h, layer.span_w), axis=(2, 3))
    windows = windows[:, :, :: layer.stride_h, :: layer.stride_w, :: layer.dilation_h, :: layer.dilation_w]
    windows = windows[:, :, : layer.out_h, : layer.out_w].transpose(1, 2, 3, 0, 4, 5)
    return windows.reshape(layer.pixels, layer.group_channels, -1)
