"""One network on one set of images: what its rows depend on, and how a row is measured."""

from __future__ import annotations

import copy
import json
import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from swis import records
from swis.activations import ActivationRange, observe_ranges, quantize_activations
from swis.apply import (
    Encoded,
    WeightFormat,
    encode_layers,
    layer_costs,
    layer_macs,
    plain_copy,
    skipped_layers,
    weight_layers,
    with_weights,
)
from swis.calibrate import calibrate
from swis.checks import check_fit, pick_device, results_folder
from swis.choices import Calibrate, Task
from swis.config import Config
from swis.cost import LayerCost, network_cost
from swis.data import Split, kept_batches, loader, open_split
from swis.evaluate import predict, score
from swis.fold import fold_batch_norm, fused
from swis.models import Network, load_network
from swis.output_aware import OutputAware
from swis.planning import Planner
from swis.reconstruct import Reconstruction, reconstruct
from swis.retrain_study import retrain_facts, retrained
from swis.rewrite import rewritten
from swis.schedule import Plan
from swis.settings import require

log = logging.getLogger("swis")

# Percentiles are averaged over batches, so their size must not be the user's to change.
_CALIBRATION_BATCH = 32

# Columns of a row that are null where the row's numbers do not depend on them.
_FORM_COLUMNS = (
    *("group_size", "alpha", "magnitude_bits", "granularity", "clip"),
    *("activation_bits", "activation_range"),
)


# No bit-serial cycles, and no noise against itself.
_NOT_OF_FLOAT = (
    *("shifts_per_weight", "cycles_per_weight", "cycles_per_mac", "ideal_cycles"),
    "logit_sqnr_db",
)


@dataclass(frozen=True)
class Study:
    """One network on one split of images, measured in several weight formats.

    Everything that several rows share is computed once, and only if a row needs it.
    """

    config: Config
    network: Network
    split: Split | None
    calibration: Split | None
    training: Split | None
    skip: frozenset[str]
    device: torch.device
    folder: Path | None

    @cached_property
    def macs(self) -> dict[str, int]:
        counts = layer_macs(self.network.module, self.network.inputs["input_size"])
        idle = [name for name, macs in counts.items() if macs == 0]
        if idle:
            # such as an attention that uses a layer's weight without calling the layer
            log.warning("not called as layers, so without MACs and 8-bit activations: %s", ", ".join(idle))
        return counts

    @cached_property
    def base_module(self) -> nn.Module:
        """The network whose weights are approximated: normalisation folded, channels rewritten if asked."""
        module, size = self.network.module.cpu(), self.network.inputs["input_size"]
        if self.config.fold_bn:
            module = fold_batch_norm(module, size)
        return rewritten(module, size, self.config.rewrites)

    @cached_property
    def calibration_images(self) -> Tensor:
        """The images to calibrate on, [N, C, H, W]."""
        batches = loader(self.calibration, _CALIBRATION_BATCH, self.config.data.workers)
        return torch.cat([images for images, _ in batches])

    @cached_property
    def ranges(self) -> dict[str, ActivationRange]:
        """Input ranges of the weight layers of the float network on the calibration images."""
        module = self.base_module.to(self.device)
        activation = self.config.activation
        percentile = activation.percentile if activation.range == "percentile" else None
        images = (batch.to(self.device) for batch in self.calibration_images.split(_CALIBRATION_BATCH))
        return observe_ranges(module, weight_layers(module), images, percentile)

    @cached_property
    def batches(self) -> Collection[tuple[Tensor, Tensor]]:
        """The images to measure on with their labels."""
        return kept_batches(self.split, self.config.batch_size, self.config.data.workers)

    @cached_property
    def planner(self) -> Planner:
        """What gives every filter its shifts, where the configuration has a schedule."""
        config, settings = self.config, self.config.schedule
        images = self.calibration if settings.sensitivity else None
        if images is not None:
            images = images.sample(settings.images, config.seed)
        return Planner(
            module=self.base_module,
            macs=self.macs,
            skip=self.skip,
            settings=settings,
            facts={"network": self.network.digest, "fold_bn": config.fold_bn} | self._rewrite_facts(),
            image_facts={"inputs": self.network.inputs, "images": images.digest} if images else {},
            images=lambda: [batch for batch, _ in loader(images, _CALIBRATION_BATCH, config.data.workers)],
            device=self.device,
            folder=self.folder,
        )

    def plan(self, form: WeightFormat) -> Plan | None:
        """Return the schedule of a method's shifts; None if all filters have the configured number."""
        if not self.config.scheduled or form.method in ("float", "base"):
            return None
        return self.planner.plan(form, self.config.bits)

    def science(self, form: WeightFormat) -> dict[str, Any]:
        """Return all that a row's numbers depend on, and nothing else (no path, no device)."""
        config = self.config
        facts: dict[str, Any] = {
            "network": self.network.digest,
            "inputs": self.network.inputs,
            "data": self.split.digest,
            "method": form.method,
        }
        if form.method == "float":
            return facts
        facts |= {
            "granularity": form.granularity,
            "skip": sorted(self.skip),
            "fold_bn": config.fold_bn,
            "activation_bits": config.activation_bits,
            **self._rewrite_facts(),
        }
        if config.activation_bits is not None:
            facts |= {"activation_range": config.activation.range, "calibration": self.calibration.digest}
            if config.activation.range == "percentile":
                facts["activation_percentile"] = config.activation.percentile
        if form.method != "uniform" or self.skip:
            facts |= {"magnitude_bits": form.magnitude_bits, "clip": form.clip}
        if form.method != "base":
            facts["shifts"] = form.shifts
            if config.scheduled:
                facts["schedule"] = self._schedule_facts()
                if form.method in ("truncate", "round"):  # without groups, but scheduled by their metric
                    facts["schedule"] |= {"group_size": form.group_size, "alpha": form.alpha}
            if config.calibrate is not Calibrate.none:
                facts |= {"calibrate": str(config.calibrate), "calibration": self.calibration.digest}
                if config.calibrate in (Calibrate.output_aware, Calibrate.reconstruct):
                    facts["output_aware"] = asdict(config.calibration)
                if config.calibrate is Calibrate.reconstruct:
                    facts["reconstruction"] = asdict(config.reconstruction) | {"seed": config.seed}
            if config.task is Task.retrain:
                facts["retrain"] = retrain_facts(config.retrain, self.training, config.seed)
        if form.method in ("swis", "swis_c"):
            facts |= {"group_size": form.group_size, "alpha": form.alpha}
            if form.selection != "nearest":
                facts["selection"] = form.selection
        return json.loads(json.dumps(facts))

    def _rewrite_facts(self) -> dict[str, Any]:
        return {"rewrites": self.config.rewrites} if self.config.rewrites else {}

    def _schedule_facts(self) -> dict[str, Any]:
        settings = asdict(self.config.schedule)
        unused = () if settings["sensitivity"] else ("images", "probe")
        facts = {name: value for name, value in settings.items() if name not in unused}
        return facts | self.planner.image_facts

    def key(self, form: WeightFormat) -> str:
        return records.row_key(self.science(form))

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
            "method": form.method,
            "bits": science.get("shifts"),
            "skip": ",".join(self.config.skip) if "skip" in science else None,
            "fold_bn": science.get("fold_bn", False),
            "rewrites": ",".join(science.get("rewrites", [])),
            "seed": self.config.seed,
            "config": json.dumps(_without_hardware(asdict(self.config))),
            **{name: science.get(name) for name in _FORM_COLUMNS},
            "selection": form.selection if "group_size" in science else None,
            "calibrate": science.get("calibrate", "none" if "shifts" in science else None),
            "retrain": json.dumps(science["retrain"]) if "retrain" in science else None,
            **self._describe_schedule(science),
        }

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

    def emulate(self, form: WeightFormat, activation_bits: int | None) -> tuple[nn.Module, dict[str, float]]:
        """Return a network that computes as the format does, and the format's cost columns."""
        plan = self.plan(form)
        retrains = self.config.task is Task.retrain
        if form.method in ("float", "base") or (self.config.calibrate is Calibrate.none and not retrains):
            source = self.network.module if form.method == "float" else self.base_module
            plans = plan.layers if plan else None
            module, costs = with_weights(source.cpu(), form, self.macs, self.skip, plans)
            if form.method != "float":
                module = fused(module, self.network.inputs["input_size"])  # pays for rounding activations
                if activation_bits is not None:
                    quantize_activations(weight_layers(module), self.ranges, activation_bits)
        else:
            trained = self.retrained if retrains else self.calibrated
            module, encoded = trained(form, plan, activation_bits)
            costs = layer_costs(weight_layers(module), encoded, form, self.macs)
        columns = network_cost(costs)
        columns["shifts_per_weight"] = columns["cycles_per_weight"]
        if plan is not None:
            filters = self.planner.filter_table(plan)
            if self.folder is not None:
                path = records.beside(self.key(form), self.folder, records.SCHEDULE)
                records.write_table(filters, path)
            columns |= _schedule_columns(plan, filters, columns["cycles_per_weight"], costs)
        return module, columns

    def calibrated(
        self, form: WeightFormat, plan: Plan | None, activation_bits: int | None
    ) -> tuple[nn.Module, dict[str, Encoded]]:
        """Return a network calibrated in a format, its normalisation folded, and its layers' weights."""
        reference = fused(plain_copy(self.base_module.cpu()), self.network.inputs["input_size"])
        module = copy.deepcopy(reference)
        if activation_bits is not None:
            quantize_activations(weight_layers(module), self.ranges, activation_bits)
            self.base_module.cpu()
        chosen = {key: value for key, value in asdict(self.config.calibration).items() if key != "images"}
        kind, plans = str(self.config.calibrate), plan.layers if plan else None
        learns, images = kind == "reconstruct", self.calibration_images
        settings = ("output_aware" if learns else kind, OutputAware(**chosen))
        encoded = calibrate(reference, module, form, images, *settings, self.skip, plans)
        if learns:
            further = Reconstruction(**asdict(self.config.reconstruction))
            encoded = reconstruct(reference, module, encoded, images, further, self.config.seed, self.device)
        return module, encoded

    def retrained(
        self, form: WeightFormat, plan: Plan | None, activation_bits: int | None
    ) -> tuple[nn.Module, dict[str, Encoded]]:
        """Return a network retrained in a format from its post-training result, and its layers' weights.

        One that is not calibrated keeps its normalisation, unless that is to be folded.
        """
        if self.config.calibrate is Calibrate.none:
            module = plain_copy(self.base_module.cpu())
            encoded = encode_layers(module, form, self.skip, plan.layers if plan else None)
            if activation_bits is not None:
                quantize_activations(weight_layers(module), self.ranges, activation_bits)
        else:
            module, encoded = self.calibrated(form, plan, activation_bits)
        if self.config.force:
            records.beside(self.key(form), self.folder, records.STATE).unlink(missing_ok=True)
        return retrained(
            self.network.module.cpu(),
            module,
            encoded,
            self.training,
            self.config.retrain,
            seed=self.config.seed,
            key=self.key(form),
            folder=self.folder,
            device=self.device,
            workers=self.config.data.workers,
        )

    def measure(self, form: WeightFormat, reference: Tensor | None) -> tuple[dict[str, Any], Tensor]:
        """Compute a row's measured columns and the logits; the float format is its own reference."""
        batches = self.batches  # decoded before the clocks start
        start = time.perf_counter()
        module, costs = self.emulate(form, self.config.activation_bits)
        prediction = predict(module, batches, self.device, form.method)
        columns = score(prediction, prediction.logits if reference is None else reference) | costs
        if form.method == "float":
            columns |= dict.fromkeys(_NOT_OF_FLOAT)
        return columns | {"seconds": time.perf_counter() - start, "status": "ok"}, prediction.logits


def prepare(config: Config) -> Study:
    """Load and check everything a study needs; raise ``InputError`` before any work starts.

    Only task=evaluate and task=retrain have a split to measure on; images to calibrate on are needed for
    activations of few bits and for a schedule by sensitivity, and not for task=storage.
    """
    device = pick_device(config.device)
    network = load_network(config.model)

    def images_of(name: str, count: int | None) -> Split:
        images = open_split(config.data, name).sample(count, config.seed)
        check_fit(config.model.label, network, images.name, images.num_classes)
        return images.prepared(network.transform(), network.channels)

    split = calibration = training = None
    measured = config.task in (Task.evaluate, Task.retrain)
    if measured:
        split = images_of(config.data.split, config.data.limit)
    if config.needs_calibration:
        calibration = images_of(config.data.calibration_split, config.calibration.images)
    if config.task is Task.retrain:
        settings = config.retrain
        training = images_of(settings.split or config.data.calibration_split, settings.images)
        require(
            len(training) >= settings.batch_size,
            f"{len(training)} images do not fill a batch of retrain.batch_size={settings.batch_size}",
        )
    skip = skipped_layers(list(weight_layers(network.module)), config.skip)
    folder = results_folder(config) if measured else None
    study = Study(config, network, split, calibration, training, frozenset(skip), device, folder)
    _ = study.base_module  # folding can be refused: now rather than later
    if config.scheduled and config.task is not Task.storage:
        for form in formats(config):
            if form.method in config.methods:
                study.planner.check(form, config.bits)
    return study


def _schedule_columns(
    plan: Plan, filters: pd.DataFrame, cycles_per_weight: float, costs: list[LayerCost]
) -> dict[str, float]:
    weights = sum(cost.weights for cost in costs)
    waiting = ((filters["cycles"] - filters["shifts"]) * filters["weights"]).sum() / weights
    longer = ((filters["cycles_unordered"] - filters["cycles"]) * filters["weights"]).sum() / weights
    return {
        "shifts_per_weight": cycles_per_weight - waiting,
        "cycles_per_weight_unordered": cycles_per_weight + longer,
        "schedule_spent": plan.spent,
        "schedule_loss": plan.loss,
        "schedule_bound": plan.bound,
    }


def _without_hardware(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in ("accelerator", "energy", "versus")}


def formats(config: Config) -> Iterator[WeightFormat]:
    """The formats of a run: the two references, then the configured methods."""
    for method in ("float", "base", *config.methods):
        yield WeightFormat(
            str(method),
            config.shifts,
            config.group_size,
            config.alpha,
            config.magnitude_bits,
            str(config.granularity),
            str(config.clip),
            str(config.selection),
        )
