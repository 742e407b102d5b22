"""The groups of the configuration: their fields and their ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from swis.choices import (
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
from swis.errors import InputError


def require(holds: bool, message: str) -> None:
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
        require(
            self.input_size is None or (len(self.input_size) == 3 and min(self.input_size) > 0),
            f"model.input_size must be [channels, height, width], all positive, not {self.input_size}",
        )
        require(
            self.mean is None or (len(self.mean) > 0 and all(map(math.isfinite, self.mean))),
            f"model.mean must be finite numbers, one of each channel, not {self.mean}",
        )
        require(
            self.std is None or (len(self.std) > 0 and all(0 < value < math.inf for value in self.std)),
            f"model.std must be above 0, and finite, one of each channel, not {self.std}",
        )
        require(
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
    damaged: Damaged = Damaged.refuse
    class_order: ClassOrder | None = None
    workers: int = 2

    def __post_init__(self) -> None:
        require(
            self.limit is None or self.limit >= 1, f"data.limit must be at least 1 image, not {self.limit}"
        )
        require(
            self.class_order is None or self.name == "image_folder",
            f"data.class_order is for data=image_folder; {self.name} has an order of its own",
        )
        require(self.workers >= 0, f"data.workers must be at least 0, not {self.workers}")


@dataclass
class ActivationConfig:
    """How the range of 8-bit activations is found on the calibration images."""

    range: ActivationRange = ActivationRange.minmax
    percentile: float = 99.9

    def __post_init__(self) -> None:
        require(
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
        require(self.images >= 1, f"calibration.images must be at least 1, not {self.images}")
        require(
            0 < self.damping < math.inf,
            f"calibration.damping must be above 0, and finite, not {self.damping:g}",
        )
        require(self.positions >= 1, f"calibration.positions must be at least 1, not {self.positions}")
        require(self.rounds >= 0, f"calibration.rounds must be at least 0, not {self.rounds}")
        require(len(self.scales) > 0, "calibration.scales is empty; [1.0] keeps the scale of the quantizer")
        for scale in self.scales:
            require(0 < scale < math.inf, f"calibration.scales must be above 0, and finite, not {scale:g}")


@dataclass
class ReconstructionConfig:
    """How rounding is learned after the walk; see ``swis.reconstruct.Reconstruction``."""

    steps: int = 200
    rate: float = 0.003

    def __post_init__(self) -> None:
        require(self.steps >= 1, f"reconstruction.steps must be at least 1, not {self.steps}")
        require(0 < self.rate <= 1, f"reconstruction.rate must be in (0, 1], not {self.rate:g}")


@dataclass
class RetrainConfig:
    """Retraining (task=retrain); see ``swis.retrain.Retraining`` and ``swis.latent.LatentTraining``."""

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
        for name, least in (("images", 2), ("epochs", 1), ("batch_size", 2)):
            value = getattr(self, name)
            require(value is None or value >= least, f"retrain.{name} must be at least {least}, not {value}")
        steps = self.refresh
        require(
            steps in ("epoch", None) or (isinstance(steps, int) and steps >= 1),
            f"retrain.refresh must be at least 1 step, or epoch, or null, not {steps}",
        )
        for name in ("learning_rate", "temperature"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"retrain.{name} must be above 0, and finite, not {value:g}")
        for name in ("scale_rate", "weight_decay", "dampening"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"retrain.{name} must be at least 0, and finite, not {value:g}")
        for name in ("warmup", "label_smoothing", "distillation", "erase"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"retrain.{name} must be in [0, 1], not {value:g}")
        require(0 <= self.momentum < 1, f"retrain.momentum must be in [0, 1), not {self.momentum:g}")
        require(0 <= self.shift < 0.5, f"retrain.shift must be in [0, 0.5), not {self.shift:g}")
        require(0 < self.averaging <= 1, f"retrain.averaging must be in (0, 1], not {self.averaging:g}")
        require(
            self.threshold is None or 0 <= self.threshold < 1,
            f"retrain.threshold must be in [0, 1), or null, not {self.threshold}",
        )


@dataclass
class StageConfig:
    """One learning-rate cycle of a training; see ``swis.train.Recipe``."""

    epochs: int = 90
    learning_rate: float = 0.05
    image_sizes: list[int] = field(default_factory=lambda: [224])
    erase: float = 0.0

    def __post_init__(self) -> None:
        require(self.epochs >= 1, f"recipe.stages: epochs must be at least 1, not {self.epochs}")
        require(
            0 < self.learning_rate < math.inf,
            f"recipe.stages: learning_rate must be above 0, and finite, not {self.learning_rate:g}",
        )
        require(0 <= self.erase <= 1, f"recipe.stages: erase must be in [0, 1], not {self.erase:g}")
        require(
            len(self.image_sizes) > 0 and min(self.image_sizes) > 0,
            f"recipe.stages: image_sizes must be positive side lengths, not {self.image_sizes}",
        )
        require(
            len(self.image_sizes) <= self.epochs,
            f"recipe.stages: {self.epochs} epochs are too few for {len(self.image_sizes)} image_sizes",
        )


@dataclass
class RecipeConfig:
    """Training (task=train) from scratch, or from ``model.weights``, in stages; see ``swis.train.Recipe``."""

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
        require(
            len(self.input_size) == 3 and min(self.input_size) > 0,
            f"recipe.input_size must be [channels, height, width], all positive, not {self.input_size}",
        )
        require(
            len(self.mean) > 0 and all(map(math.isfinite, self.mean)),
            f"recipe.mean must be finite numbers, one of each channel, not {self.mean}",
        )
        require(
            len(self.std) > 0 and all(0 < value < math.inf for value in self.std),
            f"recipe.std must be above 0, and finite, one of each channel, not {self.std}",
        )
        require(self.batch_size >= 2, f"recipe.batch_size must be at least 2, not {self.batch_size}")
        require(
            len(self.momentum) == 2 and 0 < self.momentum[0] <= self.momentum[1] < 1,
            f"recipe.momentum must be [least, most] between 0 and 1, not {self.momentum}",
        )
        require(
            0 <= self.weight_decay < math.inf,
            f"recipe.weight_decay must be at least 0, and finite, not {self.weight_decay:g}",
        )
        require(
            0 <= self.label_smoothing <= 1,
            f"recipe.label_smoothing must be in [0, 1], not {self.label_smoothing:g}",
        )
        require(0 <= self.shift < 0.5, f"recipe.shift must be in [0, 0.5), not {self.shift:g}")
        require(len(self.stages) > 0, "recipe.stages is empty; a training has at least one")
        require(
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
            require(value is None or value >= 1, f"schedule.{name} must be at least 1, not {value}")
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
