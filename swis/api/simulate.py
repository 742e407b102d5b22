"""Simulation of accelerators: cycles, energy and DRAM traffic of a quantized network's layers."""

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
    """Return cycles, energy and traffic of an accelerator for one input, with a row per layer and "total".

    * ``accelerator``: a name in ``swis.accelerators()``, or a design that ``swis.accelerator`` made.
    * ``versus``: designs to compare with, which run the same network with 8-bit weights. One that is given
      by name gets the clock and the memories of ``accelerator``; if that has other than 8 x 8 PEs, its array
      is scaled in the same way. One that ``swis.accelerator`` made is taken as it is.
    * ``energies``: the name of an energy table in conf/energy.

    The columns are those of ``swis.hardware.simulate``, such as ``latency_cycles`` [cycles], ``energy_pj``
    [pJ] and ``dram_bytes`` [bytes]. The rows "total" also have ``latency_ms`` [ms] and ``frames_per_s``.
    Accelerators read weights in plain coding, whatever the coding of the format. They run neither weights
    that stay float nor products of activations: the column ``unsimulated_macs`` of the totals counts these.
    ``plot()`` of the table draws cycles and energy by layer.

    Raises ``InputError`` for float activations, unknown designs, two designs of one name, and networks
    that a design cannot run.

    >>> import torch
    >>> from swis.api.quantize import quantize
    >>> from swis.formats.swis import Swis
    >>> network, inputs = nn.Sequential(nn.Linear(64, 16)).eval(), torch.rand(16, 64)
    >>> low = quantize(network, Swis(shifts=2), inputs, activation_bits=8)
    >>> table = simulate(low, "swis_ss", versus=["stripes"])
    >>> table[["accelerator", "layer"]].values.tolist()
    [['swis_ss', '0'], ['swis_ss', 'total'], ['stripes', '0'], ['stripes', 'total']]
    """
    check_quantized(network, "simulate")
    if network.activation_bits is None:
        raise InputError(
            "activations are float, but accelerators need integers; quantize with activation_bits=8"
        )
    if not isinstance(energies, str):
        raise InputError(f"energies must be a name in conf/energy, not {type(energies).__name__}")
    mine = _named(accelerator)
    versus = [versus] if isinstance(versus, str | AcceleratorConfig) else versus
    if not isinstance(versus, Sequence):
        raise InputError(f"versus must be a list of accelerators, not {type(versus).__name__}")
    others = [_named(each) for each in versus]
    names = [each.name for each in (mine, *others)]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two accelerators are called {repeated[0]}; give one of them another name")
    table, group_size = energy_table(energies_named(energies)), network.fmt.group_size
    operands = _Operands(network)
    parts = [_table(network.fmt, operands, design(mine, table, group_size), network.activation_bits)]
    for given, each in zip(versus, others, strict=True):
        as_given = isinstance(given, AcceleratorConfig)
        other = design(each, table, group_size) if as_given else baseline(each, mine, table, group_size)
        parts.append(_table(int8_of(network.fmt), operands, other, network.activation_bits))
    return Simulated(pd.concat(parts, ignore_index=True))


def accelerators() -> pd.DataFrame:
    """Return a table of the designs that ``swis.simulate`` knows, with their arrays and sources.

    >>> print(accelerators().loc["swis_ss", ["rows", "columns", "lanes"]].to_dict())
    {'rows': 8, 'columns': 8, 'lanes': 4}
    """
    names = ("datapath", "rows", "columns", "lanes", "source")
    designs = {name: accelerator_named(name) for name in accelerator_names()}
    rows = [{name: getattr(design, name) for name in names} for design in designs.values()]
    return pd.DataFrame(rows, index=pd.Index(designs, name="accelerator")).astype({"datapath": str})


def accelerator(base: str | AcceleratorConfig, /, **changes: Any) -> AcceleratorConfig:
    """Return an accelerator with some of its options changed.

    ``base`` is a name in ``swis.accelerators()``, or what this function returned. The options are
    those of ``accelerator.NAME=VALUE`` on the command line. Give it a ``name``, or its name says what was
    changed. Raises ``InputError`` for unknown names and for values that do not go together.

    >>> wide = accelerator("swis_ds", columns=16)
    >>> wide.name, wide.rows, wide.columns
    ('swis_ds columns=16', 8, 16)
    """
    known = _named(base)
    named = " ".join([known.name, *(f"{option}={value}" for option, value in changes.items())])
    return changed_accelerator(known, {"name": named} | changes)


def _named(accelerator: str | AcceleratorConfig) -> AcceleratorConfig:
    if isinstance(accelerator, AcceleratorConfig):
        return accelerator
    if not isinstance(accelerator, str):
        kind = type(accelerator).__name__
        raise InputError(f"an accelerator is a name or what swis.accelerator returns, not {kind}")
    return accelerator_named(accelerator)


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
    """The operands of a quantized network: its own weights, or its float weights in another format."""

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
                f"a network from a file has no float weights for the format {fmt.name}; leave out versus"
            )
        return encode_layers(plain_copy(self.network.reference), fmt, self.skip)

    def inputs(self) -> Mapping[str, list[np.ndarray]]:
        return self._inputs

    @cached_property
    def _inputs(self) -> dict[str, list[np.ndarray]]:
        network = self.network
        return inputs_of(self._plain, network.example, network.ranges, network.activation_bits)
