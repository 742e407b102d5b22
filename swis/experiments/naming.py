"""The names of a configuration's rows, found by loading its network and its images."""

from __future__ import annotations

from swis.experiments.config import Config
from swis.experiments.network_hardware import Hardware
from swis.experiments.network_operands import StudyOperands
from swis.experiments.packed_study import prepare_packed
from swis.experiments.row_names import Memory, RowNames
from swis.experiments.study import Study, prepare


def named(config: Config) -> RowNames:
    """Name a configuration's rows, and keep the names; raises ``InputError`` as the run itself would."""
    memory = Memory.of(config)
    if config.weights is not None:
        packed = prepare_packed(config)
        names = RowNames({packed.packed.fmt.name: packed.key})
        memory.keep(config, names, [packed.split])
        return names
    study = prepare(config)
    names = names_of(study)
    _ = study.macs  # which warns of layers that do not run
    if not study.float_weights:  # of which a run that is not dry warns
        memory.keep(config, names, study.splits)
    return names


def names_of(study: Study) -> RowNames:
    """Return the names of a study's rows; raise ``InputError`` for hardware that no network fits."""
    config = study.config
    keys = {fmt.name: study.key(fmt) for fmt in config.formats}
    about = study.network.metadata
    known = about.get("images_digest") == study.split.digest
    recorded = float(about["top1"]) if known else None
    if config.activation_bits is None:
        return RowNames(keys, recorded_top1=recorded)
    hardware = Hardware(config, StudyOperands(study))
    simulated = [fmt.name for fmt in config.formats if fmt.quantized]
    return RowNames(keys, simulated, hardware.identity, hardware.versus, recorded)
