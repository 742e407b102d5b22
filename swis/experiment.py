"""From a configuration to rows, or to a checkpoint: what run.py runs."""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numba
import pandas as pd
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, update_bn
from tqdm.auto import tqdm

from swis import records
from swis.apply import WeightFormat, encode, encode_layers, plain_copy
from swis.checks import check_fit, pick_device
from swis.choices import Calibrate, Task
from swis.config import Config
from swis.data import Split, loader, open_split
from swis.errors import CannotWrite, InputError, RunFailed
from swis.evaluate import predict, score
from swis.files import check_output
from swis.hardware_study import simulate_methods, simulated_lines
from swis.models import Network, load_network, new_network, save_checkpoint
from swis.packed import load_packed, save_packed
from swis.packed_study import prepare_packed
from swis.plan import has_table, listed, planned
from swis.report import (
    hardware,
    kinds,
    schedules,
    simulation,
    storage,
    storage_summary,
    summary,
    trainings,
)
from swis.storage import storage_table
from swis.study import Study, formats, prepare
from swis.train import Recipe, epoch_generator, shuffled, train

log = logging.getLogger("swis")

# A float accuracy further than this from the checkpoint's own record [points] means that
# something is wrong with the images or the weights; kernels of other machines move it less.
_FLOAT_TOLERANCE = 0.2

_SHARED_BY_STAGES = ("batch_size", "momentum", "weight_decay", "label_smoothing", "shift", "precision")


def run(config: Config, command: str = "swis.experiment.run") -> str:
    """Do the configured task and return the text that reports it.

    ``command`` is written into a checkpoint that the task makes, so that it can be made again.
    Raises ``RunFailed`` with the report of the other rows if some could not be computed, ``CannotWrite`` if
    the file system does not take a result.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
        numba.set_num_threads(min(config.threads, numba.config.NUMBA_NUM_THREADS))
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
    rows, reference = [], None
    missing = config.force or any(
        records.read_row(study.key(form), study.folder) is None for form in formats(config)
    )
    for form in formats(config):
        row, logits = _computed_before(study, form, missing)
        if row is None:
            with records.claimed(study.key(form), study.folder):
                row, logits = _computed_before(study, form, missing)  # by another process meanwhile
                if row is None:
                    row, logits = _compute(study, form, reference)
        if form.method == "float":
            reference = logits
            _warn_if_off(study.network, study.split, row["top1"].item())
        elif form.method in simulated and row["status"].item() == "ok":
            row = row.merge(simulated[form.method], on="key")
        rows.append(row)
    if broken is not None:
        raise broken
    return pd.concat(rows, ignore_index=True)


def _computed_before(
    study: Study, form: WeightFormat, compared: bool
) -> tuple[pd.DataFrame | None, Tensor | None]:
    """Return a row that is there; of "float" also its logits, without which nothing can be ``compared``."""
    key = study.key(form)
    row = None if study.config.force else records.read_row(key, study.folder)
    if row is None or form.method != "float" or not compared:
        return row, None
    kept = records.read_tensors(key, study.folder)
    return (None, None) if kept is None else (row, kept["logits"])


def _compute(
    study: Study, form: WeightFormat, reference: Tensor | None
) -> tuple[pd.DataFrame, Tensor | None]:
    """Measure a format and write its row; return it, and the logits."""
    columns, logits = _measure_or_explain(study, form, reference)
    if form.method == "float" and logits is not None:
        records.write_tensors({"logits": logits}, study.key(form), study.folder)
    return records.write_row(study.describe(form) | columns, study.folder), logits


def _measure_or_explain(
    study: Study, form: WeightFormat, reference: Tensor | None
) -> tuple[dict[str, Any], Tensor | None]:
    try:
        if form.method == "float":
            return study.measure(form, None)
        if reference is None:
            raise RuntimeError("there is no float reference to compare with")
        return study.measure(form, reference)
    except Exception as error:
        return _failure(error), None


def _failure(error: Exception) -> dict[str, Any]:
    """Return the columns of a row that could not be measured, from within its ``except``."""
    if isinstance(error, CannotWrite):  # no failure of this row, and its row could not be written either
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
    last = layers[layers["method"] == lines["method"].iloc[-1]]
    parts = [simulation(lines, config.accelerator.source, config.rivals), kinds(last)]
    if written is not None:
        parts.append(f"{len(written)} rows in {config.out}")
    return "\n\n".join(parts)


def pack_network(config: Config) -> str:
    """Write the configured network as a packed file, in the first of the configured methods."""
    path = Path(config.out)
    check_output(path, config.force)
    study = prepare(config)
    form = next(form for form in formats(config) if form.method == config.methods[0])
    few_bits, plan = config.activation_bits is not None, study.plan(form)
    network, encoded = study.network, None
    if config.retrained or config.calibrate is not Calibrate.none:
        made = study.retrained if config.retrained else study.calibrated
        try:
            module, encoded = made(form, plan, config.activation_bits)
        except FloatingPointError as error:
            raise RunFailed(f"{form.method} could not be retrained: {error}", "nothing was packed") from error
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
        schedule=config.schedule.label if form.method != "base" else None,
        calibrate=str(config.calibrate),
        retrain=study.science(form)["retrain"] if config.retrained else None,
        live=config.retrained and study.live,
        encoded=encoded,
    )
    return f"{storage(load_packed(path))}\n\nin {path}; to measure it: python run.py weights={path}"


def measure_storage(config: Config) -> str:
    """Write the table of ``swis.storage`` for the network and for Gaussian weights of the same shapes.

    Layers in ``skip`` are left out, and a weight that several layers share counts once.
    """
    path = Path(config.out)
    check_output(path, config.force)
    study = prepare(config)
    form = WeightFormat(
        "base",
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
    tables = []
    for source, layers in ((study.network.weights, real), ("gaussian", gaussian)):
        table = storage_table(layers, config.magnitude_bits)
        table.insert(0, "weights", source)
        table.insert(0, "model", config.model.label)
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    records.write_table(whole.assign(config=json.dumps(asdict(config))), path)
    return f"{storage_summary(tables[0])}\n\n{len(whole)} rows in {path}"


def evaluate_packed(config: Config) -> pd.DataFrame:
    """Measure the network of a packed file; return its row, with the bits that it really takes.

    The row's agreement is null: the float network is not at hand.
    """
    study = prepare_packed(config)
    with records.claimed(study.key, study.folder):
        row = None if config.force else records.read_row(study.key, study.folder)
        if row is None:
            try:
                columns = study.measure()
            except Exception as error:
                columns = _failure(error)
            row = records.write_row(study.describe() | columns, study.folder)
    return row


def train_checkpoint(config: Config, command: str) -> str:
    """Train the configured architecture and write a checkpoint that says how.

    From scratch, or with ``recipe.finetune`` from ``model.weights``, whose preprocessing is kept.
    With ``recipe.average`` above 1 it holds the mean of the weights at the ends of that many last stages
    (stochastic weight averaging), its normalisation statistics estimated anew on the training images.

    An interrupted training goes on where it was when the same command is given again.
    """
    recipe = config.recipe
    device = pick_device(config.device)
    train_split, test_split = (
        open_split(config.data, name).sample(config.data.limit, config.seed)
        for name in ("train", config.data.split)
    )
    if recipe.finetune:
        network = load_network(config.model)
        check_fit(config.model.label, network, train_split.name, train_split.num_classes)
    else:
        inputs = {key: getattr(recipe, key) for key in ("input_size", "mean", "std")}
        inputs |= {"interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center"}
        network = new_network(config.model, train_split.num_classes, inputs, config.seed)
    transform, channels = network.transform(), network.channels
    output = Path(recipe.output)
    facts = {
        "command": command,
        "data": test_split.name,
        "train_digest": train_split.digest,
        "images_digest": test_split.digest,
        "seed": str(config.seed),
        "recipe": json.dumps(asdict(recipe)),
        **{key: str(value) for key, value in records.provenance().items()},
    }

    shared = {key: getattr(recipe, key) for key in _SHARED_BY_STAGES}
    stages = [asdict(stage) for stage in recipe.stages]
    states = [output.with_suffix(f".stage{number}.state") for number in range(len(stages))]
    averaged = AveragedModel(network.module)
    for number, state_path in enumerate(states):
        history = [
            network.digest,
            network.inputs,
            train_split.digest,
            config.seed,
            shared,
            stages[: number + 1],
        ]
        train(
            network.module,
            train_split.prepared(transform, channels),
            Recipe(**shared, **stages[number]),
            seed=100 * config.seed + number,
            plan=json.dumps(history),
            device=device,
            state_path=state_path,
        )
        if number >= len(stages) - recipe.average:
            averaged.update_parameters(network.module)
    if recipe.average > 1:
        images, draws = train_split.prepared(transform, channels), epoch_generator(config.seed, 0)
        batches = shuffled(images, recipe.batch_size, draws, config.data.workers)
        update_bn(tqdm(batches, desc="statistics of the averaged network", leave=False), averaged, device)
        network.module.load_state_dict(averaged.module.state_dict())

    # what counts is the accuracy of the rounded weights in the file
    partial = output.with_name(f"partial_{output.name}")
    save_checkpoint(network, partial, facts)
    saved = load_network(replace(config.model, weights=str(partial)))
    batches = loader(test_split.prepared(transform, channels), config.batch_size, config.data.workers)
    prediction = predict(saved.module, batches, device, "test")
    top1 = score(prediction, prediction.logits)["top1"]
    save_checkpoint(saved, partial, facts | {"top1": f"{top1:.2f}"})
    partial.replace(output)
    for state_path in states:
        state_path.unlink()
    return f"{top1:.2f} % top-1 on {len(test_split)} images of {test_split.name}; weights in {output}"
