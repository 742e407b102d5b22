"""The files of conf/: their names, and the settings in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import ValidationError

from swis.errors import InputError
from swis.options.data import DataConfig
from swis.options.hardware import AcceleratorConfig, EnergyConfig
from swis.options.model import ModelConfig
from swis.options.names import require_known
from swis.options.scheduling import ScheduleConfig
from swis.runtime.files import stamp

# An installed package holds conf/ inside itself; in the repository it is beside swis/.
_INSTALLED = Path(__file__).parents[1] / "conf"
CONF = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "conf"


def choices(group: str) -> list[str]:
    """Return the names of the files in a folder of conf/, which are the choices of that option.

    >>> choices("schedule")
    ['calibrated', 'greedy', 'network', 'optimal', 'uniform']
    """
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def accelerator_names() -> list[str]:
    """Return the names of the designs in conf/accelerator.

    >>> "swis_ss" in accelerator_names()
    True
    """
    return choices("accelerator")


def accelerator_named(name: str) -> AcceleratorConfig:
    """Return the design in conf/accelerator/NAME.yaml; raise ``InputError`` if there is no such file.

    >>> str(accelerator_named("swis_ds").datapath)
    'swis'
    """
    return _read("accelerator", AcceleratorConfig, name, _stamps("accelerator"))


def changed_accelerator(base: AcceleratorConfig, changes: Mapping[str, Any]) -> AcceleratorConfig:
    """Return a design with some options changed; raise ``InputError`` for an unknown option or value.

    >>> changed_accelerator(accelerator_named("swis_ds"), {"columns": 16}).columns
    16
    """
    for name in changes:
        require_known("an accelerator's option", name, [known.name for known in fields(AcceleratorConfig)])
    for name, value in changes.items():
        if isinstance(value, str) and ("${" in value or value in ("", "???")):
            raise InputError(f"accelerator.{name} must be a value, not {value!r}")
    try:
        changed: AcceleratorConfig = _merged([base], changes)
    except ValidationError as error:
        raise InputError(f"accelerator.{error.full_key}: {str(error).splitlines()[0]}") from error
    return changed


def energies_named(name: str) -> EnergyConfig:
    """Return the energy table in conf/energy/NAME.yaml; raise ``InputError`` if there is no such file.

    >>> energies_named("nm45").node
    'nm45'
    """
    return _read("energy", EnergyConfig, name, _stamps("energy"))


def schedule_named(name: str) -> ScheduleConfig:
    """Return the schedule in conf/schedule/NAME.yaml; raise ``InputError`` if there is no such file.

    >>> schedule_named("network").sensitivity
    True
    """
    return _read("schedule", ScheduleConfig, name, _stamps("schedule"))


def model_named(name: str) -> ModelConfig:
    """Return a network as its file in conf/model says; raise ``InputError`` if there is none.

    >>> model_named("resnet18").weights
    'embedded'
    """
    return _read("model", ModelConfig, name, _stamps("model"))


def data_named(name: str) -> DataConfig:
    """Return a set of images as its file in conf/data says; raise ``InputError`` if there is none.

    >>> data_named("fashion_mnist").calibration_split
    'train'
    """
    return _read("data", DataConfig, name, _stamps("data"))


def _stamps(group: str) -> tuple[Any, ...]:
    """Return a value that changes whenever a file of the folder changes."""
    return tuple((path.name, *stamp(path)) for path in sorted((CONF / group).glob("*.yaml")))


@cache
def _read(group: str, settings: type, name: str, stamps: tuple[Any, ...]) -> Any:
    """Return a file of conf/ as settings, merged over the files in its ``defaults`` list.

    ``stamps`` is part of the cache's key, so that a changed file is read again.
    """
    require_known(group, name, choices(group))
    written: Any = OmegaConf.load(CONF / group / f"{name}.yaml")
    bases = [base for base in written.pop("defaults", []) if base != "_self_"]  # Hydra's own entry
    return _merged([settings, *(_read(group, settings, base, stamps) for base in bases)], written)


def _merged(known: Sequence[Any], written: Any) -> Any:
    """Return settings with the options in ``written`` on top; of what is ``known``, the last part counts."""
    parts = [OmegaConf.structured(each) for each in known]
    for part in parts:
        OmegaConf.set_readonly(part, None)
    return OmegaConf.to_object(OmegaConf.merge(*parts, written))
