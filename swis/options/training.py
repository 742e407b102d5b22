"""The options of training: retraining of quantized networks, and training of float networks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from swis.options.choices import Optimizer, Precision
from swis.options.model import check_inputs
from swis.options.names import require_known
from swis.options.option import option
from swis.options.ranges import above_zero, at_least, least_and_most, named, require, within


@dataclass
class Retraining:
    """Options of retraining; all learning rates follow a cosine to zero.

    ``scale_rate`` is the learning rate of learned scales. ``momentum`` is that of SGD (Nesterov). ``warmup``
    is the share of all steps in which learning rates grow from zero. The loss is (1 - ``distillation``) x
    cross-entropy with ``label_smoothing`` + ``distillation`` x KL divergence from the float network's
    probabilities at ``temperature``; with ``distillation`` 1 no labels are used. ``dampening`` is the final
    weight of the squared distances between weights and their levels; it grows from zero on a cosine.
    ``translate``, ``random_erasing`` and ``hflip`` are arguments of ``augment``. ``reestimate``: the
    statistics of batch normalisation are measured again at the end. Raises ``InputError`` for a value out of
    range.
    """

    epochs: int = 10
    batch_size: int = 64
    optimizer: Optimizer = Optimizer.sgd
    learning_rate: float = 0.01
    scale_rate: float = 0.01
    momentum: float = option(0.9, counts=lambda own: own.optimizer == Optimizer.sgd)
    weight_decay: float = 1e-4
    warmup: float = 0.05
    label_smoothing: float = option(0.0, counts=lambda own: own.distillation < 1)
    distillation: float = 0.0
    temperature: float = option(1.0, counts=lambda own: own.distillation > 0)
    dampening: float = 0.0
    translate: float = option(0.0, formerly="shift")
    random_erasing: float = option(0.0, formerly="erase")
    hflip: bool = option(True, formerly="mirror", younger=True)
    precision: Precision = Precision.float32
    reestimate: bool = True

    def __post_init__(self) -> None:
        require_known("retrain.optimizer", self.optimizer, Optimizer)
        require_known("retrain.precision", self.precision, Precision)
        at_least(1, **named("retrain", self, "epochs"))
        at_least(2, **named("retrain", self, "batch_size"))
        above_zero(**named("retrain", self, "learning_rate", "temperature"))
        at_least(0, **named("retrain", self, "scale_rate", "weight_decay", "dampening"))
        within(0, 1, **named("retrain", self, "warmup", "label_smoothing", "distillation", "random_erasing"))
        within(0, 1, "[)", **named("retrain", self, "momentum"))
        within(0, 0.5, "[)", **named("retrain", self, "translate"))


@dataclass
class LatentTraining:
    """Options of how codes, scales and shift sets change while the weights are trained.

    ``set_update_interval`` [steps]: how often shift sets are chosen again (None: never). ``learned_scale``:
    scales are trained. ``freeze_threshold`` [oscillations per step]: a code that oscillates more often than
    this, on an exponential moving average, is frozen (None: no code is). ``ema_momentum``: the weight of the
    newest step in that average. Raises ``InputError`` for a value out of range.
    """

    set_update_interval: int | None = option(1, formerly="refresh")
    learned_scale: bool = True
    freeze_threshold: float | None = option(None, formerly="threshold")
    ema_momentum: float = option(
        0.01, formerly="averaging", counts=lambda own: own.freeze_threshold is not None
    )

    _words: ClassVar[tuple[str, ...]] = ()  # the words that set_update_interval accepts

    def __post_init__(self) -> None:
        steps: int | str | None = self.set_update_interval
        require(
            steps in (None, *self._words) or (isinstance(steps, int) and steps >= 1),
            f"retrain.set_update_interval must be a number of steps from 1, epoch or null, not {steps}",
        )
        within(0, 1, "[)", **named("retrain", self, "freeze_threshold"))
        within(0, 1, "(]", **named("retrain", self, "ema_momentum"))


@dataclass
class RetrainConfig(LatentTraining, Retraining):
    """Options of task=retrain, with the images to train on.

    ``split`` null is ``data.calibration_split``; ``images`` null is all images of the split.
    ``set_update_interval`` may also be "epoch": as many steps as an epoch has.
    """

    # "epoch" becomes a number before training starts
    set_update_interval: int | str | None = option(1, formerly="refresh")  # type: ignore[assignment]
    _words = ("epoch",)
    scale_rate: float = option(0.01, counts=lambda own: own.learned_scale)
    split: str | None = option(None, counts=False)  # a row's identity has the images' contents instead
    images: int | None = option(None, counts=False)

    def __post_init__(self) -> None:
        Retraining.__post_init__(self)
        LatentTraining.__post_init__(self)
        at_least(2, **named("retrain", self, "images"))


@dataclass
class Stage:
    """A stage of training: one cycle of the learning rate.

    ``image_sizes`` splits the epochs into equal parts, each with its own side length of the images [pixels]
    (progressive resizing: small images first, the evaluation size last). ``random_erasing`` is the
    probability that a patch of an image is erased. Raises ``InputError`` for a value out of range.
    """

    epochs: int = 90  # passes over the images
    learning_rate: float = 0.05  # largest learning rate of the stage
    # sides [pixels]; each has an equal part of the epochs
    image_sizes: list[int] = field(default_factory=lambda: [224])
    random_erasing: float = option(0.0, formerly="erase")  # probability of erasing a patch of an image

    def __post_init__(self) -> None:
        at_least(1, **named("recipe.stages", self, "epochs"))
        above_zero(**named("recipe.stages", self, "learning_rate"))
        within(0, 1, **named("recipe.stages", self, "random_erasing"))
        require(
            len(self.image_sizes) > 0 and min(self.image_sizes) > 0,
            f"recipe.stages.image_sizes must be positive side lengths, not {self.image_sizes}",
        )
        require(
            len(self.image_sizes) <= self.epochs,
            f"recipe.stages.epochs={self.epochs} is too few for {len(self.image_sizes)} image_sizes",
        )


@dataclass
class FloatTraining:
    """Options of training a float network: SGD with Nesterov momentum, one learning-rate cycle per stage.

    ``momentum`` is [least, most]. It falls while the learning rate rises, and rises while it falls (1cycle
    policy, L. N. Smith, 2018). ``translate`` is the largest translation of an image, as a fraction of its
    side. Raises ``InputError`` for a value out of range.
    """

    batch_size: int = 64  # images of a step
    momentum: list[float] = field(default_factory=lambda: [0.85, 0.95])  # least and most momentum
    weight_decay: float = 5e-4  # decay of all weights
    label_smoothing: float = 0.05  # share of a label's probability that all classes get
    # largest translation of images, as a fraction of their side
    translate: float = option(0.08, formerly="shift")
    precision: Precision = Precision.float32  # float32, bfloat16 (autocast)

    def __post_init__(self) -> None:
        require_known("recipe.precision", self.precision, Precision)
        at_least(2, **named("recipe", self, "batch_size"))
        least_and_most(**named("recipe", self, "momentum"))
        at_least(0, **named("recipe", self, "weight_decay"))
        within(0, 1, **named("recipe", self, "label_smoothing"))
        within(0, 0.5, "[)", **named("recipe", self, "translate"))


@dataclass
class RecipeConfig(FloatTraining):
    """Options of task=train: training in stages, from random weights or, with ``finetune``, from given ones.

    The result is the mean of the weights at the ends of the last ``average`` stages.
    """

    finetune: bool = False  # true: training starts from the model's weights
    output: str = "checkpoints/${model.label}.safetensors"  # the file that is written
    # [channels, height, width] of an image
    input_size: list[int] = field(default_factory=lambda: [3, 224, 224])
    # mean of each channel, subtracted from images
    mean: list[float] = field(default_factory=lambda: [0.485, 0.456, 0.406])
    # standard deviation of each channel
    std: list[float] = field(default_factory=lambda: [0.229, 0.224, 0.225])
    # cycles of the learning rate, one after the other
    stages: list[Stage] = field(default_factory=lambda: [Stage()])
    average: int = 1  # stages at the end whose weights are averaged

    def __post_init__(self) -> None:
        super().__post_init__()
        check_inputs("recipe", self)
        require(len(self.stages) > 0, "recipe.stages is empty; it must have at least one stage")
        require(
            1 <= self.average <= len(self.stages),
            f"recipe.average must be in 1..{len(self.stages)} (the number of stages), not {self.average}",
        )
