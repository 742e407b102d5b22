"""The cost of weights in a format: bits in storage and bit-serial cycles."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.weight_format import FLOAT_BITS, WeightFormat

BASELINE_BITS = 8  # compression is relative to 8-bit weights


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer's weights, in totals, so that the costs of layers can be added.

    ``stored_bits``: signs, masks and shift sets of all groups, with padding. Scales are left out, because
    they are the same for all methods. ``weight_cycles``: weights x cycles per weight. ``lane_cycles``: MACs
    of one image x cycles per weight, the time of a single bit-serial lane. ``metric``: M x MSE++ summed over
    all groups, in squared steps of the 8-bit quantizer; None if it was not measured.
    """

    weights: int
    macs: int
    stored_bits: int
    weight_cycles: int
    lane_cycles: int
    metric: float | None = None

    def __add__(self, other: LayerCost | int | None) -> LayerCost:
        """Add two costs; 0 (where ``sum`` starts) and None are ignored.

        A field that is None in either cost is None in the sum.

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
    """Return the cost of a layer of ``filters`` x ``filter_weights`` weights with ``macs`` MACs per image.

    ``cycles``: cycles per weight, if the filters wait for other filters of their tile.

    >>> from swis.formats.swis import Swis
    >>> layer_cost(Swis(shifts=1, group_size=16), filters=1, filter_weights=16, macs=16).stored_bits
    35
    """
    weights = filters * filter_weights
    spent = fmt.level_bits if cycles is None else cycles
    bits = fmt.stored_bits(filters, filter_weights)
    return LayerCost(weights, macs, bits, weights * spent, macs * spent)


def scheduled_cost(fmt: WeightFormat, schedule: LayerSchedule, filter_weights: int, macs: int) -> LayerCost:
    """Return the cost of a layer as ``layer_cost`` does, with the shifts and cycles of a schedule.

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
    """Return the compression of ``weights`` weights that take ``bits`` bits, as columns.

    >>> compression(bits=4.0)
    {'compression_vs_int8': 2.0, 'compression_vs_float32': 8.0}
    """
    return {
        "compression_vs_int8": BASELINE_BITS * weights / bits,
        "compression_vs_float32": FLOAT_BITS * weights / bits,
    }


def network_cost(layers: list[LayerCost], float_weights: int = 0, float_macs: int = 0) -> dict[str, float]:
    """Return the cost of a network as columns, from the costs of its layers.

    ``cycles_per_weight`` [cycles], ``weight_bits`` [bits per weight], ``compression_vs_int8`` and
    ``compression_vs_float32`` (ratios of sizes), ``ideal_cycles`` [cycles of one lane per image, without idle
    cycles], ``cycles_per_mac`` (None without MACs), ``mse_plus_plus`` [squared steps of the 8-bit quantizer]:
    the mean over all weights whose error was measured (None if none was). ``float_weights`` weights outside
    of the layers are stored in 32 bits each; their ``float_macs`` MACs take no bit-serial cycles. The columns
    ``float_weights`` and ``float_macs`` are their shares of all weights and MACs.

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
