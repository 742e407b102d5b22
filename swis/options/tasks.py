"""The tasks of a run by name, and what the options must know about each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What the options must know about a task; its code is the module of the same name in experiments/tasks.

    ``makes_rows``: it adds rows to the results. ``makes_table``: it writes a table. ``writes``: the option
    that names its output file. ``needs_out``: that option must be given. ``calibrates``: it uses
    ``calibrate``. ``retrains`` and ``simulates``: it retrains networks, or simulates accelerators.
    ``options``: options that only this task has.
    """

    makes_rows: bool = False
    makes_table: bool = False
    writes: str = "out"
    needs_out: bool = False
    calibrates: bool = False
    retrains: bool = False
    simulates: bool = False
    options: tuple[str, ...] = ()


TASKS = {
    "evaluate": Task(makes_rows=True, calibrates=True, options=("weights",)),
    "train": Task(writes="recipe.output"),
    "retrain": Task(makes_rows=True, calibrates=True, retrains=True),
    "pack": Task(needs_out=True, calibrates=True, options=("retrained",)),
    "storage": Task(makes_table=True, needs_out=True),
    "simulate": Task(makes_table=True, simulates=True, options=("workload",)),
}


def task_names() -> list[str]:
    """Return the names of all tasks.

    >>> task_names()
    ['evaluate', 'train', 'retrain', 'pack', 'storage', 'simulate']
    """
    return list(TASKS)
