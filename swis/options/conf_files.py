"""The files of conf/: which there are, and the settings in them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from swis.options.data import DataConfig
from swis.options.hardware import AcceleratorConfig, EnergyConfig
from swis.options.model import ModelConfig
from swis.options.names import require_known
from swis.options.scheduling import ScheduleConfig
from swis.runtime.files import stamp

# conf/ of the repository, which an installed package has inside it
_INSTALLED = Path(__file__).parents[1] / "conf"
CONF = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "conf"


def choices(group: str) -> list[str]:
    """Return the files that an option chooses among.

    >>> choices("schedule")
    ['greedy', 'network', 'optimal', 'uniform']
    """
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def accelerator_names() -> list[str]:
    """Return the designs in conf/accelerator."""
    return choices("accelerator")


def accelerator_named(name: str) -> AcceleratorConfig:
    """Return a design as its file in conf/accelerator says; raise ``InputError`` if there is none.

    >>> str(accelerator_named("swis_ds").datapath)
    'swis'
    """
    return _read("accelerator", AcceleratorConfig, name, _stamps("accelerator"))


def energies_named(name: str) -> EnergyConfig:
    """Return a table of energies as its file in conf/energy says; raise ``InputError`` if there is none.

    >>> energies_named("nm45").node
    'nm45'
    """
    return _read("energy", EnergyConfig, name, _stamps("energy"))


def schedule_named(name: str) -> ScheduleConfig:
    """Return a schedule as its file in conf/schedule says; raise ``InputError`` if there is none.

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
    """Return what tells the files of a group from later ones."""
    return tuple((path.name, *stamp(path)) for path in sorted((CONF / group).glob("*.yaml")))


@cache
def _read(group: str, settings: type, name: str, stamps: tuple[Any, ...]) -> Any:
    """Return a file of conf/ as settings, on top of the files that it names as its defaults.

    ``stamps`` are those of the group: a file that changes is read again.
    """
    require_known(group, name, choices(group))
    written: Any = OmegaConf.load(CONF / group / f"{name}.yaml")
    bases = [base for base in written.pop("defaults", []) if base != "_self_"]  # as Hydra composes it
    known = [settings, *(_read(group, settings, base, stamps) for base in bases)]
    parts = [OmegaConf.structured(each) for each in known]
    for part in parts:
        OmegaConf.set_readonly(part, None)
    return OmegaConf.to_object(OmegaConf.merge(*parts, written))
