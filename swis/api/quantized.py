"""A quantized network, with its layers' formats, errors, bits and cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
from torch import nn

from swis.api.show import quantized_html
from swis.encoding.cost import FLOAT_BITS, LayerCost, network_cost
from swis.encoding.encode import Encoded
from swis.encoding.metrics import sqnr_db
from swis.formats.weight_format import WeightFormat
from swis.networks.activations import ActivationRange, keep_activations
from swis.networks.apply import layer_costs
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Inputs
from swis.networks.layers import (
    count_float_weights,
    filter_shape,
    filters_of,
    float_weights,
    is_depthwise,
    weight_layers,
)
from swis.networks.macs import Macs, network_macs


@dataclass(frozen=True)
class HowMade:
    """The settings that made a quantized network.

    * ``skip``: the layers with 8 bits.
    * ``calibrate``: the calibration method; "none" means nearest levels.
    * ``schedule``: the policy that chose the shifts of filters, or None.
    * ``activation_bits``: bits of the layers' inputs, or None for float; ``ranges`` are the ranges of the
      inputs by layer, and ``activation_range`` is the method that found them.
    * ``retrained``: the settings of the retraining, or None.
    * ``rewrites``: the changes to the network that kept its function.
    """

    skip: frozenset[str] = frozenset()
    calibrate: str = "none"
    schedule: str | None = None
    activation_bits: int | None = None
    ranges: Mapping[str, ActivationRange] = field(default_factory=dict)
    activation_range: str | None = None
    retrained: Mapping[str, Any] | None = None
    rewrites: tuple[str, ...] = ()


class Quantized(nn.Module):
    """A quantized network; it is called like the original network.

    ``module`` is a torch module that emulates the format in float: its weights are integer codes times
    scales, and the inputs of its layers are rounded if there are ``activation_bits``. ``reference`` is the
    float network; it is None after ``swis.load``. ``encoded`` has the codes, scales and shift sets of every
    layer. ``swis.quantize`` and ``swis.load`` make such networks.
    """

    def __init__(
        self,
        module: nn.Module,
        reference: nn.Module | None,
        fmt: WeightFormat,
        encoded: Mapping[str, Encoded],
        example: Inputs,
        made: HowMade,
        macs: Macs | None = None,
    ) -> None:
        super().__init__()
        self.module = module.eval()
        self.fmt, self.encoded, self.example, self.made = fmt, dict(encoded), example, made
        self._counted = macs
        self._reference = (reference,)  # in a tuple, so that its parameters are not those of this module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @property
    def reference(self) -> nn.Module | None:
        """The float network, with batch normalisation folded as in ``module``; None if it is unknown."""
        return self._reference[0]

    @property
    def bare(self) -> nn.Module:
        """A copy of ``module`` with float activations."""
        bare = plain_copy(self.module)
        keep_activations(weight_layers(bare))
        return bare

    @property
    def activation_bits(self) -> int | None:
        """The bits of the layers' inputs; None if they are float."""
        return self.made.activation_bits

    @property
    def ranges(self) -> Mapping[str, ActivationRange]:
        """The range over which every layer's input is rounded, by layer."""
        return self.made.ranges

    @cached_property
    def macs(self) -> Macs:
        """The multiply-accumulates of one input."""
        return self._counted or network_macs(self.bare, self.example)

    @cached_property
    def _costs(self) -> dict[str, LayerCost]:
        layers = weight_layers(self.module)
        return dict(zip(layers, layer_costs(layers, self.encoded, self.fmt, self.macs.layers), strict=True))

    @property
    def cost(self) -> dict[str, float]:
        """The bits and cycles of the whole network; see ``swis.encoding.cost.network_cost``."""
        costs = list(self._costs.values())
        return network_cost(costs, count_float_weights(self.module), self.macs.float_weights)

    @property
    def layers(self) -> pd.DataFrame:
        """A table with a row per layer, in the network's order.

        * ``kind``: "conv", "depthwise", "pointwise" or "linear"; ``shape`` of its weights.
        * ``weights``: their number; 0 for a layer that shares the weights of another.
        * ``format``, and ``shifts`` per filter on average.
        * ``activation_bits`` of its input; null if it is float.
        * ``sqnr_db`` [dB] of its weights against the float ones.
        * ``bits`` stored per weight.
        * ``macs`` and ``cycles`` per input; the cycles are those of one bit-serial lane.

        Weights that stay float have separate rows, with 32 bits and no cycles.
        """
        theirs = {} if self.reference is None else weight_layers(self.reference)
        seen = self.ranges.keys() - set(self.macs.uncalled)
        rows = []
        for name, layer in weight_layers(self.module).items():
            cost, encoded = self._costs[name], self.encoded[name]
            rows.append(
                {
                    "layer": name,
                    "kind": _kind(layer),
                    "shape": _text(filter_shape(layer)),
                    "weights": cost.weights,
                    "format": encoded.fmt.name,
                    "shifts": _shifts(encoded),
                    "activation_bits": self.activation_bits if name in seen else None,
                    "sqnr_db": sqnr_db(*(filters_of(each).cpu() for each in (theirs[name], layer)))
                    if name in theirs
                    else None,
                    "bits": cost.stored_bits / cost.weights if cost.weights else None,
                    "macs": cost.macs,
                    "cycles": cost.lane_cycles,
                }
            )
        rows += self._float_rows()
        numbers = dict.fromkeys(("shifts", "bits", "sqnr_db", "activation_bits"), "float64")
        numbers |= dict.fromkeys(("weights", "macs"), "int64")
        return pd.DataFrame(rows).astype(numbers).set_index("layer")

    def _float_rows(self) -> list[dict[str, Any]]:
        """Return a row for each float weight that belongs to no layer, and a row for their MACs."""
        rows = [
            {
                "layer": name,
                "kind": "float",
                "shape": _text(weight.shape),
                "weights": weight.numel(),
                "format": "float",
                "shifts": None,
                "activation_bits": None,
                "sqnr_db": None,
                "bits": FLOAT_BITS,
                "macs": 0,
                "cycles": None,
            }
            for name, weight in float_weights(self.module).items()
        ]
        if self.macs.float_weights:
            nothing = dict.fromkeys(("shifts", "activation_bits", "sqnr_db", "bits", "cycles"))
            more = {"layer": "(all float weights)", "kind": "float", "format": "float", "shape": ""}
            rows.append(more | nothing | {"weights": 0, "macs": self.macs.float_weights})
        return rows

    def _repr_html_(self) -> str:
        return quantized_html(self)

    def __repr__(self) -> str:
        cost = self.cost
        parts = [f"{self.fmt.label}", f"calibrate={self.made.calibrate}"]
        if self.made.schedule:
            parts.append(f"schedule={self.made.schedule}")
        if self.made.retrained is not None:
            parts.append("retrained")
        parts.append(
            "float activations" if self.activation_bits is None else f"{self.activation_bits}-bit activations"
        )
        return (
            f"Quantized({type(self.module).__name__}, {', '.join(parts)}: {len(self._costs)} layers, "
            f"{sum(cost.weights for cost in self._costs.values()) / 1e6:.2f} M weights, "
            f"{cost['weight_bits']:.2f} bits per weight, {cost['cycles_per_weight']:.2f} cycles per weight, "
            f"{cost['compression_vs_float32']:.1f} times smaller than float32)"
        )


def _kind(layer: nn.Module) -> str:
    """Return the kind of a layer: "linear", "depthwise", "pointwise" (kernel size 1) or "conv"."""
    if isinstance(layer, nn.Linear):
        return "linear"
    if is_depthwise(layer):
        return "depthwise"
    return "pointwise" if set(layer.kernel_size) == {1} else "conv"


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _shifts(encoded: Encoded) -> float | None:
    """Return the average shifts of a layer's filters; None for a format without shifts."""
    if not encoded.fmt.has_shifts:
        return None
    return float(encoded.fmt.shifts if encoded.schedule is None else encoded.schedule.shifts.mean())
