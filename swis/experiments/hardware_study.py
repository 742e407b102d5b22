"""Hardware results of rows, and tables of a network, or the shapes of one, on accelerators."""

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
    """Return the hardware result of every method's row, computed or read; none if activations are float.

    Of a network that does not fit the accelerator it says so in the column ``REASON``, and so does a warning.
    Raises ``InputError`` for hardware that no network fits.
    """
    if config.activation_bits is None:
        return {}
    hardware = Hardware(config, StudyOperands(study))
    _ = hardware.mine, hardware.baselines
    fmts = [fmt for fmt in config.formats if fmt.quantized]
    results = {fmt.name: hardware.result(fmt, study.key(fmt), study.folder) for fmt in fmts}
    reasons = [result[REASON].item() for result in results.values() if REASON in result]
    for reason in dict.fromkeys(reason for reason in reasons if pd.notna(reason)):
        log.warning("no numbers of hardware: %s: %s", hardware.mine[0].name, reason)
    return results


def simulate_methods(config: Config) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame | None]:
    """Simulate the 8-bit format and every configured method on the configured accelerator.

    Return a row per method, their rows per layer, and, if there is an ``out`` file for it, its table: of
    these and of all methods on all designs in ``versus``, a row per layer, or per network. Layers and
    weights are those of the configured model, before any calibration; ``workload`` names a file of shapes
    instead. Layers in ``skip`` have the 8-bit format. ``unsimulated_macs`` are the network's
    multiply-accumulates that are of no layer. Of a method that the accelerator cannot run there is one row
    without numbers, which says why in ``REASON``, and a warning. Raises ``InputError`` for hardware and files
    that do not fit, and, if there is no ``out`` file to say so, if no method can be run.
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
        log.warning("%s left out: %s: %s", fmt.name, mine[0].name, error)
        reason = labelled(pd.DataFrame([{REASON: str(error)}]), fmt, mine[0])
        networks.append(reason)
        layers.append(reason)
    networks, layers = (pd.concat(tables, ignore_index=True) for tables in (networks, layers))
    if config.out is None:
        return networks, layers, None
    whole = [layers if config.per_layer else networks]
    for fmt, name in tqdm([*product(fmts, hardware.baselines)], desc="other designs", leave=False):
        table, other = hardware.on_baseline(fmt, name), hardware.baselines[name]
        if table is not None and other != mine:  # whose rows are there already
            table = table if config.per_layer else pd.DataFrame([totals(table, *other) | unsimulated])
            whole.append(labelled(table, fmt, other[0]))
    whole = pd.concat(whole, ignore_index=True)
    records.write_table(whole.assign(config=json.dumps(table_settings(config))), Path(config.out))
    return networks, layers, whole
