"""The identity of a row: all that its numbers depend on, and the columns known before it is computed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from swis.data.image_sets import Split
from swis.experiments.config import Config
from swis.experiments.shared_images import apart, in_both
from swis.formats.weight_format import WeightFormat
from swis.networks.models import Network
from swis.options.option import Part, identity, of_part, renamed
from swis.options.ranges import require
from swis.options.training import RetrainConfig
from swis.results import records

# Columns that are null in rows whose numbers do not depend on them.
FORMAT_COLUMNS = ("group_size", "alpha", "magnitude_bits", "granularity", "clip")


@dataclass(frozen=True)
class StudyIdentity:
    """The configuration, network and images of a study.

    ``split`` has the images to measure on. Images of ``calibration`` and ``training`` that are also in
    ``split`` are left out, unless they are more than half of them, or calibration on them is allowed.
    ``held_out`` has images of the calibration split that nothing is learned from, if the run has that option.
    """

    config: Config
    network: Network
    split: Split | None
    calibration: Split | None
    training: Split | None
    held_out: Split | None
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
        """The images that the schedule looks at; None if it looks at none."""
        settings = self.config.schedule
        return (
            self.calibration.sample(settings.images, self.config.seed) if settings.looks_at_images else None
        )

    @cached_property
    def calibrates_on_test(self) -> bool:
        """Whether the calibration set is from the measured split, or has some of the measured images."""
        if self.split is None or self.calibration is None:
            return False
        same_name = self.config.data.calibration_split == self.config.data.split
        return same_name or in_both(self.split, self.calibration) > 0

    def check_apart(self) -> None:
        """Raise ``InputError`` if measured images are used for training or, unless allowed, calibration."""
        config = self.config
        require(
            config.allow_calibration_on_test or not self.calibrates_on_test,
            f"data.calibration_split={config.data.calibration_split} has images that are measured on; "
            "choose another split, or allow_calibration_on_test=true",
        )
        require(
            self.split is None or self.training is None or not in_both(self.split, self.training),
            "the training images include images that are measured on; choose another retrain.split",
        )
        if self.training is not None and self.training.shared:
            batch, left = config.retrain.batch_size, len(self.training)
            require(
                left >= batch,
                f"{left} training images, without those that are measured on, do not fill a batch of "
                f"retrain.batch_size={batch}",
            )

    @property
    def splits(self) -> list[Split]:
        """The splits that the rows depend on."""
        known = (self.split, self.calibration, self.training, self.held_out)
        return [split for split in known if split is not None]

    @property
    def image_identity(self) -> dict[str, Any]:
        """The part of a schedule's identity that depends on images; empty if it looks at none."""
        images = self.sensitivity_images
        return {} if images is None else {"inputs": self.network.inputs, "images": images.digest}

    def identity(self, fmt: WeightFormat) -> dict[str, Any]:
        """Return everything that a row's numbers depend on, and nothing else (no path, no device)."""
        config = self.config
        found: dict[str, Any] = {
            "network": self.network.digest,
            "inputs": self.network.inputs,
            "data": None if self.split is None else self.split.digest,
            "method": fmt.formerly or fmt.name,
        }
        if self.held_out is not None:  # not named otherwise, because older rows have no such images
            found["held_out"] = self.held_out.digest
        if not fmt.quantized:
            return found
        # skipped layers have 8 bits, and the losses of a schedule are relative to 8-bit weights
        found |= fmt.identity(beside_int8=bool(self.skip) or config.scheduled)
        found |= {
            "skip": sorted(self.skip),
            "fold_bn": config.fold_bn,
            "activation_bits": config.activation_bits,
            **rewrite_identity(config),
        }
        if config.activation_bits is not None:
            settings = identity(config.activation)
            found |= {f"activation_{name}": value for name, value in settings.items()}
            found["calibration"] = self.calibration.digest
        if fmt.has_shifts:
            if config.scheduled:
                found["schedule"] = identity(config.schedule) | self.image_identity
                if fmt.on_codes and not fmt.grouped:  # the schedule's loss depends on the metric's settings
                    found["schedule"] |= {"group_size": fmt.group_size, "alpha": fmt.alpha}
            if config.is_calibrated:
                found |= {"calibrate": config.calibrate, "calibration": self.calibration.digest}
                kind = config.calibration_kind
                for name, group in kind.settings.items():
                    seed = {"seed": config.seed} if name in kind.seeded else {}
                    found[name] = identity(getattr(config, group)) | seed
            if config.retrains:
                found["retrain"] = self._retraining(fmt)
        return json.loads(json.dumps(found))

    def _retraining(self, fmt: WeightFormat) -> dict[str, Any]:
        found = identity(self.config.retrain)
        if not fmt.grouped:  # such formats have no shift sets to update
            del found["refresh"]
        return found | {"images": self.training.digest, "seed": self.config.seed}

    def retraining(self, fmt: WeightFormat) -> dict[str, Any]:
        """Return the settings that a retraining depends on, under the present names of its options."""
        return _retraining(self.identity(fmt))

    def key(self, fmt: WeightFormat) -> str:
        """Return the key of a row."""
        return records.row_key(self.identity(fmt))

    def training_key(self, fmt: WeightFormat) -> str:
        """Return the key of a retraining; it does not depend on the images that its rows are measured on."""
        found = {name: value for name, value in self.identity(fmt).items() if name != "held_out"}
        if not self.config.calibration.rate:  # otherwise the weights do not depend on how they are stored
            found.pop("coding", None)
        return records.row_key({**found, "data": None})

    def describe(self, fmt: WeightFormat) -> dict[str, Any]:
        """Return the columns of a row that are known before it is computed."""
        found = self.identity(fmt)
        return {
            "key": records.row_key(found),
            "model": self.config.model.label,
            "weights": self.network.weights,
            "data": self.split.name,
            "split": self.config.data.split,
            "images": len(self.split),
            "damaged_images": self._damaged(found),
            "method": fmt.name,
            "bits": found.get("shifts"),
            "shifts": found.get("shifts"),
            "skip": ",".join(self.config.skip) if "skip" in found else None,
            "fold_bn": found.get("fold_bn", False),
            "rewrites": ",".join(found.get("rewrites", [])),
            "seed": self.config.seed if self._uses_seed(found) else None,
            "config": json.dumps(self._config(found)),
            **{name: found.get(name) for name in (*FORMAT_COLUMNS, "activation_bits", "activation_range")},
            "selection": fmt.selection if "group_size" in found else None,
            "coding": found.get("coding"),
            "rate": found.get("output_aware", {}).get("rate"),
            "calibrate": found.get("calibrate", "none" if "shifts" in found else None),
            "calibration_on_test": True if self.calibrates_on_test and self._calibrates(found) else None,
            "retrain": json.dumps(_retraining(found), sort_keys=True) if "retrain" in found else None,
            "training": self.training_key(fmt) if "retrain" in found else None,
            **self._describe_schedule(found),
        }

    def _calibrates(self, found: dict[str, Any]) -> bool:
        """Return whether a row depends on the calibration set."""
        return "calibration" in found or "images" in found.get("schedule", {})

    def _damaged(self, found: dict[str, Any]) -> int:
        """Count the damaged images that were left out of all images that a row depends on."""
        used = self._learned_from(found)
        if self.held_out is not None:  # its damaged images are those of the whole calibration split
            used["calibration"] = self.held_out
        return sum(split.damaged for split in (self.split, *used.values()))

    def _learned_from(self, found: dict[str, Any]) -> dict[str, Split]:
        """Return the images that a row is calibrated and trained on."""
        used = {"calibration": self.calibration} if self._calibrates(found) else {}
        return used | ({"training": self.training} if "retrain" in found else {})

    def _uses_seed(self, found: dict[str, Any]) -> bool:
        """Return whether a row depends on the seed."""
        learned = self._calibrates(found) or "retrain" in found
        return learned or "held_out" in found or self.config.data.limit is not None

    def _config(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the part of the configuration that a row can depend on; it is the same for all points."""
        kept = _of_the_row(self.config, found)
        if not self._uses_seed(found):
            del kept["seed"]
        shared = {name: images.shared for name, images in self._learned_from(found).items() if images.shared}
        return kept | ({"images_left_out": shared} if shared else {})

    def _describe_schedule(self, found: dict[str, Any]) -> dict[str, Any]:
        if "schedule" not in found:
            return {"schedule": "uniform" if "shifts" in found else None}
        schedule = self.config.schedule
        return {
            "schedule": schedule.label,
            "schedule_budget_unit": str(schedule.budget_unit),
            "filters_per_tile": schedule.filters_per_tile,
            "shift_multiple": schedule.multiple,
        }


def _retraining(found: dict[str, Any]) -> dict[str, Any]:
    return renamed(found["retrain"], RetrainConfig)


def rewrite_identity(config: Config) -> dict[str, Any]:
    """Return the part of the identity for rewrites of the network; empty without rewrites."""
    return {"rewrites": config.rewrites} if config.rewrites else {}


# Parts of a configuration that no row depends on; the hardware is part of hardware results instead.
_OF_NO_ROW = (Part.run, Part.table, Part.file, Part.hardware)
# Options that only some rows of their part depend on: those whose identity, or format, has the option's name.
_IF_NAMED = ("magnitude_bits", "clip", "reconstruction", "retrain", "coding", "scale_group")


def _of_the_row(config: Config, found: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that a row with this identity depends on."""
    parts = [*_OF_NO_ROW]
    if "group_size" not in found and "schedule" not in found:
        parts.append(Part.groups)
    if "shifts" not in found:
        parts.append(Part.shifts)
    if "granularity" not in found:  # weights stay float
        parts.append(Part.weights)
    named = found | found.get("format", {})
    without = of_part(config, *parts) | {name for name in _IF_NAMED if name not in named}
    if "held_out" in found:  # held-out images are those that are not in the calibration set
        without.discard("calibration")
    kept = {name: value for name, value in asdict(config).items() if name not in without}
    kept["data"] = {name: value for name, value in kept["data"].items() if name != "workers"}
    if "calibration" in kept and "output_aware" not in found:
        kept["calibration"] = {"images": kept["calibration"]["images"]}
    return kept
