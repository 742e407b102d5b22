"""Steps and cycles of an array of dot-product units that take their operands bit by bit."""

from __future__ import annotations

from swis.workload import Layer


def dot_product_steps(layer: Layer, filters: int, columns: int, lanes: int) -> int:
    """Return how often an array of ``filters`` x ``columns`` units starts a dot product of ``lanes`` terms.

    A unit computes one output pixel of one filter, its neighbours those of other filters and of other pixels
    of the same row. Terms are taken from the channels at one kernel position, or, where the kernel has more
    positions than there are channels, from one channel's kernel. Every row, every filter's rest and every
    channel's rest costs a whole step. A depthwise layer occupies one filter's units alone.

    >>> dot_product_steps(Layer("conv", 64, 64, 3, 3, 56, 56, 56, 56), 32, 16, 8)
    32256
    """
    channels, taps = layer.in_channels // layer.groups, layer.kernel_h * layer.kernel_w
    terms = -(-taps // lanes) * channels if taps > channels else -(-channels // lanes) * taps
    across = -(-(layer.out_channels // layer.groups) // filters)
    return terms * layer.groups * across * -(-layer.out_w // columns) * layer.out_h


def stripes_cycles(layer: Layer, filters: int, columns: int, lanes: int, weight_bits: int) -> int:
    """Return the compute cycles of a weight-serial array that spends a cycle on every weight bit.

    It is BitSim's model of Stripes, with the weights, not the activations, as the serial operand.

    >>> stripes_cycles(Layer("conv", 64, 64, 3, 3, 56, 56, 56, 56), 32, 16, 8, 8)
    258048
    """
    return dot_product_steps(layer, filters, columns, lanes) * weight_bits
