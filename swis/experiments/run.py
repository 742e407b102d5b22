"""From a configuration to what it asks for: what run.py runs."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numba
import torch

from swis.experiments.config import Config
from swis.experiments.pending import has_table, listed, planned
from swis.results import records
from swis.runtime.progress import note


def run(config: Config, command: str = "swis.experiments.run.run") -> str:
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
    task = import_module(f"swis.experiments.tasks.{config.task}")
    return task.run(config, command)
