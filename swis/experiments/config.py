"""The typed configuration of a run, and its composition from conf/ by Hydra."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from swis.errors import InputError
from swis.experiments.command import check_options, explain
from swis.experiments.known_options import with_present_names
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.registry import METHODS, formats, method_names, weight_format
from swis.formats.weight_format import WeightFormat
from swis.options.calibrations import (
    CALIBRATIONS,
    Calibration,
    CalibrationConfig,
    Reconstruction,
    calibration_names,
)
from swis.options.choices import Clip, Coding, Granularity, Rewrite, Selection
from swis.options.conf_files import CONF, accelerator_named, accelerator_names
from swis.options.data import ActivationConfig, DataConfig
from swis.options.hardware import AcceleratorConfig, EnergyConfig
from swis.options.model import ModelConfig
from swis.options.names import require_known
from swis.options.option import Part, default_of, of_part, option
from swis.options.ranges import above_zero, at_least, require
from swis.options.scheduling import ScheduleConfig
from swis.options.tasks import TASKS, Task, task_names
from swis.options.training import RecipeConfig, RetrainConfig

# The largest whole number of any option, as for seeds of numpy; computing with larger numbers may overflow.
_MOST = 2**32 - 1


# Options about making a packed network, which are ignored when it is evaluated.
_NOT_OF_THE_FILE = {"task", "retrained", "calibration", "reconstruction", "retrain"}


@dataclass
class Config:
    """All options of a run; conf/config.yaml has the defaults, each with an explanation.

    Raises ``InputError`` for values that are not allowed or do not fit together.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: RecipeConfig = option(factory=RecipeConfig, part=Part.run)
    schedule: ScheduleConfig = option(factory=ScheduleConfig, part=Part.shifts)
    accelerator: AcceleratorConfig = option(factory=AcceleratorConfig, part=Part.hardware)
    energy: EnergyConfig = option(factory=EnergyConfig, part=Part.hardware)
    task: str = option("evaluate", part=Part.shifts, names=task_names)
    methods: list[str] = option(factory=METHODS.copy, part=Part.file, names=method_names)
    bits: float = option(2, part=Part.shifts)
    group_size: int = option(4, part=Part.groups)
    alpha: float = option(1.0, part=Part.groups)
    scale_group: int = option(32, part=Part.groups)
    selection: Selection = option(Selection.nearest, part=Part.groups)
    magnitude_bits: int = option(7, part=Part.weights)
    granularity: Granularity = option(Granularity.channel, part=Part.weights)
    clip: Clip = option(Clip.absmax, part=Part.weights)
    skip: list[str] = option(factory=list, part=Part.weights)
    fold_bn: bool = option(False, part=Part.weights)
    rewrites: list[Rewrite] = option(factory=list, part=Part.weights)
    activation_bits: int | None = option(8, part=Part.weights)
    calibrate: str = option("stats", part=Part.shifts, names=calibration_names)
    activation: ActivationConfig = option(factory=ActivationConfig, part=Part.weights)
    calibration: CalibrationConfig = option(factory=CalibrationConfig, part=Part.weights)
    reconstruction: Reconstruction = option(factory=Reconstruction, part=Part.shifts)
    retrain: RetrainConfig = option(factory=RetrainConfig, part=Part.shifts)
    allow_calibration_on_test: bool = option(False, part=Part.run)
    retrained: bool = option(False, part=Part.shifts)
    seed: int = 0
    batch_size: int | None = None
    device: str = option("auto", part=Part.run)
    results_dir: str = option("results/runs", part=Part.run)
    force: bool = option(False, part=Part.run)
    # when a sweep began [s since 1970], set by the sweep; with force, older rows are computed again
    sweep_started: int | None = option(None, part=Part.run)
    dry_run: bool = option(False, part=Part.run)
    sweep: dict[str, Any] = option(factory=dict, part=Part.run)
    minutes: float | None = option(None, part=Part.run)
    threads: int | None = option(None, part=Part.run)
    weights: str | None = None
    out: str | None = option(None, part=Part.run)
    workload: str | None = option(None, part=Part.table)
    versus: list[str] = option(
        factory=lambda: ["systolic_os", "stripes", "pragmatic", "bitwave", "bitfusion"], part=Part.hardware
    )
    per_layer: bool = option(True, part=Part.table)
    coding: Coding = option(Coding.plain, part=Part.shifts)

    def __post_init__(self) -> None:
        require_known("task", self.task, TASKS)
        require_known("calibrate", self.calibrate, CALIBRATIONS)
        for name in ("methods", "versus", "rewrites", "skip"):  # repeated names count once
            setattr(self, name, list(dict.fromkeys(getattr(self, name))))
        for name in ("results_dir", "out", "weights", "workload"):
            require(getattr(self, name) != "", f"{name} is empty; it must name a file or folder")
        for name in self.versus:
            require(name != "all" or len(self.versus) == 1, "versus=[all] includes all designs already")
            require_known("versus", name, [*accelerator_names(), "all"])
        if self.energy.units:
            require_known("accelerator.unit", self.accelerator.unit, self.energy.units)
        for name, number in _whole_numbers("", vars(self)):
            require(number <= _MOST, f"{name} must be at most {_MOST}, not {number}")
        b = self.magnitude_bits
        require(4 <= b <= 8, f"magnitude_bits must be in 4..8, not {b}")
        require(math.isfinite(self.bits), f"bits must be a number in 1..{b}, not {self.bits}")
        require(1 <= self.bits <= b, f"bits (shifts) must be in 1..{b} (magnitude_bits), not {self.bits:g}")
        for name in ("probe", "min", "max", "depthwise", "first"):
            value = getattr(self.schedule, name)
            require(value is None or value <= b, f"schedule.{name} must be in 1..{b}, not {value}")
        at_least(1, group_size=self.group_size, scale_group=self.scale_group)
        at_least(1, batch_size=self.batch_size, threads=self.threads)
        at_least(0, alpha=self.alpha, seed=self.seed, sweep_started=self.sweep_started)
        above_zero(minutes=self.minutes)
        require(
            self.selection is Selection.nearest or self.group_size <= 64,
            f"selection=joint needs a group_size of at most 64, not {self.group_size}",
        )
        require(
            self.selection is Selection.nearest or not self.calibration_kind.chooses_levels,
            f"selection=joint has no effect with calibrate={self.calibrate}, which selects levels itself",
        )
        require(
            self.selection is Selection.nearest or not self.retrains,
            "selection=joint does not apply to retraining, which uses nearest levels",
        )
        require(len(self.methods) > 0, f"methods is empty; give at least one of {', '.join(method_names())}")
        for name in self.methods:
            require_known("method", name, method_names())
        require(
            not self.rewrites or self.fold_bn,
            f"rewrites={[*map(str, self.rewrites)]} needs folded batch normalisation: add fold_bn=true",
        )
        require(
            self.activation_bits is None or 2 <= self.activation_bits <= 16,
            f"activation_bits must be in 2..16, or null for float activations, not {self.activation_bits}",
        )
        require(
            not self.does.needs_out or self.out is not None,
            f"task={self.task} needs out=FILE, the file to write",
        )
        require(
            not self.retrained or "retrained" in self.does.options,
            "retrained=true needs task=pack; to train and measure, use task=retrain",
        )
        require(
            self.workload is None or "workload" in self.does.options,
            "workload=FILE, the shapes of layers, needs task=simulate",
        )
        require(
            self.workload is None or not (self.scheduled or self.skip),
            "workload=FILE has only shapes: leave out schedule and skip, and give a whole number of bits",
        )
        if self.does.simulates:
            require(self.activation_bits is not None, "task=simulate needs a number of activation_bits")
            require(
                self.coding is Coding.plain,
                f"coding={self.coding} does not apply to task=simulate: accelerators read plain coding",
            )
        rate = self.calibration.rate
        for name in ("rate", "codebook"):
            require(
                not getattr(self.calibration, name) or self.calibration_kind.chooses_levels,
                f"calibration.{name} needs calibrate=output_aware or reconstruct, not {self.calibrate}",
            )
        for fmt in self.formats[2:]:  # after float and int8
            fmt.check_rate(rate)
        require(
            self.weights is None or "weights" in self.does.options,
            "weights=FILE, a packed network, needs task=evaluate",
        )
        require(
            not self.data.held_out or self.weights is None,
            "data.held_out=true compares with the float network, which weights=FILE, a packed network, lacks",
        )
        require(
            not self.data.held_out or self.has_rows,
            f"data.held_out=true has no effect on task={self.task}; leave it out",
        )
        if self.weights is not None:
            of_the_file = of_part(self, Part.file, Part.weights, Part.shifts, Part.groups) - _NOT_OF_THE_FILE
            for known in fields(self):
                require(
                    known.name not in of_the_file or getattr(self, known.name) == default_of(known),
                    f"a packed file has its own {known.name}; leave {known.name} out with weights=FILE",
                )
        trained_on = self.retrain.split or self.data.calibration_split
        require(
            not self.retrains or trained_on != self.data.split,
            f"data.split={self.data.split} has the images to measure on; choose another retrain.split",
        )
        if not self.does.calibrates:
            require(
                not (self.does.makes_table and self.calibration_kind.chooses_levels),
                f"calibrate={self.calibrate} has no effect on task={self.task}; leave it out",
            )
            self.calibrate = "none"  # whatever the default is: such a task changes no weights by it
        measured = self.does.calibrates and self.weights is None
        allowed = self.allow_calibration_on_test and self.has_rows  # a packed file cannot record it
        require(
            allowed
            or not (measured and self.needs_calibration)
            or self.data.calibration_split != self.data.split,
            f"data.split={self.data.split} has the images to measure on; choose another "
            "data.calibration_split, or allow_calibration_on_test=true",
        )
        require(
            not self.dry_run or self.has_rows or self.does.makes_table,
            f"dry_run=true lists rows of results, but task={self.task} makes no rows",
        )

    @property
    def does(self) -> Task:
        """The properties of the task."""
        return TASKS[self.task]

    @property
    def calibration_kind(self) -> Calibration:
        """The properties of the calibration method."""
        return CALIBRATIONS[self.calibrate]

    @property
    def is_calibrated(self) -> bool:
        """Whether weights are calibrated on images."""
        return self.calibration_kind.looks_at_images

    @property
    def needs_calibration(self) -> bool:
        """Whether a calibration set is needed besides the images to measure on."""
        if self.does.simulates:
            designs = [self.accelerator, *map(accelerator_named, self.baselines)]
            looked_at = self.workload is None and any(design.needs_inputs for design in designs)
            return self.schedule.looks_at_images or looked_at
        if not self.does.calibrates:
            return False
        calibrated = self.activation_bits is not None or self.is_calibrated
        return self.schedule.looks_at_images or calibrated

    @property
    def has_rows(self) -> bool:
        """Whether the task makes rows of results."""
        return self.does.makes_rows

    @property
    def retrains(self) -> bool:
        """Whether methods are retrained."""
        return self.does.retrains or self.retrained

    @property
    def formats(self) -> list[WeightFormat]:
        """The formats of the rows: float and int8, then the configured methods."""
        common = (
            *(self.shifts, self.group_size, self.alpha, self.magnitude_bits),
            *(str(self.granularity), str(self.clip), str(self.selection)),
        )
        known, own = formats(), {"scale_group": self.scale_group}
        found = [weight_format(name, *common) for name in (Float.name, Int8.name)]
        for name in self.methods:
            taken = {each.name for each in fields(known[name])} & own.keys()
            found.append(
                weight_format(name, *common, str(self.coding), **{each: own[each] for each in taken})
            )
        return found

    @property
    def baselines(self) -> list[str]:
        """The designs to compare with; "all" is replaced by their names."""
        if "all" not in self.versus:
            return self.versus
        return [name for name in accelerator_names() if name != self.accelerator.name]

    @property
    def shifts(self) -> int | float:
        """The shifts N of every group (the option ``bits``); a fraction is an average."""
        return int(self.bits) if self.bits == int(self.bits) else self.bits

    @property
    def scheduled(self) -> bool:
        """Whether a schedule assigns shifts to filters, instead of ``bits`` to all of them."""
        return self.bits != int(self.bits) or self.schedule != ScheduleConfig()


def _whole_numbers(name: str, value: Any) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and value of every whole number within a value."""
    if type(value) is int:
        yield name, value
    if is_dataclass(value):
        value = vars(value)
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, each in inner:
        yield from _whole_numbers(f"{name}.{key}" if name else key, each)


def register() -> None:
    """Register the schema with Hydra, which then checks names and types when it composes a configuration."""
    schema = OmegaConf.structured(Config)
    for names in (schema.model.kwargs, schema.sweep):
        OmegaConf.set_struct(names, False)  # model.kwargs.KEY=VALUE needs no leading +
    OmegaConf.set_readonly(schema.accelerator, None)  # Hydra must be able to set its values
    # ${short:${bits}} in file names gives 2 instead of 2.0
    OmegaConf.register_new_resolver("short", "{:g}".format, replace=True)
    store = ConfigStore.instance()
    store.store(name="schema", node=schema)
    store.store("study", {"_target_": "hydra_plugins.swis_sweeper.StudySweeper"}, group="hydra/sweeper")


def resolve(composed: Any) -> Config:
    """Turn a configuration composed by Hydra into a checked ``Config``; raise ``InputError``."""
    try:
        return OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise InputError(explain(error)) from error


def load(overrides: Sequence[str] = ()) -> Config:
    """Compose the configuration in conf/ with overrides as on the command line, for use from Python.

    >>> load(["bits=3", "model=resnet18"]).shifts
    3
    """
    from hydra import compose, initialize_config_dir

    register()
    overrides = with_present_names(overrides, Config)
    check_options(overrides, Config)
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return resolve(compose("config", overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(explain(error)) from error
