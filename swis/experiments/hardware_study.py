"""Hardware results of rows, and tables of a network or of layer shapes on accelerators."""

from __future__ import annotations

import json
import logging
from itertools import product
from pathlib import Path

import pandas as pd

from swis.errors import InputError
from swis.experiments.config import Config
from swis.experiments.network_hardware import Hardware, describe
from swis.experiments.network_operands import StudyOperands
from swis.experiments.study import Study, prepare
from swis.experiments.tables import table_settings
from swis.formats.weight_format import WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.designs import design, energy_table
from swis.hardware.layer_shapes import read_workload
from swis.hardware.operands import ShapeOperands
from swis.hardware.simulate import totals
from swis.results import records
from swis.results.hardware_results import REASON
from swis.runtime.files import check_output
from swis.runtime.progress import tqdm

log = logging.getLogger("swis")


def simulated_rows(config: Config, study: Study) -> dict[str, pd.DataFrame]:
    """Compute or read the hardware result of every quantized method's row; return them by method.

    There are none if activations are float. If the network does not fit the accelerator, the column
    ``REASON`` has the reason, and a warning is logged. Raises ``InputError`` for an accelerator that cannot
    run any network.
    """
    if config.activation_bits is None:
        return {}
    hardware = Hardware(config, StudyOperands(study))
    _ = hardware.mine, hardware.baselines
    fmts = [fmt for fmt in config.formats if fmt.quantized]
    results = {fmt.name: hardware.result(fmt, study.key(fmt), study.folder) for fmt in fmts}
    reasons = [result[REASON].item() for result in results.values() if REASON in result]
    for reason in dict.fromkeys(reason for reason in reasons if pd.notna(reason)):
        log.warning("no hardware results on %s: %s", hardware.mine[0].name, reason)
    return results


def simulate_methods(config: Config) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Simulate the 8-bit format and every configured method on the configured accelerator.

    Return three tables: a row per method, a row per method and layer, and the table in the file ``out`` (None
    without ``out``). That table also has all methods on the designs in ``versus``, with a row per layer, or
    per network if ``per_layer`` is false. Layers and weights are those of the configured model before any
    calibration, or the shapes in the file ``workload``. Layers in ``skip`` have the 8-bit format.
    ``unsimulated_macs`` counts the network's multiply-accumulates that belong to no layer.

    A method that the accelerator cannot run has one row without numbers, with the reason in ``REASON``, and a
    warning is logged. Raises ``InputError`` for hardware and files that do not fit, and, without ``out``, if
    the accelerator can run no method.
    """
    if config.out is not None:
        check_output(Path(config.out), config.force)
    design(config.accelerator, energy_table(config.energy), config.group_size)
    if config.workload is None:
        study = prepare(config)
        facts = {"network": config.model.label, "weights": study.network.weights}
        operands = StudyOperands(study)
    else:
        facts = {"network": Path(config.workload).stem, "weights": "shapes"}
        operands = ShapeOperands(read_workload(config.workload), config.seed, config.activation_bits)
    hardware = Hardware(config, operands)
    fmts = [fmt for fmt in config.formats if fmt.quantized]

    def labelled(table: pd.DataFrame, fmt: WeightFormat, accelerator: Accelerator) -> pd.DataFrame:
        bits = float(config.bits if fmt.has_shifts else fmt.magnitude_bits)
        names = facts | describe(accelerator, config)
        if accelerator.name == hardware.mine[0].name and accelerator != hardware.mine[0]:
            names["accelerator"] += ", as in its file"
        return table.assign(**names, method=fmt.name, bits=bits, group_size=config.group_size)

    mine, networks, layers = hardware.mine, [], []
    unsimulated = {"unsimulated_macs": operands.unsimulated_macs}
    refused: dict[WeightFormat, InputError] = {}
    for fmt in tqdm(fmts, desc=mine[0].name, leave=False, delay=2):
        try:
            network = pd.DataFrame([hardware.totals(fmt) | hardware.columns(fmt) | unsimulated])
        except InputError as error:
            refused[fmt] = error
            continue
        networks.append(labelled(network, fmt, mine[0]))
        layers.append(labelled(hardware.layers(fmt), fmt, mine[0]))
    if not networks and config.out is None:
        raise next(iter(refused.values()))
    for fmt, error in refused.items():
        log.warning("%s on %s is left out: %s", fmt.name, mine[0].name, error)
        reason = labelled(pd.DataFrame([{REASON: str(error)}]), fmt, mine[0])
        networks.append(reason)
        layers.append(reason)
    networks, layers = (pd.concat(tables, ignore_index=True) for tables in (networks, layers))
    if config.out is None:
        return networks, layers, None
    whole = [layers if config.per_layer else networks]
    for fmt, name in tqdm([*product(fmts, hardware.baselines)], desc="other designs", leave=False):
        table, other = hardware.on_baseline(fmt, name), hardware.baselines[name]
        if table is not None and other != mine:  # the rows of this accelerator are in the table already
            table = table if config.per_layer else pd.DataFrame([totals(table, *other) | unsimulated])
            whole.append(labelled(table, fmt, other[0]))
    whole = pd.concat(whole, ignore_index=True)
    records.write_table(whole.assign(config=json.dumps(table_settings(config))), Path(config.out))
    return networks, layers, whole
