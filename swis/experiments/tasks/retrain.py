"""task=retrain: like task=evaluate, but every format is measured after retraining."""

from swis.experiments.tasks.evaluate import run

__all__ = ["run"]
