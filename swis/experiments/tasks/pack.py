"""task=pack: a packed file of the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from swis.errors import RunFailed
from swis.experiments.config import Config
from swis.experiments.report import calibration, storage
from swis.experiments.study import prepare
from swis.networks.inputs import Inputs
from swis.packing.file import load_packed, save_packed
from swis.runtime.files import check_output


def run(config: Config, command: str) -> str:
    """Write the configured network to a packed file, in the first of the configured methods."""
    path = Path(config.out)
    check_output(path, config.force)
    study = prepare(config)
    fmt = next(fmt for fmt in config.formats if fmt.name == config.methods[0])
    few_bits, schedule = config.activation_bits is not None, study.schedule(fmt)
    network, encoded = study.network, None
    if config.retrained or config.is_calibrated:
        study.check_memory([fmt])
        made = study.retrained if config.retrained else study.calibrated
        try:
            module, encoded = made(fmt, schedule, config.activation_bits)
        except FloatingPointError as error:
            raise RunFailed(f"{fmt.name} could not be retrained: {error}", "no file was written") from error
        network = replace(network, module=module)
    example = None  # not needed for timm, which creates networks from their names
    if config.model.factory is not None:
        example = Inputs.of(torch.zeros(1, *network.inputs["input_size"]))
    save_packed(
        path,
        network,
        fmt,
        coding=str(config.coding),
        skip=config.skip,
        fold_bn=config.fold_bn,
        rewrites=[str(name) for name in config.rewrites],
        label=config.model.label,
        activation_bits=config.activation_bits,
        activation_range=str(config.activation.range) if few_bits else None,
        ranges=study.ranges if few_bits else {},
        schedules=schedule.layers if schedule else None,
        policy=config.schedule.label if fmt.has_shifts else None,
        calibrate=config.calibrate,
        retrain=study.retraining(fmt) if config.retrained else None,
        live=config.retrained and study.live,
        encoded=encoded,
        example=example,
    )
    program = "swis" if command.startswith("swis ") else "python run.py"
    again = f"{program} weights={path}"
    if example is not None:
        again += f" model=python model.factory={config.model.factory}"
    packed = load_packed(path, None if example is None else study.network.module)
    return f"{storage(packed)}\n{calibration(config)}\n\nwritten to {path}; to measure it: {again}"
