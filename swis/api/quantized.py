"""A network of few bits, and what is known of it: its layers' weights, their error, bits and cycles."""

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
    """How a network of few bits was made.

    ``skip`` names the layers that have 8 bits; ``calibrate`` is the way to calibrate, "none" for nearest
    levels; ``schedule`` the policy that chose filters' shifts, if any; ``activation_bits`` are those of
    layers' inputs (None: float) over ``ranges``, found by ``activation_range``; ``retrained`` are the
    settings of a retraining, if there was one; ``rewrites`` those of channels.
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
    """A network whose layers have weights of few bits; it is called as the original is.

    ``module`` computes as the format does, in float: its weights are integers times scales, and its layers'
    inputs are rounded where activations have bits. ``reference`` is the float network that it stands for,
    None for one that was read from a file; ``encoded`` has the integers, scales and shift sets of every
    layer. ``swis.quantize`` and ``swis.load`` make one.
    """

    def __init__(
        self,
        module: nn.Module,
        reference: nn.Module | None,
        fmt: WeightFormat,
        encoded: Mapping[str, Encoded],
        example: Inputs,
        made: HowMade,
    ) -> None:
        super().__init__()
        self.module = module.eval()
        self.fmt, self.encoded, self.example, self.made = fmt, dict(encoded), example, made
        self._reference = (reference,)  # in a tuple: no part of this module's parameters

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @property
    def reference(self) -> nn.Module | None:
        """The float network, its normalisation folded as that of ``module`` is; None if it is not known."""
        return self._reference[0]

    @property
    def bare(self) -> nn.Module:
        """A copy of ``module`` that leaves activations float."""
        bare = plain_copy(self.module)
        keep_activations(weight_layers(bare))
        return bare

    @property
    def activation_bits(self) -> int | None:
        """The bits of layers' inputs; None if these are float."""
        return self.made.activation_bits

    @property
    def ranges(self) -> Mapping[str, ActivationRange]:
        """The interval of every layer's input, by layer, over which it is rounded."""
        return self.made.ranges

    @cached_property
    def macs(self) -> Macs:
        """The multiply-accumulates of one input."""
        return network_macs(self.bare, self.example)

    @cached_property
    def _costs(self) -> dict[str, LayerCost]:
        layers = weight_layers(self.module)
        return dict(zip(layers, layer_costs(layers, self.encoded, self.fmt, self.macs.layers), strict=True))

    @property
    def cost(self) -> dict[str, float]:
        """What the whole network costs: the columns that ``swis.encoding.cost.network_cost`` describes."""
        costs = list(self._costs.values())
        return network_cost(costs, count_float_weights(self.module), self.macs.float_weights)

    @property
    def layers(self) -> pd.DataFrame:
        """A row per layer, in the network's order.

        ``kind``; ``shape`` of its filters; ``weights`` (0 for a layer that shares those of another);
        ``format``; ``shifts`` on average; ``activation_bits`` of its input (null: float); ``sqnr_db`` of its
        weights to the float ones [dB]; ``bits`` stored per weight; ``macs`` and ``cycles`` per input, cycles
        being those of one bit-serial lane. Weights that stay float have rows of their own, with 32 bits and
        no cycles.
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
        """Return a row for each weight that is of no layer, and one for what is multiplied by them."""
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
    """Return what a layer is: "linear", "depthwise", "pointwise" (kernel of 1) or "conv"."""
    if isinstance(layer, nn.Linear):
        return "linear"
    if is_depthwise(layer):
        return "depthwise"
    return "pointwise" if set(layer.kernel_size) == {1} else "conv"


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _shifts(encoded: Encoded) -> float | None:
    """Return the shifts of a layer's filters, on average; None for a format without shifts."""
    if not encoded.fmt.has_shifts:
        return None
    return float(encoded.fmt.shifts if encoded.schedule is None else encoded.schedule.shifts.mean())
