"""The study's figures, drawn from rows of results; python -m swis.gallery [NAME ...] writes them."""

from swis.gallery.figures import (
    FIGURES,
    accuracy,
    calibration,
    compression,
    decomposition,
    group,
    hardware,
    metric,
    pareto,
    retraining,
    scheduling,
    sensitivity,
)

__all__ = [
    "FIGURES",
    "accuracy",
    "calibration",
    "compression",
    "decomposition",
    "group",
    "hardware",
    "metric",
    "pareto",
    "retraining",
    "scheduling",
    "sensitivity",
]
