"""What a representation costs: bits stored per weight and cycles spent per weight."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.weight_format import FLOAT_BITS, WeightFormat

BASELINE_BITS = 8  # compression is quoted against 8-bit weights


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer's weights: totals, so that layers add up to the network.

    ``stored_bits`` counts signs, masks and shift sets of every group, padding included; scales
    are the same for all methods and left out. ``lane_cycles`` are the cycles one bit-serial lane
    would need for the layer's MACs on one image: MACs x cycles per weight. ``metric`` is the sum of
    M x MSE++ over its groups in squared steps of the 8-bit quantizer, None if it was not measured.
    """

    weights: int
    macs: int
    stored_bits: int
    weight_cycles: int
    lane_cycles: int
    metric: float | None = None

    def __add__(self, other: LayerCost | int | None) -> LayerCost:
        """Add layers up; 0, which ``sum`` starts from, and None add nothing. What one lacks, the sum lacks.

        >>> one = LayerCost(4, 0, 32, 8, 0, metric=1.5)
        >>> sum([one, one]).metric, (one + LayerCost(4, 0, 32, 8, 0)).metric
        (3.0, None)
        """
        if other is None or other == 0:
            return self
        if not isinstance(other, LayerCost):
            return NotImplemented
        pairs = zip(astuple(self), astuple(other), strict=True)
        return LayerCost(*(None if None in pair else sum(pair) for pair in pairs))

    __radd__ = __add__


def layer_cost(
    fmt: WeightFormat, filters: int, filter_weights: int, macs: int, cycles: int | None = None
) -> LayerCost:
    """Cost of a layer of ``filters`` x ``filter_weights`` weights that perform ``macs`` MACs.

    ``cycles`` is for filters that wait for others of their tile with more shifts.

    >>> from swis.formats.swis import Swis
    >>> layer_cost(Swis(shifts=1, group_size=16), filters=1, filter_weights=16, macs=16).stored_bits
    35
    """
    weights = filters * filter_weights
    spent = fmt.level_bits if cycles is None else cycles
    bits = fmt.stored_bits(filters, filter_weights)
    return LayerCost(weights, macs, bits, weights * spent, macs * spent)


def scheduled_cost(fmt: WeightFormat, schedule: LayerSchedule, filter_weights: int, macs: int) -> LayerCost:
    """Cost as ``layer_cost`` says, of filters with the shifts and cycles of a schedule.

    >>> from swis.formats.swis import Swis
    >>> schedule = LayerSchedule(np.array([1, 2]), np.array([0, 1]), filters_per_tile=2)
    >>> scheduled_cost(Swis(group_size=4), schedule, filter_weights=4, macs=8).stored_bits
    29
    """
    filters = len(schedule.shifts)
    kinds, counts = np.unique(np.stack([schedule.shifts, schedule.cycles]), axis=1, return_counts=True)
    parts = [
        layer_cost(fmt.with_shifts(n), count, filter_weights, macs * count // filters, spent)
        for (n, spent), count in zip(kinds.T.tolist(), counts.tolist(), strict=True)
    ]
    return sum(parts[1:], parts[0])


def compression(bits: float, weights: int = 1) -> dict[str, float]:
    """Return the columns that say how many times smaller weights in so many ``bits`` are.

    >>> compression(bits=4.0)
    {'compression_vs_int8': 2.0, 'compression_vs_float32': 8.0}
    """
    return {
        "compression_vs_int8": BASELINE_BITS * weights / bits,
        "compression_vs_float32": FLOAT_BITS * weights / bits,
    }


def network_cost(layers: list[LayerCost], float_weights: int = 0, float_macs: int = 0) -> dict[str, float]:
    """Add layers up to the network's columns.

    ``cycles_per_weight`` [cycles], ``weight_bits`` [bits per weight], ``compression_vs_int8`` and
    ``compression_vs_float32`` (how many times smaller weights are), ``ideal_cycles`` [lane-cycles per image
    at full utilisation], ``cycles_per_mac`` (None without MACs) and ``mse_plus_plus`` [squared steps of the
    8-bit quantizer], the mean over the weights whose error was measured, or None.
    ``float_weights`` that are of no layer are stored with 32 bits each, and their ``float_macs`` take no
    bit-serial cycles: their shares of all weights and MACs are columns of their own.

    >>> from swis.formats.swis import Swis
    >>> network_cost([layer_cost(Swis(), 1, 16, 100)])["compression_vs_int8"].__round__(2)
    1.78
    """
    weights = sum(layer.weights for layer in layers)
    bits = sum(layer.stored_bits for layer in layers)
    cycles = sum(layer.weight_cycles for layer in layers)
    lane_cycles, macs = sum(layer.lane_cycles for layer in layers), sum(layer.macs for layer in layers)
    held, stored = weights + float_weights, bits + FLOAT_BITS * float_weights
    measured = [layer for layer in layers if layer.metric is not None]
    errors = sum(layer.metric for layer in measured)
    return {
        "cycles_per_weight": cycles / weights,
        "weight_bits": stored / held,
        **compression(stored, held),
        "float_weights": float_weights / held,
        "float_macs": float_macs / (macs + float_macs) if macs + float_macs else None,
        "ideal_cycles": float(lane_cycles),
        "cycles_per_mac": lane_cycles / macs if macs else None,
        "mse_plus_plus": errors / sum(layer.weights for layer in measured) if measured else None,
    }
