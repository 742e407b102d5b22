"""The names of a configuration's rows, found by loading its network and its images."""

from __future__ import annotations

import time

from swis.experiments.config import Config
from swis.experiments.network_hardware import Hardware
from swis.experiments.network_operands import StudyOperands
from swis.experiments.packed_study import prepare_packed
from swis.experiments.row_names import RowNames, keep
from swis.experiments.study import Study, prepare


def named(config: Config) -> RowNames:
    """Name a configuration's rows, and keep the names; raises ``InputError`` as the run itself would."""
    since = time.time_ns()
    if config.weights is not None:
        packed = prepare_packed(config)
        names, splits = RowNames({packed.packed.fmt.name: packed.key}), [packed.split]
    else:
        study = prepare(config)
        names, splits = names_of(study), study.splits
    keep(config, names, splits, since)
    return names


def names_of(study: Study) -> RowNames:
    """Return the names of a study's rows; raise ``InputError`` for hardware that no network fits."""
    config = study.config
    keys = {fmt.name: study.key(fmt) for fmt in config.formats}
    if config.activation_bits is None:
        return RowNames(keys)
    hardware = Hardware(config, StudyOperands(study))
    simulated = [fmt.name for fmt in config.formats if fmt.quantized]
    return RowNames(keys, simulated, hardware.identity, hardware.versus)
