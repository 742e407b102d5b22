"""A study: the rows of one network on one split of images."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from swis.api.post_training import PostTraining
from swis.calibration.kinds import KINDS
from swis.calibration.layerwise import check_memory
from swis.calibration.logit_losses import logit_losses
from swis.data.image_sets import Split, loader
from swis.data.split import check_classes
from swis.encoding.cost import network_cost
from swis.encoding.encode import Encoded
from swis.evaluation.predict import closeness, predict, score
from swis.experiments.config import Config
from swis.experiments.identity import StudyIdentity, rewrite_identity
from swis.experiments.plain_network import plain_network
from swis.experiments.preflight import check_fit, results_folder
from swis.experiments.shared import in_memory, on_disk
from swis.experiments.shared_images import drawn, left_over, shared_batches, shared_images
from swis.formats.weight_format import WeightFormat
from swis.networks.activations import ActivationRange, keep_activations, observe_ranges
from swis.networks.apply import encode_layers, layer_costs, skipped_layers
from swis.networks.batch_norm import fold_batch_norm, fused, normalises
from swis.networks.channel_rewrite import rewritten
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import count_float_weights, weight_layers
from swis.networks.macs import Macs, network_macs, oddities, share_of_float
from swis.networks.models import load_network
from swis.networks.unfold import unfolded
from swis.options.ranges import require
from swis.results import records
from swis.runtime.devices import pick_device
from swis.runtime.files import stamp
from swis.runtime.notices import warn_once
from swis.scheduling.allocation import NetworkSchedule
from swis.scheduling.planner import Planner, schedule_columns
from swis.training.retrained import retrained

log = logging.getLogger("swis")

# Constant, because percentiles are averaged over batches and must not depend on the user's batch size.
_CALIBRATION_BATCH = 32

# Columns that a float row does not have: it has no bit-serial cycles, and no noise against itself.
_NOT_OF_FLOAT = (
    *("shifts_per_weight", "cycles_per_weight", "cycles_per_mac", "ideal_cycles"),
    *("logit_sqnr_db", "float_weights", "float_macs"),
)


@dataclass(frozen=True)
class Study(StudyIdentity):
    """One network on one split of images, measured in several weight formats.

    Results that several rows share are computed once, and only if a row needs them.
    """

    device: torch.device
    folder: Path | None

    @property
    def live(self) -> bool:
        """Whether retraining keeps batch normalisation: the network has some, and it is not to be folded."""
        return normalises(self.network.module) and not self.config.fold_bn

    @cached_property
    def macs(self) -> dict[str, int]:
        return self._all_macs.layers

    @cached_property
    def _all_macs(self) -> Macs:
        identity = [self.network.digest, self.network.inputs]
        return in_memory("macs", identity, self._count_macs)

    def _count_macs(self) -> Macs:
        macs = network_macs(self.network.module, self.network.inputs["input_size"])
        for line in oddities(macs):
            log.warning(line)
        return macs

    @property
    def unsimulated_macs(self) -> int:
        """The multiply-accumulates per image that belong to no layer."""
        return self._all_macs.float_weights + self._all_macs.between_activations

    @cached_property
    def float_weights(self) -> int:
        """The number of weights that no format applies to."""
        return count_float_weights(self.network.module)

    def warn_of_float_weights(self) -> None:
        """Warn of modules whose weights stay float, with their share of weights and MACs."""
        if share := share_of_float(self.network.module, self._all_macs):
            warn_once(f"{self.config.model.label}: {share}")

    @cached_property
    def base_module(self) -> nn.Module:
        """The network to quantize: with folded normalisation and rewritten channels if configured."""
        return in_memory("base_module", self._base_identity, self._make_base_module)

    @property
    def _base_identity(self) -> list[Any]:
        config, network = self.config, self.network
        return [network.digest, network.inputs, config.fold_bn, config.rewrites]

    def _make_base_module(self) -> nn.Module:
        module, size = self.network.module.cpu(), self.network.inputs["input_size"]
        if self.config.fold_bn:
            module = fold_batch_norm(module, size)
        return rewritten(module, size, self.config.rewrites)

    @cached_property
    def calibration_images(self) -> Tensor:
        """The calibration set, [N, C, H, W]."""
        inputs, workers = self.network.inputs, self.config.data.workers
        return shared_images(self.calibration, inputs, self.folder, workers)["images"]

    @cached_property
    def ranges(self) -> dict[str, ActivationRange]:
        """The input ranges of the float network's layers on the calibration set."""
        percentile = (
            self.config.activation.percentile if self.config.activation.range == "percentile" else None
        )
        identity = [*self._base_identity, self.calibration.digest, percentile]
        kept = on_disk("ranges", identity, self.folder, lambda: self._observe(percentile))
        return {name: ActivationRange(*bounds.tolist()) for name, bounds in kept.items()}

    def _observe(self, percentile: float | None) -> dict[str, Tensor]:
        module = self.base_module.to(self.device)
        images = (batch.to(self.device) for batch in self.calibration_images.split(_CALIBRATION_BATCH))
        found = observe_ranges(module, weight_layers(module), images, percentile)
        return {name: torch.tensor(astuple(range_), dtype=torch.float64) for name, range_ in found.items()}

    @cached_property
    def batches(self) -> Collection[tuple[Tensor, Tensor]]:
        """The images to measure on, with their labels."""
        config = self.config
        return shared_batches(self.split, self.network.inputs, self.folder, config.data, config.batch_size)

    @cached_property
    def held_out_batches(self) -> Collection[tuple[Tensor, Tensor]]:
        """The held-out images; their labels are not looked at."""
        config = self.config
        return shared_batches(self.held_out, self.network.inputs, self.folder, config.data, config.batch_size)

    @cached_property
    def planner(self) -> Planner:
        """The planner, which assigns shifts to filters if the configuration has a schedule."""
        config, settings = self.config, self.config.schedule
        images = self.sensitivity_images
        return Planner(
            module=self.base_module,
            macs=self.macs,
            skip=self.skip,
            settings=settings,
            identity={"network": self.network.digest, "fold_bn": config.fold_bn} | rewrite_identity(config),
            image_identity=self.image_identity,
            images=lambda: [batch for batch, _ in loader(images, _CALIBRATION_BATCH, config.data.workers)],
            device=self.device,
            folder=self.folder,
            at_logits=self._losses_at_logits,
        )

    def _losses_at_logits(self, fmt: WeightFormat, batches: list[Tensor]) -> dict[str, np.ndarray]:
        network = fused(self.base_module.cpu(), self.network.inputs["input_size"])
        return logit_losses(network, fmt, self.skip, batches, self.device)

    def schedule(self, fmt: WeightFormat) -> NetworkSchedule | None:
        """Return the schedule of a method; None if all filters have the configured number of shifts."""
        if not self.config.scheduled or not fmt.has_shifts:
            return None
        return self.planner.schedule(fmt, self.config.bits)

    def emulate(self, fmt: WeightFormat, activation_bits: int | None) -> tuple[nn.Module, dict[str, float]]:
        """Return a network that emulates the format, and the format's cost columns."""
        schedule, encoded = self.schedule(fmt), {}
        if not fmt.quantized:
            module = plain_copy(self.network.module.cpu())
        elif fmt.has_shifts and self.config.retrains:
            module, encoded = self.retrained(fmt, schedule, activation_bits)
            module = fused(module, self.network.inputs["input_size"])
            module = self._post_training(fmt, schedule, activation_bits).round_activations(module)
        else:
            module, encoded = self.calibrated(fmt, schedule, activation_bits)
        layers = weight_layers(module if encoded else self.base_module)
        costs = layer_costs(layers, encoded, fmt, self.macs)
        columns = network_cost(costs, self.float_weights, self._all_macs.float_weights)
        columns["shifts_per_weight"] = columns["cycles_per_weight"]
        if schedule is not None:
            filters = self.planner.filter_table(schedule)
            if self.folder is not None:
                path = records.artifact_path(self.key(fmt), self.folder, records.SCHEDULE)
                records.write_table(filters, path)
            columns |= schedule_columns(schedule, filters, columns["cycles_per_weight"], costs)
        return module, columns

    def check_memory(self, fmts: Sequence[WeightFormat]) -> None:
        """Raise ``InputError`` if calibrating one of these formats needs more memory than the device has."""
        if self.config.is_calibrated and any(fmt.has_shifts for fmt in fmts):
            calibration = KINDS[self.config.calibrate](self.config).layer
            check_memory(self.network.module, calibration, self.skip, self.device)

    def _post_training(
        self, fmt: WeightFormat, schedule: NetworkSchedule | None, activation_bits: int | None
    ) -> PostTraining:
        return PostTraining(
            fmt,
            self.network.inputs["input_size"],
            self.skip,
            schedule.layers if schedule else None,
            activation_bits,
            {} if activation_bits is None else self.ranges,
        )

    def calibrated(
        self, fmt: WeightFormat, schedule: NetworkSchedule | None, activation_bits: int | None
    ) -> tuple[nn.Module, dict[str, Encoded]]:
        """Return a network in a format, calibrated if configured, and its encoded layers."""
        how, config = self._post_training(fmt, schedule, activation_bits), self.config
        base = self.base_module.cpu()
        if not (fmt.has_shifts and config.is_calibrated):
            return how.rounded(base)
        return how.calibrated(base, KINDS[config.calibrate](config), self.calibration_images, self.device)

    def retrained(
        self, fmt: WeightFormat, schedule: NetworkSchedule | None, activation_bits: int | None
    ) -> tuple[nn.Module, dict[str, Encoded]]:
        """Return a network retrained from its post-training result, and its encoded layers.

        Its activations are float.
        """
        schedules, size = schedule.layers if schedule else None, self.network.inputs["input_size"]
        if not self.config.is_calibrated:
            base = self.base_module.cpu()
            module = plain_copy(base) if self.live else fused(base, size)
            encoded = encode_layers(module, fmt, self.skip, schedules)
        else:
            module, encoded = self.calibrated(fmt, schedule, activation_bits)
            keep_activations(weight_layers(module))
            if self.live:
                module, encoded = unfolded(self.network.module.cpu(), module, encoded, size)
        self._post_training(fmt, schedule, activation_bits).round_activations(module)
        return retrained(
            self.network.module.cpu(),
            module,
            encoded,
            self.training,
            self.config.retrain,
            seed=self.config.seed,
            key=self.training_key(fmt),
            folder=self.folder,
            device=self.device,
            workers=self.config.data.workers,
            newer_than=self._since if self.config.does.retrains else None,
        )

    @property
    def _since(self) -> float | None:
        """The time after which a training state must have been made to be reused; None for any time.

        With ``force`` only states of this sweep are reused, and without a sweep none.
        """
        started = self.config.sweep_started
        return None if not self.config.force else math.inf if started is None else started

    def measure(self, fmt: WeightFormat, reference: Tensor | None) -> tuple[dict[str, Any], Tensor]:
        """Compute a row's measured columns, and its logits; the float format is its own reference.

        Logits are those of the measured images, and then of the held-out ones, if the run has some.
        """
        batches = self.batches  # decoded before the time is measured
        start = time.perf_counter()
        module, costs = self.emulate(fmt, self.config.activation_bits)
        prediction = predict(module, batches, self.device, fmt.name)
        logits = self._with_held_out(module, prediction.logits, fmt.name)
        reference = logits if reference is None else reference
        columns = score(prediction, reference[: len(prediction.logits)]) | costs
        if self.held_out is not None:
            found = {"images": len(logits), **closeness(logits, reference)}
            columns |= {f"held_out_{name}": found[name] for name in ("images", "agreement", "kl")}
        if not fmt.quantized:
            columns |= dict.fromkeys(_NOT_OF_FLOAT)
        return columns | {"seconds": time.perf_counter() - start, "status": "ok"}, logits

    def _with_held_out(self, module: nn.Module, logits: Tensor, name: str) -> Tensor:
        """Return the logits of the measured images, and behind them those of the held-out images."""
        if not self.held_out:  # there may be none, too
            return logits
        prediction = predict(module, self.held_out_batches, self.device, f"{name}, held-out images")
        return torch.cat([logits, prediction.logits])


def prepare(config: Config) -> Study:
    """Load and check everything that a study needs; raise ``InputError`` before any work starts.

    Only task=evaluate and task=retrain have a split to measure on. Only these, and task=pack of a retrained
    network, have a results folder. A calibration set is needed for calibration, for quantized activations and
    for a schedule by sensitivity, but not for task=storage.
    """
    device = pick_device(config.device)
    identity = [asdict(config.model), stamp(config.model.weights)]
    if config.model.factory is None:
        network = in_memory("network", identity, lambda: plain_network(load_network(config.model)))
    else:  # not cached, because the user's code may have been loaded again
        network = plain_network(load_network(config.model))

    def images_of(name: str, count: int | None) -> Split:
        images = drawn(config.data, name, count, config.seed, decode=not config.dry_run)
        check_fit(config.model.label, network, images.name, images.num_classes)
        return images.prepared(network.transform(), network.channels)

    split = calibration = training = held_out = None
    if config.has_rows:
        split = images_of(config.data.split, config.data.limit)
    if config.needs_calibration:
        calibration = images_of(config.data.calibration_split, config.calibration.images)
    if config.retrains:
        settings = config.retrain
        training = images_of(settings.split or config.data.calibration_split, settings.images)
        require(
            len(training) >= settings.batch_size,
            f"{len(training)} images do not fill a batch of retrain.batch_size={settings.batch_size}",
        )
        if split is not None:
            check_classes(training, split)
    if config.data.held_out:
        # without the calibration set that rows have or would have, so that all rows measure the same images
        used = [calibration or images_of(config.data.calibration_split, config.calibration.images)]
        used += [images for images in (split, training) if images is not None]
        held_out = left_over(images_of(config.data.calibration_split, None), used)
    skip = skipped_layers(list(weight_layers(network.module)), config.skip)
    folder = results_folder(config) if config.has_rows or config.retrains else None
    images = (split, calibration, training, held_out)
    study = Study(config, network, *images, frozenset(skip), device, folder)
    study.check_apart()
    if not config.dry_run:
        study.warn_of_float_weights()
    _ = study.base_module  # folding may raise an error, which should come before any work
    if config.scheduled and (config.does.calibrates or config.does.simulates):
        for fmt in config.formats:
            if fmt.has_shifts:
                study.planner.check(fmt, config.bits)
    return study
