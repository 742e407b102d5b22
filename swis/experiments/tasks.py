"""From a configuration to rows, or to a checkpoint: what run.py runs."""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import pandas as pd
import torch
from pandera.errors import SchemaError
from torch import Tensor

from swis.data.image_sets import Split
from swis.encoding.encode import encode
from swis.errors import CannotWrite, DamagedImage, InputError, RunFailed
from swis.experiments.config import Config
from swis.experiments.hardware_study import simulate_methods, simulated_lines
from swis.experiments.packed_study import prepare_packed
from swis.experiments.pending import has_table, is_old, listed, planned
from swis.experiments.preflight import table_settings
from swis.experiments.report import (
    hardware,
    kinds,
    schedules,
    simulation,
    storage,
    storage_summary,
    summary,
    trainings,
)
from swis.experiments.study import Study, formats, prepare
from swis.experiments.train_study import train_checkpoint
from swis.formats.int8 import Int8
from swis.formats.weight_format import WeightFormat
from swis.networks.apply import encode_layers
from swis.networks.computed_weights import plain_copy
from swis.networks.models import Network
from swis.options.choices import Calibrate, Task
from swis.packing.file import load_packed, save_packed
from swis.packing.storage import storage_table
from swis.results import records
from swis.runtime.files import check_output
from swis.runtime.progress import note

log = logging.getLogger("swis")

# A float accuracy further than this from the checkpoint's own record [points] means that
# something is wrong with the images or the weights; kernels of other machines move it less.
_FLOAT_TOLERANCE = 0.2


def run(config: Config, command: str = "swis.experiments.tasks.run") -> str:
    """Do the configured task and return the text that reports it.

    ``command`` is written into a checkpoint that the task makes, so that it can be made again.
    Raises ``RunFailed`` with the report of the other rows if some could not be computed, ``CannotWrite`` if
    the file system does not take a result.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
        numba.set_num_threads(min(config.threads, numba.config.NUMBA_NUM_THREADS))
    what = config.weights or config.workload or config.model.label
    then = f"looking up rows in {config.results_dir}" if config.has_rows else f"task={config.task}"
    note(f"loading {what}; {then}")
    if config.dry_run:
        if config.has_rows:
            return listed(planned(config, records.finished(Path(config.results_dir))))
        return f"{config.out or config.task} {'done' if has_table(config) else 'to do'}"
    if config.task is Task.train:
        return train_checkpoint(config, command)
    if config.task is Task.pack:
        return pack_network(config)
    if config.task is Task.storage:
        return measure_storage(config)
    if config.task is Task.simulate:
        return simulate_network(config)
    rows = evaluate_methods(config) if config.weights is None else evaluate_packed(config)
    done, failed = rows[rows["status"] == "ok"], rows[rows["status"] == "failed"]
    where = f"{len(rows)} rows in {config.results_dir}: swis.load_table({config.results_dir!r})"
    folder = config.results_dir
    lines = []
    if len(done):
        lines = [summary(done), schedules(done, config.bits, folder), trainings(done, folder)]
    if "accelerator" in done and done["accelerator"].notna().any():
        lines.append(hardware(done[done["accelerator"].notna()], config.rivals))
    report = "\n\n".join(filter(None, [*lines, where]))
    if len(failed):
        reasons = "; ".join(f"{row.method}: {row.error.splitlines()[-1]}" for row in failed.itertuples())
        raise RunFailed(
            f"{len(failed)} of {len(rows)} rows failed, see their error column ({reasons})", report
        )
    return report


def evaluate_methods(config: Config) -> pd.DataFrame:
    """Measure the float and base references and every method; return their rows, in that order.

    With task=retrain methods are measured after retraining, each with its learning curve beside its row.

    Rows computed before are read, not computed. A row that fails has status "failed" and its
    traceback as error, and the others are computed all the same.
    """
    study, broken = prepare(config), None
    # first, for it takes a second, and hardware that does not fit is refused before any work
    try:
        simulated = simulated_lines(config, study)
    except (InputError, CannotWrite):
        raise
    except Exception as error:  # for the end: accuracies do not depend on it
        simulated, broken = {}, error
    keys = {form: study.key(form) for form in formats(config)}
    known = {form: _computed_before(config, key, study.folder) for form, key in keys.items()}
    to_do = [form.name for form, row in known.items() if row is None]
    note(
        f"{len(to_do)} of {len(keys)} rows to compute: {', '.join(to_do)}" if to_do else "all rows are there"
    )
    rows, reference, missing = [], None, bool(to_do)
    for form, key in keys.items():
        row, logits = _with_logits(study, form, known[form]) if missing else (known[form], None)
        if row is None:
            with records.claimed(key, study.folder):
                computed = _computed_before(config, key, study.folder)  # by another process meanwhile
                row, logits = _with_logits(study, form, computed)
                if row is None:
                    row, logits = _compute(study, form, reference)
        if not form.quantized:
            reference = logits
            _warn_if_off(study.network, study.split, row["top1"].item())
        elif form.name in simulated and row["status"].item() == "ok":
            row = row.merge(simulated[form.name], on="key")
        rows.append(row)
    if broken is not None:
        raise broken
    return pd.concat(rows, ignore_index=True)


def _computed_before(config: Config, key: str, folder: Path) -> pd.DataFrame | None:
    """Return a row that need not be computed."""
    row = records.read_row(key, folder)
    return None if row is None or is_old(row["created"].item(), config) else row


def _with_logits(
    study: Study, form: WeightFormat, row: pd.DataFrame | None
) -> tuple[pd.DataFrame | None, Tensor | None]:
    """Return a row, that of float weights with its logits: without them None, for nothing can be compared."""
    if row is None or form.quantized:
        return row, None
    kept = records.read_tensors(study.key(form), study.folder)
    return (None, None) if kept is None else (row, kept["logits"])


def _compute(
    study: Study, form: WeightFormat, reference: Tensor | None
) -> tuple[pd.DataFrame, Tensor | None]:
    """Measure a format and write its row; return it, and the logits."""
    columns, logits = _measure_or_explain(study, form, reference)
    if not form.quantized and logits is not None:
        records.write_tensors({"logits": logits}, study.key(form), study.folder)
    return _written(study.describe(form), columns, study.folder), logits


def _written(described: dict[str, Any], columns: dict[str, Any], folder: Path) -> pd.DataFrame:
    """Write a row and return it; one with a number that cannot be is a failed one."""
    try:
        return records.write_row(described | columns, folder)
    except SchemaError as error:
        return records.write_row(described | _failure(error), folder)


def _measure_or_explain(
    study: Study, form: WeightFormat, reference: Tensor | None
) -> tuple[dict[str, Any], Tensor | None]:
    try:
        if not form.quantized:
            return study.measure(form, None)
        if reference is None:
            raise RuntimeError("there is no float reference to compare with")
        return study.measure(form, reference)
    except Exception as error:
        return _failure(error), None


def _failure(error: Exception) -> dict[str, Any]:
    """Return the columns of a row that could not be measured, from within its ``except``."""
    if isinstance(error, CannotWrite | DamagedImage):  # no failure of this row
        raise error
    return {"status": "failed", "error": traceback.format_exc()}


def _warn_if_off(network: Network, split: Split, top1: float) -> None:
    if network.metadata.get("images_digest") != split.digest:
        return  # other images than the checkpoint's record was measured on
    recorded = float(network.metadata["top1"])
    if abs(top1 - recorded) > _FLOAT_TOLERANCE:
        log.warning("the float network reaches %.2f %%, its checkpoint records %.2f %%", top1, recorded)


def simulate_network(config: Config) -> str:
    """Simulate the network, or the shapes of a workload, in every method; return the report."""
    lines, layers, written = simulate_methods(config)
    parts = [simulation(lines, config.accelerator.source, config.rivals)]
    run = layers.dropna(subset="macs") if "macs" in layers else layers[:0]  # others could not be
    if len(run):
        parts.append(kinds(run[run["method"] == run["method"].iloc[-1]]))
    if written is not None:
        parts.append(f"{len(written)} rows in {config.out}")
    return "\n\n".join(parts)


def pack_network(config: Config) -> str:
    """Write the configured network as a packed file, in the first of the configured methods."""
    path = Path(config.out)
    check_output(path, config.force)
    study = prepare(config)
    form = next(form for form in formats(config) if form.name == config.methods[0])
    few_bits, plan = config.activation_bits is not None, study.plan(form)
    network, encoded = study.network, None
    if config.retrained or config.calibrate is not Calibrate.none:
        made = study.retrained if config.retrained else study.calibrated
        try:
            module, encoded = made(form, plan, config.activation_bits)
        except FloatingPointError as error:
            raise RunFailed(f"{form.name} could not be retrained: {error}", "nothing was packed") from error
        network = replace(network, module=module)
    save_packed(
        path,
        network,
        form,
        coding=str(config.coding),
        skip=config.skip,
        fold_bn=config.fold_bn,
        rewrites=[str(name) for name in config.rewrites],
        label=config.model.label,
        activation_bits=config.activation_bits,
        activation_range=str(config.activation.range) if few_bits else None,
        ranges=study.ranges if few_bits else {},
        plans=plan.layers if plan else None,
        schedule=config.schedule.label if form.has_shifts else None,
        calibrate=str(config.calibrate),
        retrain=study.science(form)["retrain"] if config.retrained else None,
        live=config.retrained and study.live,
        encoded=encoded,
    )
    return f"{storage(load_packed(path))}\n\nin {path}; to measure it: python run.py weights={path}"


def measure_storage(config: Config) -> str:
    """Write the table of ``swis.packing.storage`` for the network and for Gaussian weights of its shapes.

    Layers in ``skip`` are left out, and a weight that several layers share counts once. Weights of no layer
    count as float ones.
    """
    path = Path(config.out)
    check_output(path, config.force)
    study = prepare(config)
    form = Int8(
        magnitude_bits=config.magnitude_bits,
        granularity=str(config.granularity),
        clip=str(config.clip),
    )
    generator = torch.Generator().manual_seed(config.seed)
    encoded = encode_layers(plain_copy(study.base_module), form)
    distinct = {id(layer): name for name, layer in encoded.items() if name not in study.skip}
    if not distinct:
        raise InputError("skip leaves no layer to measure")
    real = {name: encoded[name].codes for name in distinct.values()}
    gaussian = {
        name: encode(torch.randn(encoded[name].shape, generator=generator), form).codes
        for name in distinct.values()
    }
    left, tables = study.float_weights, []
    for source, layers in ((study.network.weights, real), ("gaussian", gaussian)):
        table = storage_table(layers, config.magnitude_bits, float_weights=left)
        table.insert(0, "weights", source)
        table.insert(0, "model", config.model.label)
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    records.write_table(whole.assign(config=json.dumps(table_settings(config))), path)
    return f"{storage_summary(tables[0])}\n\n{len(whole)} rows in {path}"


def evaluate_packed(config: Config) -> pd.DataFrame:
    """Measure the network of a packed file; return its row, with the bits that it really takes.

    The row's agreement is null: the float network is not at hand.
    """
    study = prepare_packed(config)
    with records.claimed(study.key, study.folder):
        row = _computed_before(config, study.key, study.folder)
        if row is None:
            try:
                columns = study.measure()
            except Exception as error:
                columns = _failure(error)
            row = _written(study.describe(), columns, study.folder)
    return row
