"""A network, or the shapes of one, in every configured method on one accelerator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from swis import records
from swis.accelerator import Accelerator, LayerWeights
from swis.apply import WeightFormat, encode_layers, plain_copy, weight_layers
from swis.config import Config
from swis.cost import scheduled_cost
from swis.decompose import from_filters
from swis.files import check_output
from swis.offchip import Memory
from swis.simulate import simulate, totals
from swis.study import Study, formats, prepare
from swis.workload import Layer, read_workload, workload

_MEMORY = ("weight_sram_bytes", "input_sram_bytes", "output_sram_bytes", "dram_bits_per_cycle")


def simulate_methods(config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate the base format and every configured method; return a line per method, and one per layer.

    Layers and weights are those of the configured model, before any calibration; ``workload`` names a file of
    shapes instead. Layers in ``skip`` have the base format. Raises ``InputError`` before any work starts.
    """
    if config.out is not None:
        check_output(Path(config.out), config.force)
    accelerator = design(config)
    activation_bits = config.activation_bits or 8
    if config.workload is None:
        study = prepare(config)
        name, layers = config.model.label, workload(study.base_module, study.network.inputs["input_size"])
    else:
        study, name, layers = None, Path(config.workload).stem, read_workload(config.workload)
    lines, tables = [], []
    for form in formats(config):
        if form.method == "float":
            continue
        weights = _weights(form, layers, study, accelerator)
        table = simulate(accelerator, layers, [weights[layer.name] for layer in layers], activation_bits)
        facts = {"network": name, "accelerator": accelerator.name, "method": form.method}
        facts["bits"] = form.magnitude_bits if form.method == "base" else config.bits
        lines.append(facts | totals(table, accelerator))
        tables.append(table.assign(**facts))
    whole = pd.concat(tables, ignore_index=True)
    if config.out is not None:
        records.write_table(whole, Path(config.out))
    return pd.DataFrame(lines), whole


def design(config: Config) -> Accelerator:
    """Return the configured accelerator."""
    values = {key: getattr(value, "value", value) for key, value in asdict(config.accelerator).items()}
    values["lanes"] = values["lanes"] or config.group_size
    memory = Memory(**{key: values.pop(key) for key in _MEMORY})
    return Accelerator(**values, memory=memory)


def _weights(
    form: WeightFormat, layers: list[Layer], study: Study | None, accelerator: Accelerator
) -> Mapping[str, LayerWeights]:
    plan = study.plan(form) if study else None
    skip = study.skip if study else frozenset()
    codes = {}
    if study and accelerator.needs_codes:
        module = plain_copy(study.base_module)
        encoded = encode_layers(module, form, skip, plan.layers if plan else None)
        codes = {
            name: from_filters(encoded[name].codes, encoded[name].shape)
            .reshape(*encoded[name].shape[:2], *getattr(layer, "kernel_size", (1, 1)))
            .numpy()
            for name, layer in weight_layers(module).items()
        }
    found = {}
    for layer in layers:
        mine = replace(form, method="base") if layer.name in skip else form
        shifts = np.full(layer.out_channels, mine.magnitude_bits if mine.method == "base" else mine.shifts)
        if plan is not None and mine.method != "base":
            shifts = plan.layers[layer.name].shifts
        cost = scheduled_cost(
            mine.method,
            shifts,
            shifts,
            layer.filter_weights,
            layer.macs,
            mine.group_size,
            mine.magnitude_bits,
        )
        found[layer.name] = LayerWeights(shifts, cost.stored_bits, codes.get(layer.name))
    return found
