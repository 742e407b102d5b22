"""The keys of a configuration's rows, computed from its network and its images."""

from __future__ import annotations

from swis.experiments.config import Config
from swis.experiments.network_hardware import Hardware
from swis.experiments.network_operands import StudyOperands
from swis.experiments.packed_study import prepare_packed
from swis.experiments.row_names import Memory, RowNames
from swis.experiments.study import Study, prepare


def named(config: Config) -> RowNames:
    """Return the keys of a configuration's rows, and cache them; raise ``InputError`` as the run would."""
    memory = Memory.of(config)
    if config.weights is not None:
        packed = prepare_packed(config)
        names = RowNames({packed.packed.fmt.name: packed.key})
        memory.keep(config, names, [packed.split])
        return names
    study = prepare(config)
    names = names_of(study)
    _ = study.macs  # warns of layers that are not called
    if not study.float_weights:  # a run warns of float weights, which it could not if the keys were cached
        memory.keep(config, names, study.splits)
    return names


def names_of(study: Study) -> RowNames:
    """Return the keys of a study's rows; raise ``InputError`` for an accelerator that can run no network."""
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
