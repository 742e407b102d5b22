"""The operands of layers for accelerators: shifts, stored bits and, where cycles depend on them, values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch

from swis.encoding.decompose import from_filters
from swis.encoding.encode import Encoded, cost_of, encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.weight_format import WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer

T = TypeVar("T")


@dataclass(frozen=True)
class ShapeOperands:
    """The operands of layer shapes without a network; values are Gaussian random numbers, if they matter.

    Inputs are rectified, so that half of them are zero, and scaled to the range of ``activation_bits``.
    """

    layers: Sequence[Layer]
    seed: int = 0
    activation_bits: int = 8
    _kept: dict[WeightFormat, list[Encoded]] = field(default_factory=dict)

    unsimulated_macs = None  # unknown from shapes

    @cached_property
    def _inputs(self) -> list[np.ndarray]:
        generator, top = torch.Generator().manual_seed(self.seed), 2**self.activation_bits - 1
        sizes = [(layer.in_channels, layer.maps * layer.in_h, layer.in_w) for layer in self.layers]
        values = [torch.randn(size, generator=generator).relu() for size in sizes]
        least = torch.finfo(torch.float32).tiny  # all values may be 0
        return [(value / value.max().clamp_min(least) * top).round().int().numpy() for value in values]

    def _encode(self, fmt: WeightFormat) -> list[Encoded]:
        generator = torch.Generator().manual_seed(self.seed)
        shapes = [(x.out_channels, x.group_channels, x.kernel_h, x.kernel_w) for x in self.layers]
        return [encode(torch.randn(shape, generator=generator), fmt) for shape in shapes]

    def of(self, fmt: WeightFormat, accelerator: Accelerator) -> list[Operands]:
        """Return the operands of every layer in a format."""
        codes, nothing = accelerator.needs_codes, [None] * len(self.layers)
        encoded = last_encoded(self._kept, fmt, lambda: self._encode(fmt)) if codes else nothing
        inputs = self._inputs if accelerator.needs_inputs else nothing
        return [
            operands_of(layer, fmt, known, codes, values)
            for layer, known, values in zip(self.layers, encoded, inputs, strict=True)
        ]


def last_encoded(kept: dict[WeightFormat, T], fmt: WeightFormat, encoded: Callable[[], T]) -> T:
    """Return the codes of a format; only the last format is cached, because codes take much memory."""
    if fmt not in kept:
        kept.clear()
        kept[fmt] = encoded()
    return kept[fmt]


def operands_of(
    layer: Layer,
    fmt: WeightFormat,
    encoded: Encoded | None,
    codes: bool,
    inputs: np.ndarray | None = None,
) -> Operands:
    """Return a layer's operands, with filters in the order of an array's rows; with ``codes`` also values.

    If the convolution groups change their order, their ``inputs`` are reordered as well.

    >>> from swis.formats.swis import Swis
    >>> layer = Layer("fc", 8, 2, 1, 1, 1, 1, 1, 1)
    >>> operands_of(layer, Swis(shifts=2), None, codes=False).stored_bits
    72
    """
    filters, schedule = layer.out_channels, encoded.schedule if encoded else None
    counts = np.full(filters, fmt.shifts) if schedule is None else schedule.shifts
    fmts = {n: fmt.with_shifts(n) for n in np.unique(counts).tolist()}
    shifts = np.array([fmts[n].level_bits for n in counts.tolist()])
    widths = np.array([fmts[n].plain_bits for n in counts.tolist()])
    order, values = np.arange(filters), None
    if schedule is not None:
        order = rows_of(layer, schedule)
    cost = cost_of(fmt, schedule, filters, layer.filter_weights, layer.macs)
    if codes:
        values = from_filters(encoded.codes, encoded.shape).cpu().numpy()[order]
        values = values.reshape(filters, -1, layer.kernel_h, layer.kernel_w)
    if inputs is not None:
        groups = order[:: layer.group_filters] // layer.group_filters
        inputs = inputs.reshape(layer.groups, layer.group_channels, *inputs.shape[1:])[groups]
        inputs = inputs.reshape(layer.in_channels, *inputs.shape[2:])
    operands = Operands(shifts[order], cost.stored_bits, widths[order], values, inputs)
    if not fmt.grouped:
        return operands
    alike = all(each.consecutive for each in fmts.values())
    signed = any(each.digit_exponents() is not None for each in fmts.values())
    return replace(
        operands,
        group_size=fmt.weights_per_group,
        consecutive=alike,
        signed_digits=signed,
        scaled_groups=fmt.scaled_groups,
    )


def rows_of(layer: Layer, schedule: LayerSchedule) -> np.ndarray:
    """Return the filters [out_channels] in the order in which they occupy an array's rows.

    This is the order of the schedule within each convolution group, whose rows share activations.

    >>> layer = Layer("conv", 4, 4, 1, 1, 1, 1, 1, 1, groups=2)
    >>> rows_of(layer, LayerSchedule(np.array([1, 2, 1, 1]), np.array([2, 3, 0, 1]))).tolist()
    [0, 1, 2, 3]
    """
    each = layer.group_filters
    return schedule.order if each == 1 else schedule.order[np.argsort(schedule.order // each, kind="stable")]
