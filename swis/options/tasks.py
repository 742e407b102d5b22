"""What a run does: the tasks by name, and what the options of each one mean."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What the configuration must know of a task; it is done by the module of its name in experiments/tasks.

    It makes rows of results, or a table, or another file: ``writes`` is the option that names the file, and
    with ``needs_out`` it must be given. ``calibrates``: a network is calibrated as the run says. ``options``
    are those that go with this task alone.
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
    """Return the names of all tasks."""
    return list(TASKS)
