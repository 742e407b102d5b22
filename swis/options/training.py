"""The options of training: retraining in a format, and from scratch."""

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
    """How a network of few bits is trained: an optimizer under a cosine from the learning rates to zero.

    ``scale_rate`` is the learning rate of learned scales; ``momentum`` is SGD's (Nesterov); ``warmup`` the
    share of all steps in which the rates grow from zero. The loss is (1 - ``distillation``) x cross-entropy
    with ``label_smoothing`` + ``distillation`` x KL divergence from the float network's probabilities at
    ``temperature``; at 1 no labels are used. ``dampening`` is the weight that the distance of weights from
    their levels has at the end, after a cosine from zero. ``translate``, ``random_erasing`` and ``hflip`` are
    those of ``augment``. ``reestimate``: the statistics of batch normalisations are those of the last
    weights.
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
    """What of a format is trained beside the weights.

    Shift sets are chosen anew every ``set_update_interval`` steps, or never (None); ``learned_scale``: scales
    are parameters. A code that turns back more often than ``freeze_threshold`` [turns per step] on a moving
    average of ``ema_momentum`` (the share of the newest step) is frozen; None: none is.
    """

    set_update_interval: int | None = option(1, formerly="refresh")
    learned_scale: bool = True
    freeze_threshold: float | None = option(None, formerly="threshold")
    ema_momentum: float = option(
        0.01, formerly="averaging", counts=lambda own: own.freeze_threshold is not None
    )

    _words: ClassVar[tuple[str, ...]] = ()  # that set_update_interval may be beside a number

    def __post_init__(self) -> None:
        steps: int | str | None = self.set_update_interval
        require(
            steps in (None, *self._words) or (isinstance(steps, int) and steps >= 1),
            f"retrain.set_update_interval must be at least 1 step, or epoch, or null, not {steps}",
        )
        within(0, 1, "[)", **named("retrain", self, "freeze_threshold"))
        within(0, 1, "(]", **named("retrain", self, "ema_momentum"))


@dataclass
class RetrainConfig(LatentTraining, Retraining):
    """Retraining (task=retrain), and the images to train on (null: all of the calibration's split).

    ``set_update_interval`` may be "epoch": as many steps as an epoch has.
    """

    # a word becomes a number before anything is trained
    set_update_interval: int | str | None = option(1, formerly="refresh")  # type: ignore[assignment]
    _words = ("epoch",)
    scale_rate: float = option(0.01, counts=lambda own: own.learned_scale)
    split: str | None = option(None, counts=False)  # images count by what is in them
    images: int | None = option(None, counts=False)

    def __post_init__(self) -> None:
        Retraining.__post_init__(self)
        LatentTraining.__post_init__(self)
        at_least(2, **named("retrain", self, "images"))


@dataclass
class Stage:
    """One cycle of the learning rate, as ``FloatTraining`` describes it.

    ``image_sizes`` splits the epochs into equal parts, each trained at its own side length [pixels]
    (progressive resizing: small images first, the evaluation size last). ``random_erasing`` is the
    probability that a patch of an image is erased.
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
    """How a float network is trained: SGD with Nesterov momentum, one cycle of the learning rate per stage.

    ``momentum`` is the least and the most: it falls from the most while the learning rate rises to that of
    the stage, and rises again while that falls (L. N. Smith, 2018). ``translate`` is the largest translation
    of images as a fraction of their side.
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
    """Training in stages (task=train), from scratch or, with ``finetune``, from weights.

    The written weights are the mean of those at the ends of the last ``average`` stages.
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
        require(len(self.stages) > 0, "recipe.stages is empty; a training has at least one")
        require(
            1 <= self.average <= len(self.stages),
            f"recipe.average must be in 1..{len(self.stages)} (the stages), not {self.average}",
        )
