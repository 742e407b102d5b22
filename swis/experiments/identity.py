"""What a row depends on, and what is known of it before it is computed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from swis.data.image_sets import Split
from swis.experiments.config import Config
from swis.experiments.shared_images import apart, in_both
from swis.formats.weight_format import WeightFormat
from swis.networks.models import Network
from swis.options.choices import Optimizer
from swis.options.ranges import require
from swis.results import records
from swis.training.parametrization import LatentTraining
from swis.training.qat import Retraining

# Columns of a row that are null where the row's numbers do not depend on them.
_FORM_COLUMNS = (
    *("group_size", "alpha", "magnitude_bits", "granularity", "clip"),
    *("activation_bits", "activation_range"),
)


@dataclass(frozen=True)
class Facts:
    """The facts of a study: its configuration, network and images.

    ``split`` is measured on; images of ``calibration`` and ``training`` change what is measured. Those that
    are measured on as well are left out of these, unless they are most of them or may be calibrated on.
    """

    config: Config
    network: Network
    split: Split | None
    calibration: Split | None
    training: Split | None
    skip: frozenset[str]

    def __post_init__(self) -> None:
        if self.split is None:
            return
        if self.calibration is not None and not self.config.allow_calibration_on_test:
            object.__setattr__(self, "calibration", apart(self.calibration, self.split))
        if self.training is not None:
            object.__setattr__(self, "training", apart(self.training, self.split))

    @cached_property
    def sensitivity_images(self) -> Split | None:
        """The images that a schedule by sensitivity looks at."""
        settings = self.config.schedule
        return self.calibration.sample(settings.images, self.config.seed) if settings.sensitivity else None

    @cached_property
    def calibrates_on_test(self) -> bool:
        """Whether images to calibrate on are of the split that is measured, or among its images."""
        if self.split is None or self.calibration is None:
            return False
        named_alike = self.config.data.calibration_split == self.config.data.split
        return named_alike or in_both(self.split, self.calibration) > 0

    def check_apart(self) -> None:
        """Raise ``InputError`` if images to measure on are trained or, unless allowed, calibrated on."""
        config = self.config
        require(
            config.allow_calibration_on_test or not self.calibrates_on_test,
            "images to measure on are among those of data.calibration_split="
            f"{config.data.calibration_split}; choose another, or allow_calibration_on_test=true",
        )
        require(
            self.split is None or self.training is None or not in_both(self.split, self.training),
            "images to measure on are among those to train on; choose another retrain.split",
        )
        if self.training is not None and self.training.shared:
            batch, left = config.retrain.batch_size, len(self.training)
            require(
                left >= batch,
                f"{left} images that are not measured on do not fill a batch of retrain.batch_size={batch}",
            )

    @property
    def image_facts(self) -> dict[str, Any]:
        """What a schedule depends on if it looks at images."""
        images = self.sensitivity_images
        return {} if images is None else {"inputs": self.network.inputs, "images": images.digest}

    def science(self, form: WeightFormat) -> dict[str, Any]:
        """Return all that a row's numbers depend on, and nothing else (no path, no device)."""
        config = self.config
        facts: dict[str, Any] = {
            "network": self.network.digest,
            "inputs": self.network.inputs,
            "data": None if self.split is None else self.split.digest,
            "method": form.name,
        }
        if not form.quantized:
            return facts
        if own := form.own_settings():
            facts["format"] = own
        facts |= {
            "granularity": form.granularity,
            "skip": sorted(self.skip),
            "fold_bn": config.fold_bn,
            "activation_bits": config.activation_bits,
            **rewrite_facts(config),
        }
        if config.activation_bits is not None:
            facts |= {"activation_range": config.activation.range, "calibration": self.calibration.digest}
            if config.activation.range == "percentile":
                facts["activation_percentile"] = config.activation.percentile
        # of the quantizer in front of the levels, of skipped layers, of what losses are measured against
        if not form.own_quantizer or self.skip or config.scheduled:
            facts |= {"magnitude_bits": form.magnitude_bits, "clip": form.clip}
        if form.has_shifts:
            facts["shifts"] = form.shifts
            if config.scheduled:
                facts["schedule"] = self._schedule_facts()
                if form.on_codes and not form.grouped:  # scheduled by their metric
                    facts["schedule"] |= {"group_size": form.group_size, "alpha": form.alpha}
            if config.is_calibrated:
                facts |= {"calibrate": config.calibrate, "calibration": self.calibration.digest}
                kind = config.calibration_kind
                for name, group in kind.settings.items():
                    seed = {"seed": config.seed} if name in kind.seeded else {}
                    facts[name] = asdict(getattr(config, group)) | seed
            if config.retrains:
                facts["retrain"] = self._retrain_facts(form)
        if form.grouped:
            facts |= {"group_size": form.group_size, "alpha": form.alpha}
            if form.selection != "nearest":
                facts["selection"] = form.selection
        return json.loads(json.dumps(facts))

    def _schedule_facts(self) -> dict[str, Any]:
        settings = asdict(self.config.schedule)
        unused = () if settings["sensitivity"] else ("images", "probe")
        facts = {name: value for name, value in settings.items() if name not in unused}
        return facts | self.image_facts

    def _retrain_facts(self, form: WeightFormat) -> dict[str, Any]:
        settings = self.config.retrain
        known = {field.name for part in (Retraining, LatentTraining) for field in fields(part)}
        without_effect = {
            "refresh": not form.grouped,
            "averaging": settings.threshold is None,
            "temperature": settings.distillation == 0,
            "label_smoothing": settings.distillation == 1,
            "momentum": settings.optimizer == Optimizer.adamw,
            "scale_rate": not settings.learned_scale,
        }
        chosen = {
            name: value
            for name, value in asdict(settings).items()
            if name in known and not without_effect.get(name, False)
        }
        if settings.mirror:
            del chosen["mirror"]  # younger than rows that were trained so
        return chosen | {"images": self.training.digest, "seed": self.config.seed}

    def key(self, form: WeightFormat) -> str:
        """Return the name of a row."""
        return records.row_key(self.science(form))

    def training_key(self, form: WeightFormat) -> str:
        """Return the name of a retraining: that of its rows, whatever images these are measured on."""
        return records.row_key({**self.science(form), "data": None})

    def describe(self, form: WeightFormat) -> dict[str, Any]:
        """Return the columns of a row that are known before it is computed."""
        science = self.science(form)
        return {
            "key": records.row_key(science),
            "model": self.config.model.label,
            "weights": self.network.weights,
            "data": self.split.name,
            "split": self.config.data.split,
            "images": len(self.split),
            "damaged_images": self._damaged(science),
            "method": form.name,
            "bits": science.get("shifts"),
            "skip": ",".join(self.config.skip) if "skip" in science else None,
            "fold_bn": science.get("fold_bn", False),
            "rewrites": ",".join(science.get("rewrites", [])),
            "seed": self.config.seed if self._draws(science) else None,
            "config": json.dumps(self._config(science)),
            **{name: science.get(name) for name in _FORM_COLUMNS},
            "selection": form.selection if "group_size" in science else None,
            "calibrate": science.get("calibrate", "none" if "shifts" in science else None),
            "calibration_on_test": True if self.calibrates_on_test and self._calibrates(science) else None,
            "retrain": json.dumps(science["retrain"], sort_keys=True) if "retrain" in science else None,
            "training": self.training_key(form) if "retrain" in science else None,
            **self._describe_schedule(science),
        }

    def _calibrates(self, science: dict[str, Any]) -> bool:
        """Say whether images to calibrate on have a part in a row."""
        return "calibration" in science or "images" in science.get("schedule", {})

    def _damaged(self, science: dict[str, Any]) -> int:
        """Count the images left out of those that a row is measured, calibrated and trained on."""
        return sum(split.damaged for split in (self.split, *self._learned_from(science).values()))

    def _learned_from(self, science: dict[str, Any]) -> dict[str, Split]:
        """Return the images that a row is calibrated and trained on."""
        used = {"calibration": self.calibration} if self._calibrates(science) else {}
        return used | ({"training": self.training} if "retrain" in science else {})

    def _draws(self, science: dict[str, Any]) -> bool:
        """Say whether the seed has a part in a row."""
        return self._calibrates(science) or "retrain" in science or self.config.data.limit is not None

    def _config(self, science: dict[str, Any]) -> dict[str, Any]:
        """Return what of the configuration a row can depend on, the same whichever point computes it."""
        kept = _of_the_row(asdict(self.config), science)
        if not self._draws(science):
            del kept["seed"]
        shared = {
            name: images.shared for name, images in self._learned_from(science).items() if images.shared
        }
        return kept | ({"images_left_out": shared} if shared else {})

    def _describe_schedule(self, science: dict[str, Any]) -> dict[str, Any]:
        if "schedule" not in science:
            return {"schedule": "uniform" if "shifts" in science else None}
        schedule = self.config.schedule
        return {
            "schedule": schedule.label,
            "schedule_price": str(schedule.price),
            "filters_per_tile": schedule.filters_per_tile,
            "shift_multiple": schedule.multiple,
        }


def rewrite_facts(config: Config) -> dict[str, Any]:
    """Return the rewrites of the folded network, if there are any."""
    return {"rewrites": config.rewrites} if config.rewrites else {}


# What plays no part in a row: hardware has results of its own, and how it was computed changes no number.
_OF_NO_ROW = (
    *("accelerator", "energy", "versus", "per_layer", "methods", "results_dir", "device"),
    *("sweep", "sweep_started", "minutes", "dry_run", "force", "threads", "out", "coding", "workload"),
    "allow_calibration_on_test",
)
_OF_GROUPS = ("group_size", "alpha", "selection")
_OF_SHIFTS = ("bits", "schedule", "calibrate", "retrained", "task")
_OF_FEW_BITS = (
    *("magnitude_bits", "granularity", "clip", "skip", "fold_bn", "rewrites"),
    *("activation_bits", "activation", "calibration"),
)
_IF_NAMED = ("magnitude_bits", "clip", "reconstruction", "retrain")


def _of_the_row(config: dict[str, Any], science: dict[str, Any]) -> dict[str, Any]:
    """Return what of a configuration has an effect on a row of that kind."""
    without = {*_OF_NO_ROW, *(name for name in _IF_NAMED if name not in science)}
    if "group_size" not in science and "schedule" not in science:
        without.update(_OF_GROUPS)
    if "shifts" not in science:
        without.update(_OF_SHIFTS)
    if "granularity" not in science:  # weights stay float
        without.update(_OF_FEW_BITS)
    kept = {name: value for name, value in config.items() if name not in without}
    kept["data"] = {name: value for name, value in kept["data"].items() if name != "workers"}
    if "calibration" in kept and "output_aware" not in science:
        kept["calibration"] = {"images": kept["calibration"]["images"]}
    return kept
