"""task=retrain: as task=evaluate, every format measured after it was retrained."""

from swis.experiments.tasks.evaluate import run

__all__ = ["run"]
