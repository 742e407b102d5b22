"""Accelerators, and the cycles and bits that a layer takes on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from swis.hardware.datapaths.base import Datapath
from swis.hardware.datapaths.registry import DATAPATHS
from swis.hardware.layer_run import LayerRun, Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.tiling import ArrayWork
from swis.options.hardware import MEMORY, UNNAMED, Design, Memory
from swis.options.ranges import require


@dataclass(frozen=True)
class Accelerator(Design):
    """A design on which layers can be simulated.

    Raises ``InputError`` like ``Design``, and also without a ``name`` or a number of ``lanes``.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.name != UNNAMED, "accelerator.name is missing; give the accelerator a name")
        require(type(self.lanes) is int, f"accelerator.lanes must be a whole number, not {self.lanes}")

    @cached_property
    def memory(self) -> Memory:
        """The SRAMs and buses: the only part of a design that tiles depend on."""
        return Memory(**{name: getattr(self, name) for name in MEMORY})

    def weight_bits(self, layer: Layer, weights: Operands) -> int:
        """Return the bits of all weights of a layer, as they are stored and fetched."""
        return weights.stored_bits if self.shares(weights) else _plain_bits(layer, weights)

    def decodes(self, weights: Operands) -> bool:
        """Return whether a decoder unpacks the weights: those with shift sets that the array uses."""
        return self.shares(weights) and weights.group_size is not None

    def shares(self, weights: Operands) -> bool:
        """Return whether the array uses the shift sets of the weights' groups."""
        return self._datapath.shares_sets(self) and (weights.consecutive or not self.consecutive_sets)

    @property
    def _datapath(self) -> Datapath:
        return DATAPATHS[self.datapath]

    @property
    def needs_codes(self) -> bool:
        """Whether cycles depend on the values of the weights."""
        return self._datapath.needs_codes(self)

    @property
    def units(self) -> int:
        return self.rows * self.columns

    @property
    def banks(self) -> dict[str, int]:
        """The number of banks of each SRAM."""
        return self._datapath.banks(self)

    def work(self, layer: Layer, weights: Operands, activation_bits: int = 8) -> ArrayWork:
        """Return the work of the array for a layer; not for "fusion", which has a separate model.

        >>> import numpy as np
        >>> array = Accelerator(name="swis_ds", shifts_per_cycle=2)
        >>> layer = Layer("fc", 512, 64, 1, 1, 1, 1, 1, 1)
        >>> weights = Operands(np.full(64, 4), 8 * layer.weights, np.full(64, 7), group_size=4)
        >>> array.work(layer, weights).cycles(layer)
        2160
        """
        spread = self.spread_fc and layer.pixels == 1
        size = (self.units, 1) if spread else (self.rows, self.columns)
        work = self._datapath.work(self, layer, weights, size, activation_bits)
        if self._datapath.counts_filling:
            return work
        return replace(work, restart=self.rows + self.columns - 2 if self.systolic else 0)

    def run(self, layer: Layer, weights: Operands, activation_bits: int = 8) -> LayerRun:
        """Return the run of a layer with the best tiles and loop order.

        Raises ``InputError`` for SRAMs that are too small for any tile, for signed digits on an array that
        cannot subtract at single shifts, and for groups with a scale on an array with shift sets.
        """
        shares = self._datapath.shares_sets(self)
        require(
            not (weights.scaled_groups and shares),
            f"the accelerator {self.name} takes shift sets, not a scale for each group of weights; use one "
            "without shift sets, such as stripes",
        )
        require(
            self.signed_digits or not (weights.signed_digits and shares),
            f"the accelerator {self.name} has no signed digits; use one that has them, such as swis_signed",
        )
        return self._datapath.run(self, layer, weights, activation_bits)


def _plain_bits(layer: Layer, weights: Operands) -> int:
    """Return the bits of a layer's weights as signs and magnitudes."""
    return int((weights.widths + 1).sum()) * layer.filter_weights
