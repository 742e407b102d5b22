"""What accelerators take for a network of few bits: cycles, energy and traffic of its layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from swis.api.checks import check_quantized
from swis.api.quantized import Quantized
from swis.api.show import Simulated
from swis.encoding.encode import Encoded
from swis.errors import InputError
from swis.formats.registry import int8_of
from swis.formats.weight_format import WeightFormat
from swis.hardware import simulate as simulation
from swis.hardware.accelerator import Accelerator
from swis.hardware.designs import baseline, design, energy_table
from swis.hardware.energy import Chip
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.network_operands import NetworkOperands, inputs_of
from swis.networks.apply import encode_layers
from swis.networks.computed_weights import plain_copy
from swis.options.conf_files import (
    accelerator_named,
    accelerator_names,
    changed_accelerator,
    energies_named,
)
from swis.options.hardware import AcceleratorConfig


def simulate(
    network: Quantized,
    accelerator: str | AcceleratorConfig = "swis_ss",
    *,
    versus: str | AcceleratorConfig | Sequence[str | AcceleratorConfig] = (),
    energies: str = "nm45",
) -> Simulated:
    """Return what an accelerator takes for one input of a network, a row per layer, and a last one "total".

    ``accelerator`` is a name in ``swis.accelerators()``, or a design of your own that ``swis.accelerator``
    made. Each one in ``versus`` runs the same network in 8 bits, with the clock and memories of the first;
    its array grows as the first one's does from 8 x 8 units. The columns are those of
    ``swis.hardware.simulate``: ``latency_cycles`` [cycles], ``energy_pj`` [pJ], ``dram_bytes`` [bytes] and
    what they consist of; totals have ``latency_ms`` [ms] and ``frames_per_s`` as well. ``energies`` names the
    table of energies in conf/energy. Weights that stay float and products of activations are given to no
    accelerator: totals count them as ``unsimulated_macs``. ``plot()`` of the table draws cycles and energy of
    its layers, accelerators side by side.

    Raises ``InputError`` for float activations, unknown designs, two of one name, and networks that a design
    cannot run.
    """
    check_quantized(network, "simulate")
    if network.activation_bits is None:
        raise InputError("activations are float; accelerators take integers: quantize with activation_bits=8")
    mine = _named(accelerator)
    others = [_named(each) for each in ([versus] if isinstance(versus, str | AcceleratorConfig) else versus)]
    names = [each.name for each in (mine, *others)]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two accelerators are called {repeated[0]}; give one of them another name")
    table, group_size = energy_table(energies_named(energies)), network.fmt.group_size
    operands = _Operands(network)
    parts = [_table(network.fmt, operands, design(mine, table, group_size), network.activation_bits)]
    for each in others:
        other = baseline(each, mine, table, group_size)
        parts.append(_table(int8_of(network.fmt), operands, other, network.activation_bits))
    return Simulated(pd.concat(parts, ignore_index=True))


def accelerators() -> pd.DataFrame:
    """Return the designs that ``swis.simulate`` knows: a row each, with its array and where it is from.

    >>> print(accelerators().loc["swis_ss", ["rows", "columns", "lanes"]].to_dict())
    {'rows': 8, 'columns': 8, 'lanes': 4}
    """
    names = ("datapath", "rows", "columns", "lanes", "source")
    designs = {name: accelerator_named(name) for name in accelerator_names()}
    rows = [{name: getattr(design, name) for name in names} for design in designs.values()]
    return pd.DataFrame(rows, index=pd.Index(designs, name="accelerator")).astype({"datapath": str})


def accelerator(base: str, /, **changes: Any) -> AcceleratorConfig:
    """Return the accelerator ``base`` of ``swis.accelerators()`` with some of its options changed.

    The options are those of ``accelerator.NAME=VALUE`` on the command line. Give it a ``name``, or its name
    says what was changed. Raises ``InputError`` for unknown names and for values that do not go together.

    >>> wide = accelerator("swis_ds", columns=16)
    >>> wide.name, wide.rows, wide.columns
    ('swis_ds columns=16', 8, 16)
    """
    named = " ".join([base, *(f"{option}={value}" for option, value in changes.items())])
    return changed_accelerator(accelerator_named(base), {"name": named} | changes)


def _named(accelerator: str | AcceleratorConfig) -> AcceleratorConfig:
    return accelerator_named(accelerator) if isinstance(accelerator, str) else accelerator


def _table(
    fmt: WeightFormat, operands: NetworkOperands, on: tuple[Accelerator, Chip], bits: int
) -> pd.DataFrame:
    accelerator, chip = on
    layers = simulation.simulate(accelerator, operands.layers, operands.of(fmt, accelerator), chip, bits)
    total = simulation.totals(layers, accelerator, chip)
    total |= {"layer": "total", "kind": "", "unsimulated_macs": operands.unsimulated_macs}
    whole = pd.concat([layers, pd.DataFrame([total])], ignore_index=True)
    whole.insert(0, "accelerator", accelerator.name)
    whole.insert(1, "format", fmt.name)
    return whole


@dataclass(frozen=True)
class _Operands(NetworkOperands):
    """Operands of a network of few bits: its own weights, and in another format those of the float one."""

    network: Quantized

    @cached_property
    def _plain(self) -> nn.Module:
        return self.network.bare if self.network.reference is None else self.network.reference

    @cached_property
    def layers(self) -> list[Layer]:
        return workload(self._plain, self.network.example)

    @property
    def skip(self) -> frozenset[str]:
        return self.network.made.skip

    @property
    def unsimulated_macs(self) -> int:
        return self.network.macs.float_weights + self.network.macs.between_activations

    def weights(self, fmt: WeightFormat, codes: bool) -> Mapping[str, Encoded]:
        if fmt == self.network.fmt:
            return self.network.encoded
        if not codes:
            return {}
        if self.network.reference is None:
            raise InputError(
                f"a network from a file has no float weights: in {fmt.name} it is not known; leave out versus"
            )
        return encode_layers(plain_copy(self.network.reference), fmt, self.skip)

    def inputs(self) -> Mapping[str, list[np.ndarray]]:
        return self._inputs

    @cached_property
    def _inputs(self) -> dict[str, list[np.ndarray]]:
        network = self.network
        return inputs_of(self._plain, network.example, network.ranges, network.activation_bits)
