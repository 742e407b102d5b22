"""What a representation costs: bits stored per weight and cycles spent per weight."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from math import ceil, log2

import numpy as np

from swis.formats.decompose import GROUPED

FLOAT_BITS = 32
BASELINE_BITS = 8  # compression is quoted against 8-bit weights


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer's weights: totals, so that layers add up to the network.

    ``stored_bits`` counts signs, masks and shift sets of every group, padding included; scales
    are the same for all methods and left out. ``lane_cycles`` are the cycles one bit-serial lane
    would need for the layer's MACs on one image: MACs x cycles per weight. ``metric`` is the sum of
    M x MSE++ over its groups in squared steps of the base quantizer, None if it was not measured.
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
    method: str,
    filters: int,
    filter_weights: int,
    macs: int,
    shifts: int,
    group_size: int,
    magnitude_bits: int,
    cycles: int | None = None,
) -> LayerCost:
    """Cost of a layer of ``filters`` x ``filter_weights`` weights that perform ``macs`` MACs.

    Per group of M weights and N shifts, SWIS stores M (1 + N) + N p bits and SWIS-C
    M (1 + N) + p bits, p = ceil(log2 B) = 3 bits a shift for B = 7 (reconstructed; docs of the
    formula: README). "truncate", "round" and "uniform" store N + 1 bits a weight, "base" B + 1.
    "float" stores 32 and has no bit-serial cycles (0). ``cycles`` is for filters that wait for others of
    their tile with more shifts.

    >>> layer_cost("swis", 1, 16, 16, shifts=1, group_size=16, magnitude_bits=7).stored_bits
    35
    """
    weights = filters * filter_weights
    position_bits = ceil(log2(magnitude_bits)) if magnitude_bits > 1 else 0
    if method in GROUPED:
        positions = 1 if method == "swis_c" else shifts
        groups = filters * ceil(filter_weights / group_size)
        bits, spent = groups * (group_size * (1 + shifts) + positions * position_bits), shifts
    elif method in ("truncate", "round", "uniform"):
        bits, spent = weights * (shifts + 1), shifts
    elif method == "base":
        bits, spent = weights * (magnitude_bits + 1), magnitude_bits
    elif method == "float":
        bits, spent = weights * FLOAT_BITS, 0
    else:
        raise ValueError(f"no cost is known for method {method!r}")
    spent = spent if cycles is None else cycles
    return LayerCost(weights, macs, bits, weights * spent, macs * spent)


def scheduled_cost(
    method: str,
    shifts: np.ndarray,
    cycles: np.ndarray,
    filter_weights: int,
    macs: int,
    group_size: int,
    magnitude_bits: int,
) -> LayerCost:
    """Cost as ``layer_cost`` says, of filters with their own ``shifts`` and ``cycles`` [filters].

    >>> scheduled_cost("swis", np.array([1, 2]), np.array([2, 2]), 4, 8, 4, 7).stored_bits
    29
    """
    kinds, counts = np.unique(np.stack([shifts, cycles]), axis=1, return_counts=True)
    parts = [
        layer_cost(
            method, count, filter_weights, macs * count // len(shifts), n, group_size, magnitude_bits, spent
        )
        for (n, spent), count in zip(kinds.T.tolist(), counts.tolist(), strict=True)
    ]
    return sum(parts[1:], parts[0])


def network_cost(layers: list[LayerCost], float_weights: int = 0, float_macs: int = 0) -> dict[str, float]:
    """Add layers up to the network's columns.

    ``cycles_per_weight`` [cycles], ``weight_bits`` [bits per weight], ``compression`` (against
    8-bit weights, x), ``ideal_cycles`` [lane-cycles per image at full utilisation], ``cycles_per_mac`` (None
    without MACs) and ``mse_plus_plus``
    [squared steps of the base quantizer], the mean over the weights whose error was measured, or None.
    ``float_weights`` that are of no layer are stored with 32 bits each, and their ``float_macs`` take no
    bit-serial cycles: their shares of all weights and MACs are columns of their own.

    >>> network_cost([layer_cost("swis", 1, 16, 100, 2, 4, 7)])["compression"].__round__(2)
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
        "compression": BASELINE_BITS * held / stored,
        "float_weights": float_weights / held,
        "float_macs": float_macs / (macs + float_macs) if macs + float_macs else None,
        "ideal_cycles": float(lane_cycles),
        "cycles_per_mac": lane_cycles / macs if macs else None,
        "mse_plus_plus": errors / sum(layer.weights for layer in measured) if measured else None,
    }
