"""A packed network on one split of images: its row is measured without the original network."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from swis.data.image_sets import Split
from swis.encoding.cost import compression, network_cost
from swis.encoding.encode import cost_of
from swis.evaluation.predict import predict, score
from swis.experiments.config import Config
from swis.experiments.identity import FORMAT_COLUMNS
from swis.experiments.preflight import check_fit, results_folder
from swis.experiments.shared_images import drawn, shared_batches
from swis.networks.activations import quantize_activations
from swis.networks.batch_norm import fused
from swis.networks.factories import made_by
from swis.networks.layers import count_float_weights, weight_layers
from swis.networks.macs import network_macs
from swis.packing.file import PackedNetwork, load_packed
from swis.results import records
from swis.runtime.devices import pick_device

_OF_THE_RUN = ("weights", "data", "seed", "batch_size", "device", "results_dir")


@dataclass(frozen=True)
class PackedStudy:
    """One packed network on one split of images."""

    config: Config
    packed: PackedNetwork
    split: Split
    device: torch.device
    folder: Path

    @property
    def key(self) -> str:
        return records.row_key({"packed": self.packed.network.digest, "data": self.split.digest})

    def describe(self) -> dict[str, Any]:
        """Return the columns of the row that are known before it is computed."""
        packed, fmt = self.packed, self.packed.fmt
        found = fmt.identity(beside_int8=bool(packed.skip))
        # the part of the run's configuration that the file does not determine
        config = {key: value for key, value in asdict(self.config).items() if key in _OF_THE_RUN}
        return {
            "key": self.key,
            "model": packed.label,
            "weights": packed.network.weights,
            "data": self.split.name,
            "split": self.config.data.split,
            "images": len(self.split),
            "damaged_images": self.split.damaged,
            "method": fmt.name,
            "bits": found.get("shifts"),
            "shifts": found.get("shifts"),
            "selection": fmt.selection if fmt.grouped else None,
            **{name: found.get(name) for name in FORMAT_COLUMNS},
            "skip": ",".join(packed.skip),
            "fold_bn": packed.fold_bn,
            "rewrites": ",".join(packed.rewrites),
            "schedule": packed.policy,
            "calibrate": packed.calibrate,
            "retrain": None if packed.retrain is None else json.dumps(packed.retrain, sort_keys=True),
            "coding": packed.coding,
            "activation_bits": packed.activation_bits,
            "activation_range": packed.activation_range,
            "seed": self.config.seed,
            "config": json.dumps(config),
        }

    def measure(self) -> dict[str, Any]:
        """Compute the measured columns; the network runs as in a comparison of methods."""
        packed, size = self.packed, self.packed.network.inputs["input_size"]
        costs = self._costs()
        module = fused(packed.network.module, size)
        if packed.activation_bits is not None:
            quantize_activations(weight_layers(module), packed.ranges, packed.activation_bits)
        config = self.config
        batches = shared_batches(
            self.split, packed.network.inputs, self.folder, config.data, config.batch_size
        )
        start = time.perf_counter()
        prediction = predict(module, batches, self.device, packed.fmt.name)
        columns = score(prediction, prediction.logits) | costs
        columns |= {"agreement": None, "kl": None, "logit_sqnr_db": None}
        return columns | {"seconds": time.perf_counter() - start, "status": "ok"}

    def _costs(self) -> dict[str, float]:
        network = self.packed.network
        counted = network_macs(network.module, network.inputs["input_size"])
        macs = counted.layers
        costs = []
        for name, layer in self.packed.layers.items():
            cost = cost_of(layer.fmt, layer.schedule, layer.filters, layer.filter_weights, macs[name])
            costs.append(cost if layer.bits else replace(cost, weights=0, stored_bits=0, weight_cycles=0))
        weight_bits = sum(self.packed.bits_per_weight().values())
        return network_cost(costs, count_float_weights(network.module), counted.float_weights) | {
            "weight_bits": weight_bits,
            **compression(weight_bits),
        }


def prepare_packed(config: Config) -> PackedStudy:
    """Load and check the packed file and the images; raise ``InputError`` before any work starts."""
    device = pick_device(config.device)
    own = config.model
    packed = load_packed(
        Path(config.weights), None if own.factory is None else made_by(own.factory, own.kwargs)
    )
    network = packed.network
    data, decode = config.data, not config.dry_run
    split = drawn(data, data.split, data.limit, config.seed, decode)
    check_fit(packed.label, network, split.name, split.num_classes)
    split = split.prepared(network.transform(), network.channels)
    return PackedStudy(config, packed, split, device, results_folder(config))
