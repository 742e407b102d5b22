"""The groups of the configuration: their fields and their ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from swis.errors import InputError
from swis.options.choices import (
    ActivationRange,
    ClassOrder,
    CropMode,
    Damaged,
    Interpolation,
    Optimizer,
    Order,
    Policy,
    Precision,
    Price,
    Scope,
)
from swis.options.ranges import above_zero, at_least, least_and_most, within


def require(holds: bool, message: str) -> None:
    if not holds:
        raise InputError(message)


def _named(group: str, settings: Any, *names: str) -> dict[str, Any]:
    """Return the values of some fields of a group, by their names on the command line."""
    return {f"{group}.{name}": getattr(settings, name) for name in names}


def _check_inputs(group: str, settings: ModelConfig | RecipeConfig) -> None:
    """Raise ``InputError`` if the size, mean and standard deviation of images cannot be right."""
    size, mean, std = settings.input_size, settings.mean, settings.std
    require(
        size is None or (len(size) == 3 and min(size) > 0),
        f"{group}.input_size must be [channels, height, width], all positive, not {size}",
    )
    require(
        mean is None or (len(mean) > 0 and all(map(math.isfinite, mean))),
        f"{group}.mean must be finite numbers, one of each channel, not {mean}",
    )
    require(
        std is None or (len(std) > 0 and all(0 < value < math.inf for value in std)),
        f"{group}.std must be above 0, and finite, one of each channel, not {std}",
    )


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
        _check_inputs("model", self)
        within(0, 1, "(]", **_named("model", self, "crop_pct"))


@dataclass
class DataConfig:
    """Which images: a split to measure on and a split to calibrate on."""

    name: str = MISSING
    root: str | None = None
    download: bool = False
    split: str = MISSING
    calibration_split: str = MISSING
    limit: int | None = None
    damaged: Damaged = Damaged.refuse
    class_order: ClassOrder | None = None
    workers: int = 2

    def __post_init__(self) -> None:
        at_least(1, **_named("data", self, "limit"))
        at_least(0, **_named("data", self, "workers"))
        require(
            self.class_order is None or self.name == "image_folder",
            f"data.class_order is for data=image_folder; {self.name} has an order of its own",
        )


@dataclass
class ActivationConfig:
    """How the range of 8-bit activations is found on the calibration images."""

    range: ActivationRange = ActivationRange.minmax
    percentile: float = 99.9

    def __post_init__(self) -> None:
        within(50, 100, "(]", **_named("activation", self, "percentile"))


@dataclass
class CalibrationConfig:
    """Unlabelled images, and how weights are chosen on them; see ``swis.calibration.output_aware``."""

    images: int = 256
    damping: float = 0.1
    positions: int = 65536
    rounds: int = 3
    order: Order = Order.filter
    asymmetric: bool = True
    scales: list[float] = field(default_factory=lambda: [0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5])

    def __post_init__(self) -> None:
        at_least(1, **_named("calibration", self, "images", "positions"))
        at_least(0, **_named("calibration", self, "rounds"))
        above_zero(**_named("calibration", self, "damping"))
        require(len(self.scales) > 0, "calibration.scales is empty; [1.0] keeps the scale of the quantizer")
        for scale in self.scales:
            above_zero(**{"calibration.scales": scale})


@dataclass
class ReconstructionConfig:
    """How rounding is learned after the walk; see ``swis.calibration.block_reconstruction``."""

    steps: int = 200
    rate: float = 0.003

    def __post_init__(self) -> None:
        at_least(1, **_named("reconstruction", self, "steps"))
        within(0, 1, "(]", **_named("reconstruction", self, "rate"))


@dataclass
class RetrainConfig:
    """Retraining (task=retrain); see ``swis.training.qat`` and ``swis.training.parametrization``."""

    split: str | None = None
    images: int | None = None
    epochs: int = 10
    batch_size: int = 64
    optimizer: Optimizer = Optimizer.sgd
    learning_rate: float = 0.01
    scale_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: float = 0.05
    label_smoothing: float = 0.0
    distillation: float = 0.0
    temperature: float = 1.0
    dampening: float = 0.0
    shift: float = 0.0
    erase: float = 0.0
    mirror: bool = True
    precision: Precision = Precision.float32
    refresh: int | str | None = 1
    learned_scale: bool = True
    threshold: float | None = None
    averaging: float = 0.01
    reestimate: bool = True

    def __post_init__(self) -> None:
        at_least(1, **_named("retrain", self, "epochs"))
        at_least(2, **_named("retrain", self, "images", "batch_size"))
        steps = self.refresh
        require(
            steps in ("epoch", None) or (isinstance(steps, int) and steps >= 1),
            f"retrain.refresh must be at least 1 step, or epoch, or null, not {steps}",
        )
        above_zero(**_named("retrain", self, "learning_rate", "temperature"))
        at_least(0, **_named("retrain", self, "scale_rate", "weight_decay", "dampening"))
        within(0, 1, **_named("retrain", self, "warmup", "label_smoothing", "distillation", "erase"))
        within(0, 1, "[)", **_named("retrain", self, "momentum", "threshold"))
        within(0, 0.5, "[)", **_named("retrain", self, "shift"))
        within(0, 1, "(]", **_named("retrain", self, "averaging"))


@dataclass
class StageConfig:
    """One learning-rate cycle of a training; see ``swis.training.float_training.Recipe``."""

    epochs: int = 90
    learning_rate: float = 0.05
    image_sizes: list[int] = field(default_factory=lambda: [224])
    erase: float = 0.0

    def __post_init__(self) -> None:
        at_least(1, **_named("recipe.stages", self, "epochs"))
        above_zero(**_named("recipe.stages", self, "learning_rate"))
        within(0, 1, **_named("recipe.stages", self, "erase"))
        require(
            len(self.image_sizes) > 0 and min(self.image_sizes) > 0,
            f"recipe.stages.image_sizes must be positive side lengths, not {self.image_sizes}",
        )
        require(
            len(self.image_sizes) <= self.epochs,
            f"recipe.stages.epochs={self.epochs} is too few for {len(self.image_sizes)} image_sizes",
        )


@dataclass
class RecipeConfig:
    """Training in stages (task=train), from scratch or from weights; see ``swis.training.float_training``."""

    finetune: bool = False
    output: str = "checkpoints/${model.label}.safetensors"
    input_size: list[int] = field(default_factory=lambda: [3, 224, 224])
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    stages: list[StageConfig] = field(default_factory=lambda: [StageConfig()])
    average: int = 1
    batch_size: int = 64
    momentum: list[float] = field(default_factory=lambda: [0.85, 0.95])
    weight_decay: float = 5e-4
    label_smoothing: float = 0.05
    shift: float = 0.08
    precision: Precision = Precision.float32

    def __post_init__(self) -> None:
        _check_inputs("recipe", self)
        at_least(2, **_named("recipe", self, "batch_size"))
        least_and_most(**_named("recipe", self, "momentum"))
        at_least(0, **_named("recipe", self, "weight_decay"))
        within(0, 1, **_named("recipe", self, "label_smoothing"))
        within(0, 0.5, "[)", **_named("recipe", self, "shift"))
        require(len(self.stages) > 0, "recipe.stages is empty; a training has at least one")
        require(
            1 <= self.average <= len(self.stages),
            f"recipe.average must be in 1..{len(self.stages)} (the stages), not {self.average}",
        )


@dataclass
class ScheduleConfig:
    """How a budget of shifts is spent over filters; see ``swis.scheduling.allocation.Schedule``."""

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
        at_least(1, **_named("schedule", self, "images", "probe", "multiple", "filters_per_tile"))
        at_least(1, **_named("schedule", self, "min", "max", "depthwise", "first"))
        require(
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
