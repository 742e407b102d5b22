"""A network with packed weights as one file, which needs no other checkpoint.

The file is safetensors. For every weight layer it holds ``LAYER.weight.packed``, the bits that ``swis.codec``
describes, and ``LAYER.weight.scale``; all other tensors of the network are there as they are. The
metadata, JSON, say how to read it: ``format``, ``version``, ``sha256`` (of everything else), ``network``
(architecture, arguments, input, what the weights were), ``form`` (of all layers but those in ``skip``),
``layers`` (each one's format, shape and bits), ``coding``, ``fold_bn`` and ``activations`` (bits and ranges,
if they were calibrated).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from swis.activations import ActivationRange
from swis.apply import Encoded, WeightFormat, encode_layers, plain_copy
from swis.codec import CODINGS, Layout, pack, unpack
from swis.config import ModelConfig
from swis.errors import InputError
from swis.fold import fold_batch_norm
from swis.models import Network, new_network

_FORMAT, _VERSION = "swis-packed", "1"


@dataclass(frozen=True)
class PackedLayer:
    """A layer's format, how many weights it has, and the bits of its parts.

    The parts are sign, mask, shift and metadata; a layer that shares another one's weight has none.
    """

    form: WeightFormat
    filters: int
    filter_weights: int
    bits: dict[str, int]


@dataclass(frozen=True)
class PackedNetwork:
    """What a packed file holds: the network with its decoded weights, and how they were packed."""

    network: Network
    label: str
    form: WeightFormat
    coding: str
    skip: list[str]
    fold_bn: bool
    layers: dict[str, PackedLayer]
    activation_bits: int | None
    ranges: dict[str, ActivationRange]

    def bits_per_weight(self) -> dict[str, float]:
        """Return the bits of each part, divided by the number of stored weights."""
        stored = [layer for layer in self.layers.values() if layer.bits]
        weights = sum(layer.filters * layer.filter_weights for layer in stored)
        return {part: sum(layer.bits[part] for layer in stored) / weights for part in stored[0].bits}


def save_packed(
    path: str | Path,
    network: Network,
    form: WeightFormat,
    *,
    coding: str = "plain",
    skip: Iterable[str] = (),
    fold_bn: bool = False,
    label: str = "",
    activation_bits: int | None = None,
    ranges: dict[str, ActivationRange] | None = None,
) -> None:
    """Write a network with its weights in ``form`` as a packed file.

    Layers named in ``skip`` are packed in the base format. ``ranges`` are those of the layers' inputs,
    for ``activation_bits``. Raises ``ValueError`` for an unknown coding.
    """
    if coding not in CODINGS:
        raise ValueError(f"coding is one of {CODINGS}, not {coding!r}")
    module = plain_copy(network.module).cpu()
    if fold_bn:
        module = fold_batch_norm(module, network.inputs["input_size"])
    tensors, layers, first_name = {}, {}, {}
    skip = sorted(skip)
    encoded = encode_layers(module, form, set(skip))
    for name, layer in encoded.items():
        if id(layer) in first_name:
            layers[name] = {"same_as": first_name[id(layer)]}
            continue
        first_name[id(layer)] = name
        layout = _layout(layer, coding)
        fields = (
            None if layer.shift_sets is None or layout.weights_per_group == 1 else layer.shift_sets.numpy()
        )
        payload, bits = pack(layer.codes.numpy(), fields, layout)
        tensors[f"{name}.weight.packed"] = torch.from_numpy(payload)
        tensors[f"{name}.weight.scale"] = layer.scale
        layers[name] = {"form": asdict(layer.form), "shape": list(layer.shape), "bits": bits}
    weights = {f"{name}.weight" for name in encoded}
    tensors |= {key: value for key, value in module.state_dict().items() if key not in weights}
    tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    about = {
        "label": label,
        "architecture": network.architecture,
        "kwargs": network.kwargs,
        "num_classes": network.num_classes,
        "inputs": network.inputs,
        "weights": network.weights,
        "digest": network.digest,
        "data": network.metadata.get("data"),
    }
    limits = {name: [interval.low, interval.high] for name, interval in (ranges or {}).items()}
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "network": json.dumps(about),
        "form": json.dumps(asdict(form)),
        "coding": coding,
        "skip": json.dumps(skip),
        "fold_bn": json.dumps(fold_bn),
        "layers": json.dumps(layers),
        "activations": json.dumps({"bits": activation_bits, "ranges": limits}),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    save_file(tensors, partial, header | {"sha256": _checksum(tensors, header)})
    partial.chmod(0o644)  # safetensors' own mode is for the owner only
    partial.replace(path)


def load_packed(path: str | Path) -> PackedNetwork:
    """Read a packed file and decode its weights; raise ``InputError`` for any other or damaged file."""
    tensors, header = _read(Path(path))
    about, layers = json.loads(header["network"]), json.loads(header["layers"])
    config = ModelConfig(
        label=about["label"] or about["architecture"], name=about["architecture"], kwargs=about["kwargs"]
    )
    network = new_network(config, about["num_classes"], about["inputs"], seed=0)
    module = network.module
    if json.loads(header["fold_bn"]):
        module = fold_batch_norm(module, about["inputs"]["input_size"])
    state, packed_layers = dict(tensors), {}
    for name, entry in layers.items():
        if "same_as" in entry:
            state[f"{name}.weight"] = state[f"{entry['same_as']}.weight"]
            packed_layers[name] = replace(packed_layers[entry["same_as"]], bits={})
            continue
        payload, scale = (state.pop(f"{name}.weight.{part}") for part in ("packed", "scale"))
        form, shape = WeightFormat(**entry["form"]), torch.Size(entry["shape"])
        empty = torch.empty(shape[0], shape[1:].numel(), dtype=torch.int8)
        layout = _layout(Encoded(form, empty, None, scale, shape), header["coding"])
        codes, fields = unpack(payload.numpy(), layout)
        decoded = Encoded(form, torch.from_numpy(codes), torch.from_numpy(fields), scale, shape)
        state[f"{name}.weight"] = decoded.weight()
        packed_layers[name] = PackedLayer(form, shape[0], shape[1:].numel(), entry["bits"])
    module.load_state_dict(state)
    activations = json.loads(header["activations"])
    metadata = {} if about["data"] is None else {"data": about["data"]}
    return PackedNetwork(
        replace(
            network,
            module=module.eval(),
            weights=about["weights"],
            digest=header["sha256"],
            metadata=metadata,
        ),
        config.label,
        WeightFormat(**json.loads(header["form"])),
        header["coding"],
        json.loads(header["skip"]),
        json.loads(header["fold_bn"]),
        packed_layers,
        activations["bits"],
        {name: ActivationRange(*limits) for name, limits in activations["ranges"].items()},
    )


def _layout(layer: Encoded, coding: str) -> Layout:
    form = layer.form
    filters, weights = layer.codes.shape
    if form.method == "uniform":  # its codes have as many bits as it has shifts
        return Layout("base", filters, weights, form.shifts, 1, form.shifts, coding)
    return Layout(form.method, filters, weights, form.shifts, form.group_size, form.magnitude_bits, coding)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            header = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable packed file: {error}") from error
    if header.get("format") != _FORMAT:
        raise InputError(f"{path} is not a packed file; task=pack writes them")
    if header.get("version") != _VERSION:
        raise InputError(
            f"{path} has version {header.get('version')} of the format, this code reads {_VERSION}"
        )
    if header.pop("sha256", None) != (checksum := _checksum(tensors, header)):
        raise InputError(f"{path} is damaged: its checksum is not that of its contents")
    return tensors, header | {"sha256": checksum}


def _checksum(tensors: dict[str, Tensor], header: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(np.ascontiguousarray(value.numpy()).tobytes())
    return digest.hexdigest()
