"""A network, or the shapes of one, in every configured method on one accelerator."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd

from swis import records
from swis.accelerator import Accelerator, LayerWeights
from swis.apply import WeightFormat, cost_of, encode_layers, plain_copy
from swis.config import Config
from swis.decompose import from_filters
from swis.errors import InputError
from swis.files import check_output
from swis.schedule import LayerPlan
from swis.simulate import simulate, totals
from swis.study import Study, formats, prepare
from swis.tiling import Memory
from swis.workload import Layer, read_workload, workload

_MEMORY = ("weight_sram_bytes", "input_sram_bytes", "output_sram_bytes", "dram_bits_per_cycle")


def simulate_methods(config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate the base format and every configured method; return a line per method, and one per layer.

    Layers and weights are those of the configured model, before any calibration; ``workload`` names a file of
    shapes instead. Layers in ``skip`` have the base format. Raises ``InputError`` for hardware and files that
    do not fit.
    """
    if config.out is not None:
        check_output(Path(config.out), config.force)
    accelerator = design(config)
    if config.workload is None:
        study = prepare(config)
        name, layers = config.model.label, workload(study.base_module, study.network.inputs["input_size"])
    else:
        study, name, layers = None, Path(config.workload).stem, read_workload(config.workload)
    lines, tables = [], []
    for form in formats(config):
        if form.method == "float":
            continue
        weights = weights_for(form, layers, study, accelerator)
        mine = [weights[layer.name] for layer in layers]
        table = simulate(accelerator, layers, mine, config.activation_bits)
        facts = {"network": name, "accelerator": accelerator.name, "method": form.method}
        facts["bits"] = float(form.magnitude_bits if form.method == "base" else config.bits)
        lines.append(facts | totals(table, accelerator))
        tables.append(table.assign(**facts, group_size=config.group_size))
    whole = pd.concat(tables, ignore_index=True).assign(config=json.dumps(asdict(config)))
    if config.out is not None:
        records.write_table(whole, Path(config.out))
    return pd.DataFrame(lines), whole


def design(config: Config) -> Accelerator:
    """Return the configured accelerator; raise ``InputError`` if groups do not fit its lanes."""
    values = {key: getattr(value, "value", value) for key, value in asdict(config.accelerator).items()}
    values["lanes"] = values["lanes"] or config.group_size
    accelerator = Accelerator(**values | {"memory": Memory(**{key: values.pop(key) for key in _MEMORY})})
    if accelerator.decodes and config.group_size % accelerator.lanes:
        raise InputError(
            f"accelerator.lanes={accelerator.lanes} must divide group_size={config.group_size}: "
            "lanes share a shift set"
        )
    return accelerator


def weights_for(
    form: WeightFormat, layers: list[Layer], study: Study | None, accelerator: Accelerator
) -> Mapping[str, LayerWeights]:
    """Return the weights of every layer by name: those of a study's network, or of shapes alone."""
    plan, encoded = study.plan(form) if study else None, {}
    if study and (plan is not None or accelerator.needs_codes):
        plans = plan.layers if plan else None
        encoded = encode_layers(plain_copy(study.base_module), form, study.skip, plans)
    skip = study.skip if study else frozenset()
    found = {}
    for layer in layers:
        known, filters = encoded.get(layer.name), layer.out_channels
        mine = replace(form, method="base") if layer.name in skip else form
        shifts = np.full(filters, mine.magnitude_bits if mine.method == "base" else mine.shifts)
        order, codes, schedule = np.arange(filters), None, known.plan if known else None
        if schedule is not None:
            shifts, order = schedule.shifts, rows_of(layer, schedule)
        cut = mine.method in ("truncate", "round", "uniform")
        widths = shifts if cut else np.full(filters, mine.magnitude_bits)
        cost = cost_of(mine, schedule, filters, layer.filter_weights, layer.macs)
        if accelerator.needs_codes and known:
            codes = from_filters(known.codes, known.shape).numpy()[order]
            codes = codes.reshape(filters, -1, layer.kernel_h, layer.kernel_w)
        found[layer.name] = LayerWeights(shifts[order], cost.stored_bits, widths[order], codes)
    return found


def rows_of(layer: Layer, plan: LayerPlan) -> np.ndarray:
    """Return the filters [out_channels] in the order that they occupy an array's rows.

    It is the plan's, but filters stay in their group of the convolution, whose rows share activations.

    >>> layer = Layer("conv", 4, 4, 1, 1, 1, 1, 1, 1, groups=2)
    >>> rows_of(layer, LayerPlan(np.array([1, 2, 1, 1]), np.array([2, 3, 0, 1]))).tolist()
    [0, 1, 2, 3]
    """
    each = layer.group_filters
    return plan.order if each == 1 else plan.order[np.argsort(plan.order // each, kind="stable")]
