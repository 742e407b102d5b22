"""One network on one set of images: what its rows depend on, and how a row is measured."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from swis import records
from swis.activations import ActivationRange, observe_ranges, quantize_activations
from swis.apply import WeightFormat, layer_macs, skipped_layers, weight_layers, with_weights
from swis.config import Config, Task
from swis.cost import network_cost
from swis.data import Split, loader, open_split
from swis.errors import InputError
from swis.evaluate import predict, score
from swis.fold import fold_batch_norm, fused
from swis.models import Network, load_network

log = logging.getLogger("swis")

# Percentiles are averaged over batches, so their size must not be the user's to change.
_CALIBRATION_BATCH = 32

# Columns of a row that are null where the row's numbers do not depend on them.
_FORM_COLUMNS = (
    *("group_size", "alpha", "magnitude_bits", "granularity", "clip"),
    *("activation_bits", "activation_range"),
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
        """The network whose weights are approximated: batch normalisation folded if asked."""
        module = self.network.module.cpu()
        return fold_batch_norm(module, self.network.inputs["input_size"]) if self.config.fold_bn else module

    @cached_property
    def ranges(self) -> dict[str, ActivationRange]:
        """Input ranges of the weight layers of the float network on the calibration images."""
        batches = loader(self.calibration, _CALIBRATION_BATCH, self.config.data.workers)
        module = self.base_module.to(self.device)
        activation = self.config.activation
        percentile = activation.percentile if activation.range == "percentile" else None
        images = (images.to(self.device) for images, _ in batches)
        return observe_ranges(module, weight_layers(module), images, percentile)

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
        }
        if config.activation_bits is not None:
            facts |= {"activation_range": config.activation.range, "calibration": self.calibration.digest}
            if config.activation.range == "percentile":
                facts["activation_percentile"] = config.activation.percentile
        if form.method != "uniform" or self.skip:
            facts |= {"magnitude_bits": form.magnitude_bits, "clip": form.clip}
        if form.method != "base":
            facts["shifts"] = form.shifts
        if form.method in ("swis", "swis_c"):
            facts |= {"group_size": form.group_size, "alpha": form.alpha}
            if form.selection != "nearest":
                facts["selection"] = form.selection
        return json.loads(json.dumps(facts))

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
            "seed": self.config.seed,
            "config": json.dumps(asdict(self.config)),
            **{name: science.get(name) for name in _FORM_COLUMNS},
            "selection": form.selection if "group_size" in science else None,
        }

    def emulate(self, form: WeightFormat, activation_bits: int | None) -> tuple[nn.Module, dict[str, float]]:
        """Return a network that computes as the format does, and the format's cost columns."""
        source = self.network.module if form.method == "float" else self.base_module
        module, costs = with_weights(source.cpu(), form, self.macs, self.skip)
        if form.method != "float":
            module = fused(module, self.network.inputs["input_size"])  # pays for the activations' rounding
            if activation_bits is not None:
                quantize_activations(weight_layers(module), self.ranges, activation_bits)
        return module, network_cost(costs)

    def measure(self, form: WeightFormat, reference: Tensor | None) -> tuple[dict[str, Any], Tensor]:
        """Compute a row's measured columns and the logits; the float format is its own reference."""
        start = time.perf_counter()
        module, costs = self.emulate(form, self.config.activation_bits)
        batches = loader(self.split, self.config.batch_size, self.config.data.workers)
        prediction = predict(module, batches, self.device, form.method)
        columns = score(prediction, prediction.logits if reference is None else reference) | costs
        if form.method == "float":  # no bit-serial cycles, and no noise against itself
            columns |= {"cycles_per_weight": None, "ideal_cycles": None, "logit_sqnr_db": None}
        return columns | {"seconds": time.perf_counter() - start, "status": "ok"}, prediction.logits


def prepare(config: Config) -> Study:
    """Load and check everything a study needs; raise ``InputError`` before any work starts.

    Only task=evaluate has a split to measure on; images to calibrate on are needed for activations of
    few bits alone, and not for task=storage.
    """
    device = pick_device(config.device)
    network = load_network(config.model)

    def images_of(name: str, count: int | None) -> Split:
        images = open_split(config.data, name).sample(count, config.seed)
        check_fit(config.model.label, network, images.name, images.num_classes)
        return images.prepared(network.transform(), network.channels)

    split = calibration = None
    if config.task is Task.evaluate:
        split = images_of(config.data.split, config.data.limit)
    if config.activation_bits is not None and config.task is not Task.storage:
        calibration = images_of(config.data.calibration_split, config.calibration.images)
    skip = skipped_layers(list(weight_layers(network.module)), config.skip)
    folder = results_folder(config) if config.task is Task.evaluate else None
    study = Study(config, network, split, calibration, frozenset(skip), device, folder)
    _ = study.base_module  # folding can be refused: now rather than later
    return study


def results_folder(config: Config) -> Path:
    """Return the folder of the rows, made if need be."""
    folder = Path(config.results_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"results_dir={folder} cannot be made: {error.strerror}") from error
    return folder


def check_fit(label: str, network: Network, data: str, num_classes: int) -> None:
    """Raise ``InputError`` if the weights are not for this data set."""
    if num_classes != network.num_classes:
        raise InputError(
            f"{label} with weights {network.weights} tells {network.num_classes} classes apart, "
            f"data={data} has {num_classes}; choose model.weights made for this data"
        )
    trained_on = network.metadata.get("data", data)
    if trained_on != data:
        raise InputError(f"the weights were trained on {trained_on}, not on data={data}")


def pick_device(name: str) -> torch.device:
    """Return the named device; "auto" is CUDA where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device={name} is not a device; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device={name}: torch finds no CUDA device; use device=auto or device=cpu")
    return device


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
