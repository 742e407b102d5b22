"""The typed configuration: its fields, their ranges, and its composition from conf/ by Hydra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from swis.errors import InputError


class Task(StrEnum):
    evaluate = "evaluate"
    train = "train"
    pack = "pack"
    storage = "storage"


class Method(StrEnum):
    swis = "swis"
    swis_c = "swis_c"
    truncate = "truncate"
    round = "round"
    uniform = "uniform"


class Coding(StrEnum):
    plain = "plain"
    compact = "compact"


class Selection(StrEnum):
    nearest = "nearest"
    joint = "joint"


class Policy(StrEnum):
    uniform = "uniform"
    greedy = "greedy"
    optimal = "optimal"


class Scope(StrEnum):
    layer = "layer"
    network = "network"


class Price(StrEnum):
    weights = "weights"
    macs = "macs"
    storage = "storage"


class Calibrate(StrEnum):
    none = "none"
    bias = "bias"
    stats = "stats"
    output_aware = "output_aware"
    reconstruct = "reconstruct"


class Order(StrEnum):
    filter = "filter"
    variance = "variance"


class Rewrite(StrEnum):
    equalize = "equalize"
    permute = "permute"


class Granularity(StrEnum):
    tensor = "tensor"
    channel = "channel"


class Clip(StrEnum):
    absmax = "absmax"
    mse = "mse"


class ActivationRange(StrEnum):
    minmax = "minmax"
    percentile = "percentile"


class Interpolation(StrEnum):
    nearest = "nearest"
    bilinear = "bilinear"
    bicubic = "bicubic"


class CropMode(StrEnum):
    center = "center"
    squash = "squash"
    border = "border"


class Precision(StrEnum):
    float32 = "float32"
    bfloat16 = "bfloat16"


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)


@dataclass
class ModelConfig:
    """Which network, with which weights; the fields that are null come from the weights."""

    label: str = MISSING
    name: str = MISSING
    weights: str = "timm"
    kwargs: dict[str, Any] = field(default_factory=dict)
    input_size: list[int] | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    interpolation: Interpolation | None = None
    crop_pct: float | None = None
    crop_mode: CropMode | None = None

    def __post_init__(self) -> None:
        _require(
            self.input_size is None or (len(self.input_size) == 3 and min(self.input_size) > 0),
            f"model.input_size must be [channels, height, width], all positive, not {self.input_size}",
        )
        _require(
            self.std is None or all(value > 0 for value in self.std),
            f"model.std must be above 0, not {self.std}",
        )
        _require(
            self.crop_pct is None or 0 < self.crop_pct <= 1,
            f"model.crop_pct must be in (0, 1], not {self.crop_pct}",
        )


@dataclass
class DataConfig:
    """Which images: a split to measure on and a split to calibrate on."""

    name: str = MISSING
    root: str | None = None
    download: bool = False
    split: str = MISSING
    calibration_split: str = MISSING
    limit: int | None = None
    workers: int = 2

    def __post_init__(self) -> None:
        _require(
            self.limit is None or self.limit >= 1, f"data.limit must be at least 1 image, not {self.limit}"
        )
        _require(self.workers >= 0, f"data.workers must be at least 0, not {self.workers}")


@dataclass
class ActivationConfig:
    """How the range of 8-bit activations is found on the calibration images."""

    range: ActivationRange = ActivationRange.minmax
    percentile: float = 99.9

    def __post_init__(self) -> None:
        _require(
            50 < self.percentile <= 100,
            f"activation.percentile must be in (50, 100] percent, not {self.percentile}",
        )


@dataclass
class CalibrationConfig:
    """Unlabelled images, and how weights are chosen on them; see ``swis.output_aware.OutputAware``."""

    images: int = 256
    damping: float = 0.1
    positions: int = 65536
    rounds: int = 3
    order: Order = Order.filter
    asymmetric: bool = True
    scales: list[float] = field(default_factory=lambda: [0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5])

    def __post_init__(self) -> None:
        _require(self.images >= 1, f"calibration.images must be at least 1, not {self.images}")
        _require(self.damping > 0, f"calibration.damping must be above 0, not {self.damping:g}")
        _require(self.positions >= 1, f"calibration.positions must be at least 1, not {self.positions}")
        _require(self.rounds >= 0, f"calibration.rounds must be at least 0, not {self.rounds}")
        _require(len(self.scales) > 0, "calibration.scales is empty; [1.0] keeps the scale of the quantizer")
        for scale in self.scales:
            _require(0 < scale < math.inf, f"calibration.scales must be above 0, and finite, not {scale:g}")


@dataclass
class ReconstructionConfig:
    """How rounding is learned after the walk; see ``swis.reconstruct.Reconstruction``."""

    steps: int = 200
    rate: float = 0.003

    def __post_init__(self) -> None:
        _require(self.steps >= 1, f"reconstruction.steps must be at least 1, not {self.steps}")
        _require(0 < self.rate <= 1, f"reconstruction.rate must be in (0, 1], not {self.rate:g}")


@dataclass
class StageConfig:
    """One learning-rate cycle of a training; see ``swis.train.Recipe``."""

    epochs: int = 90
    learning_rate: float = 0.05
    image_sizes: list[int] = field(default_factory=lambda: [224])
    erase: float = 0.0

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, f"recipe.stages: epochs must be at least 1, not {self.epochs}")
        _require(
            self.learning_rate > 0,
            f"recipe.stages: learning_rate must be above 0, not {self.learning_rate:g}",
        )
        _require(
            len(self.image_sizes) > 0 and min(self.image_sizes) > 0,
            f"recipe.stages: image_sizes must be positive side lengths, not {self.image_sizes}",
        )


@dataclass
class RecipeConfig:
    """Training from scratch (task=train), in stages; see ``swis.train.Recipe``."""

    output: str = "checkpoints/${model.label}.safetensors"
    input_size: list[int] = field(default_factory=lambda: [3, 224, 224])
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    stages: list[StageConfig] = field(default_factory=lambda: [StageConfig()])
    average: int = 1
    batch_size: int = 64
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    shift: float = 0.08
    precision: Precision = Precision.float32

    def __post_init__(self) -> None:
        _require(self.batch_size >= 2, f"recipe.batch_size must be at least 2, not {self.batch_size}")
        _require(0 < self.momentum < 1, f"recipe.momentum must be between 0 and 1, not {self.momentum:g}")
        _require(len(self.stages) > 0, "recipe.stages is empty; a training has at least one")
        _require(
            1 <= self.average <= len(self.stages),
            f"recipe.average must be in 1..{len(self.stages)} (the stages), not {self.average}",
        )


@dataclass
class ScheduleConfig:
    """How a budget of shifts is spent over filters; see ``swis.schedule.Schedule``."""

    policy: Policy = Policy.uniform
    scope: Scope = Scope.layer
    price: Price = Price.weights
    sensitivity: bool = False
    images: int = 64
    probe: int = 3
    multiple: int = 1
    filters_per_tile: int = 1
    reorder: bool = True
    min: int = 1
    max: int | None = None
    depthwise: int | None = None
    first: int | None = None

    def __post_init__(self) -> None:
        for name in ("images", "probe", "multiple", "filters_per_tile", "min", "max", "depthwise", "first"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"schedule.{name} must be at least 1, not {value}")
        _require(
            self.max is None or self.min <= self.max,
            f"schedule.min={self.min} is more than schedule.max={self.max}",
        )

    @property
    def label(self) -> str:
        """The name of the policy in tables; "network" is the optimal one over layers by sensitivity."""
        if self.scope is Scope.layer:
            return str(self.policy)
        if self.policy is Policy.optimal and self.sensitivity:
            return "network"
        return f"{self.policy} over layers"


_OF_THE_FILE = (
    *("methods", "bits", "group_size", "alpha", "selection", "magnitude_bits", "granularity", "clip"),
    *("skip", "fold_bn", "rewrites", "activation_bits", "schedule", "calibrate", "activation", "coding"),
)


@dataclass
class Config:
    """Everything one run needs; conf/config.yaml holds the defaults with a line on each."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    task: Task = Task.evaluate
    methods: list[Method] = field(default_factory=lambda: list(Method))
    bits: float = 2
    group_size: int = 4
    alpha: float = 1.0
    selection: Selection = Selection.nearest
    magnitude_bits: int = 7
    granularity: Granularity = Granularity.channel
    clip: Clip = Clip.absmax
    skip: list[str] = field(default_factory=list)
    fold_bn: bool = False
    rewrites: list[Rewrite] = field(default_factory=list)
    activation_bits: int | None = 8
    calibrate: Calibrate = Calibrate.none
    activation: ActivationConfig = field(default_factory=ActivationConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    reconstruction: ReconstructionConfig = field(default_factory=ReconstructionConfig)
    seed: int = 0
    batch_size: int | None = None
    device: str = "auto"
    results_dir: str = "results/runs"
    force: bool = False
    weights: str | None = None
    out: str | None = None
    coding: Coding = Coding.plain

    def __post_init__(self) -> None:
        b = self.magnitude_bits
        _require(4 <= b <= 8, f"magnitude_bits must be in 4..8, not {b}")
        _require(math.isfinite(self.bits), f"bits must be a number in 1..{b}, not {self.bits}")
        _require(1 <= self.bits <= b, f"bits (shifts) must be in 1..{b} (magnitude_bits), not {self.bits:g}")
        for name in ("probe", "min", "max", "depthwise", "first"):
            value = getattr(self.schedule, name)
            _require(value is None or value <= b, f"schedule.{name} must be in 1..{b}, not {value}")
        _require(self.group_size >= 1, f"group_size must be at least 1, not {self.group_size}")
        _require(0 <= self.alpha < math.inf, f"alpha must be at least 0, and finite, not {self.alpha:g}")
        _require(
            self.selection is Selection.nearest or self.group_size <= 64,
            f"selection=joint is for group_size up to 64, not {self.group_size}",
        )
        _require(len(self.methods) > 0, f"methods is empty; name at least one of {', '.join(Method)}")
        _require(
            not self.rewrites or self.fold_bn,
            f"rewrites={[*map(str, self.rewrites)]} needs folded batch normalisation: add fold_bn=true",
        )
        _require(
            self.activation_bits is None or 2 <= self.activation_bits <= 16,
            f"activation_bits must be in 2..16, or null for weights only, not {self.activation_bits}",
        )
        _require(
            self.task not in (Task.pack, Task.storage) or self.out is not None,
            f"task={self.task} needs out=FILE, the file to write",
        )
        _require(
            self.weights is None or self.task is Task.evaluate,
            "weights=FILE, a packed network, goes with task=evaluate",
        )
        if self.weights is not None:
            for known in fields(self):
                default = known.default if known.default_factory is NO_DEFAULT else known.default_factory()
                _require(
                    known.name not in _OF_THE_FILE or getattr(self, known.name) == default,
                    f"a packed file has its own {known.name}; leave it out beside weights=FILE",
                )
        _require(
            self.batch_size is None or self.batch_size >= 1,
            f"batch_size must be at least 1, or null, not {self.batch_size}",
        )
        _require(0 <= self.seed < 2**63, f"seed must be in 0..2^63 - 1, not {self.seed}")

    @property
    def needs_calibration(self) -> bool:
        """Whether unlabelled images are needed beside those to measure on."""
        calibrated = self.activation_bits is not None or self.calibrate is not Calibrate.none
        return (calibrated or self.schedule.sensitivity) and self.task is not Task.storage

    @property
    def shifts(self) -> int | float:
        """The shifts N of every group (the command line's ``bits``), a fraction if they are an average."""
        return int(self.bits) if self.bits == int(self.bits) else self.bits

    @property
    def scheduled(self) -> bool:
        """Whether a schedule says how many shifts each filter has, and not ``bits`` alone."""
        return self.bits != int(self.bits) or self.schedule != ScheduleConfig()


def register() -> None:
    """Make the schema known to Hydra, which then checks names and types as it composes."""
    schema = OmegaConf.structured(Config)
    OmegaConf.set_struct(schema.model.kwargs, False)  # model.kwargs.KEY=VALUE needs no leading +
    ConfigStore.instance().store(name="schema", node=schema)


def resolve(composed: Any) -> Config:
    """Turn what Hydra composed into a checked ``Config``; raise ``InputError`` with one line."""
    try:
        return OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise InputError(one_line(error)) from error


def load(overrides: Sequence[str] = ()) -> Config:
    """Compose conf/ with command-line style overrides, for use from Python and notebooks.

    >>> load(["bits=3", "model=resnet18"]).shifts
    3
    """
    from pathlib import Path

    from hydra import compose, initialize_config_dir

    register()
    folder = Path(__file__).parents[1] / "conf"
    if not folder.is_dir():
        raise InputError(f"there is no {folder}; work in a clone, set up by make or pip install -e .")
    with initialize_config_dir(str(folder), version_base="1.3"):
        return resolve(compose("config", list(overrides)))


def one_line(error: Exception) -> str:
    """Squeeze an exception of Hydra or OmegaConf, and what caused it, into one line."""
    noise = ("full_key:", "object_type=", "reference_type=")
    text = f"{error}\n{error.__cause__ or ''}"
    lines = [line.strip() for line in text.splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith(noise))
