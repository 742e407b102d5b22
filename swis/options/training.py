"""The options of training: retraining in a format, and from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field

from swis.options.choices import Optimizer, Precision
from swis.options.model import check_inputs
from swis.options.names import require_known
from swis.options.ranges import above_zero, at_least, least_and_most, named, require, within


@dataclass
class Retraining:
    """How a network of few bits is trained: an optimizer under a cosine from the learning rates to zero.

    ``scale_rate`` is the learning rate of learned scales; ``momentum`` is SGD's (Nesterov); ``warmup`` the
    share of all steps in which the rates grow from zero. The loss is (1 - ``distillation``) x cross-entropy
    with ``label_smoothing`` + ``distillation`` x KL divergence from the float network's probabilities at
    ``temperature``; at 1 no labels are used. ``dampening`` is the weight that the distance of weights from
    their levels has at the end, after a cosine from zero. ``shift``, ``erase`` and ``mirror`` are those of
    ``augment``. ``reestimate``: the statistics of batch normalisations are those of the last weights.
    """

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
    reestimate: bool = True

    def __post_init__(self) -> None:
        require_known("retrain.optimizer", self.optimizer, Optimizer)
        require_known("retrain.precision", self.precision, Precision)
        at_least(1, **named("retrain", self, "epochs"))
        at_least(2, **named("retrain", self, "batch_size"))
        above_zero(**named("retrain", self, "learning_rate", "temperature"))
        at_least(0, **named("retrain", self, "scale_rate", "weight_decay", "dampening"))
        within(0, 1, **named("retrain", self, "warmup", "label_smoothing", "distillation", "erase"))
        within(0, 1, "[)", **named("retrain", self, "momentum"))
        within(0, 0.5, "[)", **named("retrain", self, "shift"))


@dataclass
class LatentTraining:
    """What of a format is trained beside the weights.

    Shift sets are chosen anew every ``refresh`` steps, or never (None); ``learned_scale``: scales are
    parameters. A code that turns back more often than ``threshold`` [turns per step] on a moving
    average of ``averaging`` (the share of the newest step) is frozen; None: none is.
    """

    refresh: int | None = 1
    learned_scale: bool = True
    threshold: float | None = None
    averaging: float = 0.01

    _words = ()  # that refresh may be beside a number

    def __post_init__(self) -> None:
        steps = self.refresh
        require(
            steps in (None, *self._words) or (isinstance(steps, int) and steps >= 1),
            f"retrain.refresh must be at least 1 step, or epoch, or null, not {steps}",
        )
        within(0, 1, "[)", **named("retrain", self, "threshold"))
        within(0, 1, "(]", **named("retrain", self, "averaging"))


@dataclass
class RetrainConfig(LatentTraining, Retraining):
    """Retraining (task=retrain), and the images to train on (null: all of the calibration's split).

    ``refresh`` may be "epoch": as many steps as an epoch has.
    """

    refresh: int | str | None = 1
    _words = ("epoch",)
    split: str | None = None
    images: int | None = None

    def __post_init__(self) -> None:
        Retraining.__post_init__(self)
        LatentTraining.__post_init__(self)
        at_least(2, **named("retrain", self, "images"))


@dataclass
class StageConfig:
    """One learning-rate cycle of a training; see ``swis.training.float_training.Recipe``."""

    epochs: int = 90
    learning_rate: float = 0.05
    image_sizes: list[int] = field(default_factory=lambda: [224])
    erase: float = 0.0

    def __post_init__(self) -> None:
        at_least(1, **named("recipe.stages", self, "epochs"))
        above_zero(**named("recipe.stages", self, "learning_rate"))
        within(0, 1, **named("recipe.stages", self, "erase"))
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
        check_inputs("recipe", self)
        at_least(2, **named("recipe", self, "batch_size"))
        least_and_most(**named("recipe", self, "momentum"))
        at_least(0, **named("recipe", self, "weight_decay"))
        within(0, 1, **named("recipe", self, "label_smoothing"))
        within(0, 0.5, "[)", **named("recipe", self, "shift"))
        require(len(self.stages) > 0, "recipe.stages is empty; a training has at least one")
        require(
            1 <= self.average <= len(self.stages),
            f"recipe.average must be in 1..{len(self.stages)} (the stages), not {self.average}",
        )
