"""task=evaluate: rows with the accuracy, storage, cycles and energy of a network in every format."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from swis.data.image_sets import Split
from swis.errors import CannotWrite, DamagedImage, InputError, RunFailed
from swis.experiments.config import Config
from swis.experiments.hardware_study import simulated_rows
from swis.experiments.naming import names_of
from swis.experiments.packed_study import prepare_packed
from swis.experiments.pending import is_old
from swis.experiments.report import of_rows
from swis.experiments.row_names import FLOAT_TOLERANCE, Memory, RowNames
from swis.experiments.study import Study, prepare
from swis.formats.weight_format import WeightFormat
from swis.networks.models import Network
from swis.results import records
from swis.results.tensors import read_tensors, write_tensors
from swis.runtime.progress import note

log = logging.getLogger("swis")


def run(config: Config, command: str) -> str:
    """Measure the rows of a configuration and return their report.

    Raises ``RunFailed``, with the report of the other rows, if some rows failed.
    """
    rows = evaluate_methods(config) if config.weights is None else evaluate_packed(config)
    report, failed = of_rows(rows, config), rows[rows["status"] == "failed"]
    if len(failed):
        reasons = "; ".join(f"{row.method}: {row.error.splitlines()[-1]}" for row in failed.itertuples())
        raise RunFailed(
            f"{len(failed)} of {len(rows)} rows failed, see their column error ({reasons})",
            report,
        )
    return report


def evaluate_methods(config: Config) -> pd.DataFrame:
    """Measure the float and 8-bit references and every method; return their rows, in that order.

    With task=retrain every method is measured after retraining, and its learning curve is an artifact of its
    row. Rows that exist are read instead of computed. A row that fails has the status "failed" and its
    traceback in the column ``error``; the other rows are computed nevertheless.
    """
    memory = Memory.of(config)
    study, broken = prepare(config), None
    # first, because it takes a second, and hardware that does not fit must be refused before any work
    try:
        simulated = simulated_rows(config, study)
    except (InputError, CannotWrite):
        raise
    except Exception as error:  # raised at the end, because accuracies do not depend on it
        simulated, broken = {}, error
    keys = {fmt: study.key(fmt) for fmt in config.formats}
    known = {fmt: _computed_before(config, key, study.folder) for fmt, key in keys.items()}
    to_do = [fmt.name for fmt, row in known.items() if row is None]
    study.check_memory([fmt for fmt, row in known.items() if row is None])
    note(f"{len(to_do)} of {len(keys)} rows to compute: {', '.join(to_do)}" if to_do else "all rows exist")
    rows, reference, missing = [], None, bool(to_do)
    for fmt, key in keys.items():
        row, logits = _with_logits(study, fmt, known[fmt]) if missing else (known[fmt], None)
        if row is None:
            with records.locked(key, study.folder):
                computed = _computed_before(config, key, study.folder)  # another process may have done it
                row, logits = _with_logits(study, fmt, computed)
                if row is None:
                    row, logits = _compute(study, fmt, reference)
        if not fmt.quantized:
            reference = logits
            _warn_if_off(study.network, study.split, row["top1"].item())
        elif fmt.name in simulated and row["status"].item() == "ok":
            row = row.merge(simulated[fmt.name], on="key")
        rows.append(row)
    if broken is not None:
        raise broken
    if all(row["status"].item() == "ok" for row in rows):
        memory.keep(config, names_of(study), study.splits)
    return pd.concat(rows, ignore_index=True)


def _computed_before(config: Config, key: str, folder: Path) -> pd.DataFrame | None:
    """Return a stored row that need not be computed again, or None."""
    row = records.read_row(key, folder)
    return None if row is None or is_old(row["created"].item(), config) else row


def _with_logits(
    study: Study, fmt: WeightFormat, row: pd.DataFrame | None
) -> tuple[pd.DataFrame | None, Tensor | None]:
    """Return a row, and the logits if it is the float row; None for a float row whose logits are missing."""
    if row is None or fmt.quantized:
        return row, None
    kept = read_tensors(study.key(fmt), study.folder)
    return (None, None) if kept is None else (row, kept["logits"])


def _compute(study: Study, fmt: WeightFormat, reference: Tensor | None) -> tuple[pd.DataFrame, Tensor | None]:
    """Measure a format, write its row, and return the row and the logits."""
    columns, logits = _measure_or_explain(study, fmt, reference)
    if not fmt.quantized and logits is not None:
        write_tensors({"logits": logits}, study.key(fmt), study.folder)
    return _written(study.describe(fmt), columns, study.folder), logits


def _written(described: dict[str, Any], columns: dict[str, Any], folder: Path) -> pd.DataFrame:
    """Write a row and return it; a row with a value that is not allowed is written as failed."""
    try:
        return records.write_row(described | columns, folder)
    except records.UnsoundRow as error:
        return records.write_row(described | _failure(error), folder)


def _measure_or_explain(
    study: Study, fmt: WeightFormat, reference: Tensor | None
) -> tuple[dict[str, Any], Tensor | None]:
    try:
        if not fmt.quantized:
            return study.measure(fmt, None)
        if reference is None:
            raise RuntimeError("the float network failed, so there is no reference to compare with")
        return study.measure(fmt, reference)
    except Exception as error:
        return _failure(error), None


def _failure(error: Exception) -> dict[str, Any]:
    """Return the columns of a failed row; call this within ``except``."""
    if isinstance(error, CannotWrite | DamagedImage):  # not the row's fault: ends the run
        raise error
    return {"status": "failed", "error": traceback.format_exc()}


def _warn_if_off(network: Network, split: Split, top1: float) -> None:
    if network.metadata.get("images_digest") != split.digest:
        return  # the checkpoint's record is about other images
    recorded = float(network.metadata["top1"])
    if abs(top1 - recorded) > FLOAT_TOLERANCE:
        log.warning(
            "the float network has %.2f %% top-1 accuracy, but its checkpoint records %.2f %%", top1, recorded
        )


def evaluate_packed(config: Config) -> pd.DataFrame:
    """Measure the network of a packed file; return its row, with the number of bits in the file.

    The row's ``agreement`` is null, because the file has no float network.
    """
    memory = Memory.of(config)
    study = prepare_packed(config)
    with records.locked(study.key, study.folder):
        row = _computed_before(config, study.key, study.folder)
        if row is None:
            try:
                columns = study.measure()
            except Exception as error:
                columns = _failure(error)
            row = _written(study.describe(), columns, study.folder)
    if row["status"].item() == "ok":
        memory.keep(config, RowNames({study.packed.fmt.name: study.key}), [study.split])
    return row
