"""Running the task of a configuration, as run.py does."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from pathlib import Path

from swis.experiments.config import Config
from swis.experiments.pending import all_done, listed, planned
from swis.experiments.report import of_rows
from swis.experiments.row_names import Memory
from swis.results import records
from swis.runtime.progress import note


def run(config: Config, command: str = "swis.experiments.run.run") -> str:
    """Run the configured task and return its report.

    ``command`` is stored in a checkpoint that the task makes, so that it can be reproduced. Raises
    ``RunFailed``, with the report of the other rows, if some rows could not be computed; ``CannotWrite`` if
    the file system refuses a result; and ``InputError``.
    """
    there: set[str] = set()
    if config.has_rows:
        there = records.finished(Path(config.results_dir)) if config.dry_run else there
        if (report := _of_existing_rows(config, there)) is not None:
            return report
    note("loading PyTorch and timm")
    # imported here, because finding existing rows does not need them and must be quick
    import numba
    import torch

    from swis.experiments.tables import has_table

    if config.threads is not None:
        torch.set_num_threads(config.threads)
        numba.set_num_threads(min(config.threads, numba.config.NUMBA_NUM_THREADS))
    what = config.weights or config.workload or config.model.label
    then = f"looking up rows in {config.results_dir}" if config.has_rows else f"task={config.task}"
    note(f"loading {what}; {then}")
    if config.dry_run:
        if config.has_rows:
            return listed(planned(config, there))
        return f"{config.out or config.task} {'done' if has_table(config) else 'to do'}"
    task = import_module(f"swis.experiments.tasks.{config.task}")
    return task.run(config, command)


def _of_existing_rows(config: Config, there: Collection[str]) -> str | None:
    """Return the report if all rows exist and their keys are cached, else None."""
    if config.dry_run:
        rows = all_done(config, there)
        return None if rows is None else listed(rows)
    names = Memory.of(config).recall(config)
    rows = None if names is None else names.rows(Path(config.results_dir))
    if rows is None:
        return None
    note("all rows exist")
    return of_rows(rows, config)
