"""Packed files: a network with packed weights in one file, which needs no other checkpoint.

The file has the format safetensors. For every layer with weights it has the tensors

* ``LAYER.weight.packed``: the bits that ``swis.coding.bitstream`` describes;
* ``LAYER.weight.scale``;
* ``LAYER.weight.schedule``, if filters have different shifts (``swis.packing.layer``).

All other tensors of the network's ``plain_copy`` are stored unchanged. The metadata have one entry, ``swis``,
which is a JSON object:

* ``version`` of the file format, and ``sha256`` of everything else;
* ``network``: architecture, arguments, input and origin of the weights; for a network that timm does not
  know, an ``example`` of its input instead of the architecture;
* ``form``: the format of all layers that do not match ``skip``;
* ``schedule``: the name of the policy;
* ``layers``: format, shape, bits and tiles of every layer;
* ``aliases``: tensors that share a packed weight;
* ``coding``, ``fold_bn``, ``rewrites``; ``folded``: whether batch normalisation is folded;
* ``limited``: names of the activations with a limit per channel;
* ``calibrate``, and ``retrain`` with the settings of retraining, or null;
* ``activations``: bits and ranges of activations, if they are quantized.

The same network gives the same file, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from swis.coding.bitstream import CODINGS
from swis.encoding.cost import FLOAT_BITS
from swis.encoding.encode import Encoded
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.formats.registry import from_settings
from swis.formats.weight_format import WeightFormat
from swis.networks.activations import ActivationRange
from swis.networks.apply import encode_layers, skipped_layers
from swis.networks.batch_norm import fold_batch_norm, fused
from swis.networks.channel_rewrite import LimitedReLU, rewritten
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Example, Inputs, zeros
from swis.networks.layers import count_float_weights, weight_layers, weight_of
from swis.networks.models import REACHING_OUT, Network, new_network
from swis.options.calibrations import CALIBRATIONS
from swis.options.model import ModelConfig
from swis.options.names import require_known
from swis.packing.layer import pack_layer, packed_parts, unpack_layer
from swis.runtime.checksums import of_tensors
from swis.runtime.files import write_atomically

_VERSION = 5
# Files of version 4 may have the parameters of layers that compute their weights, instead of the weights.
_READ = (4, 5)


@dataclass(frozen=True)
class PackedLayer:
    """The format of a layer, its number of weights, and the bits of its parts.

    The parts are sign, mask, shift and metadata; a layer that shares the weight of another one has none.
    """

    fmt: WeightFormat
    filters: int
    filter_weights: int
    bits: dict[str, int]
    schedule: LayerSchedule | None = None


@dataclass(frozen=True)
class PackedNetwork:
    """The contents of a packed file: the network with its decoded weights, and how they were packed."""

    network: Network
    label: str
    fmt: WeightFormat
    coding: str
    skip: list[str]
    fold_bn: bool
    layers: dict[str, PackedLayer]
    encoded: dict[str, Encoded]
    example: Inputs
    activation_bits: int | None
    activation_range: str | None
    ranges: dict[str, ActivationRange]
    policy: str | None = None
    calibrate: str = "none"
    retrain: dict[str, Any] | None = None
    rewrites: list[str] = field(default_factory=list)

    def bits_per_weight(self) -> dict[str, float]:
        """Return the bits per weight of each part; "float" is the part of weights that stay float."""
        stored = [layer for layer in self.layers.values() if layer.bits]
        left = count_float_weights(self.network.module)
        weights = left + sum(layer.filters * layer.filter_weights for layer in stored)
        parts = {part: sum(layer.bits[part] for layer in stored) / weights for part in stored[0].bits}
        return parts | ({"float": FLOAT_BITS * left / weights} if left else {})


def save_packed(
    path: str | Path,
    network: Network,
    fmt: WeightFormat,
    *,
    coding: str = "plain",
    skip: Iterable[str] = (),
    fold_bn: bool = False,
    rewrites: Sequence[str] = (),
    label: str = "",
    activation_bits: int | None = None,
    activation_range: str | None = None,
    ranges: dict[str, ActivationRange] | None = None,
    schedules: dict[str, LayerSchedule] | None = None,
    policy: str | None = None,
    calibrate: str = "none",
    retrain: dict[str, Any] | None = None,
    live: bool = False,
    encoded: dict[str, Encoded] | None = None,
    example: Inputs | None = None,
) -> None:
    """Write a float32 network with its weights in ``fmt`` to a packed file.

    * ``coding``: "plain" or "compact"; see ``swis.coding.bitstream``.
    * ``skip``: name patterns of layers that are packed with 8 bits.
    * ``ranges``: the ranges of the layers' inputs, for ``activation_bits``.
    * ``schedules``: the shifts of the filters of layers, made by the ``policy`` of that name.
    * ``encoded``, ``calibrate``, ``retrain``: the encoded layers of a calibrated or retrained network, and
      how it was made. Such a network is folded by ``swis.networks.batch_norm.fused``, unless ``live``, which
      means that retraining kept its batch normalisation.
    * ``example``: an input of a network without a timm architecture; only its types and shapes are stored.

    Raises ``ValueError`` for an unknown coding, a format that is not ``quantized``, and networks that are not
    float32; raises ``InputError`` for a pattern without a match, and ``CannotWrite``.
    """
    require_known("coding", coding, CODINGS)
    if not fmt.quantized:
        raise ValueError("the format float cannot be packed; use int8 or a format with shifts")
    module = plain_copy(network.module, example or network.inputs["input_size"]).cpu()
    if any(
        value.is_floating_point() and value.dtype != torch.float32 for value in module.state_dict().values()
    ):
        raise ValueError("only float32 networks can be packed; call network.module.float() first")
    if fold_bn and encoded is None:
        module = fold_batch_norm(module, network.inputs["input_size"])
        module = rewritten(module, network.inputs["input_size"], rewrites)
    tensors, layers, first_name = {}, {}, {}
    skip = sorted(skip)
    if encoded is None:
        encoded = encode_layers(module, fmt, skipped_layers(list(weight_layers(module)), skip), schedules)
    for name, layer in encoded.items():
        if id(layer) in first_name:
            layers[name] = {"same_as": first_name[id(layer)]}
            continue
        first_name[id(layer)] = name
        packed, layers[name] = pack_layer(layer, coding)
        tensors |= {f"{name}.weight.{part}": torch.from_numpy(bits) for part, bits in packed.items()}
        tensors[f"{name}.weight.scale"] = layer.scale
    first = {id(module.get_parameter(f"{name}.weight")): name for name in first_name.values()}
    aliases = {}
    for key, value in module.state_dict(keep_vars=True).items():
        if id(value) in first:
            aliases[key] = f"{first[id(value)]}.weight"
        else:
            tensors[key] = value
    tensors = {key: value.detach().clone().contiguous() for key, value in tensors.items()}
    about = {
        "label": label,
        "architecture": network.architecture,
        "kwargs": {key: value for key, value in network.kwargs.items() if key not in REACHING_OUT},
        "num_classes": network.num_classes,
        "inputs": network.inputs,
        "weights": network.weights,
        "digest": network.digest,
        "data": network.metadata.get("data"),
    }
    if example is not None:
        about["example"] = example.described()
    limits = {name: [interval.low, interval.high] for name, interval in (ranges or {}).items()}
    header = {
        "version": _VERSION,
        "network": about,
        "form": fmt.settings(),
        "schedule": policy,
        "coding": coding,
        "skip": skip,
        "fold_bn": fold_bn,
        "folded": fold_bn or (not live and (CALIBRATIONS[calibrate].looks_at_images or retrain is not None)),
        "rewrites": list(rewrites),
        "limited": [name for name, part in module.named_modules() if isinstance(part, LimitedReLU)],
        "calibrate": calibrate,
        "retrain": retrain,
        "layers": layers,
        "aliases": aliases,
        "activations": {"bits": activation_bits, "range": activation_range, "ranges": limits},
    }
    header["sha256"] = _checksum(tensors, header)
    # a single entry, because safetensors writes several entries in a random order
    text = {"swis": json.dumps(header, sort_keys=True)}
    write_atomically(Path(path), lambda partial: save_file(tensors, partial, text))


def load_packed(path: str | Path, network: nn.Module | None = None) -> PackedNetwork:
    """Read a packed file and decode its weights; raise ``InputError`` for a damaged file or another file.

    If timm does not know the network, ``network`` is one of the same class, with any weights; it is not
    changed.
    """
    tensors, header = _read(Path(path))
    try:
        return _decode(tensors, header, network)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        reason = f"{type(error).__name__} {(str(error).splitlines() or [''])[0]}"
        if network is not None:
            kind = type(network).__name__
            raise InputError(f"{path} and the given network, {kind}, do not fit: {reason}") from error
        raise InputError(f"{path} is not a valid packed file: {reason}") from error


def _decode(tensors: dict[str, Tensor], header: dict[str, Any], skeleton: nn.Module | None) -> PackedNetwork:
    about, coding = header["network"], header["coding"]
    if coding not in CODINGS:
        raise ValueError(f"its coding is {coding}")
    if reaching := REACHING_OUT & set(about["kwargs"]):
        raise ValueError(f"it has the argument {', '.join(sorted(reaching))}, which is not allowed")
    label = about["label"] or about["architecture"]
    network, example = _network_of(about, label, skeleton)
    module = plain_copy(network.module)
    if header["version"] < _VERSION and weight_layers(module).keys() != weight_layers(network.module).keys():
        raise InputError("the file was packed by an older version that left computed weights; pack it again")
    calibrate = header["calibrate"]
    calibrated = CALIBRATIONS[calibrate].looks_at_images
    if header.get("folded", calibrated or header["fold_bn"]):  # older files do not have this entry
        module = fused(module, example)
    state, packed_layers, encoded = dict(tensors), {}, {}
    for name in header["limited"]:
        module.set_submodule(name, LimitedReLU(state[f"{name}.limit"]))
    for name, entry in header["layers"].items():
        if "same_as" in entry:
            packed_layers[name] = replace(packed_layers[entry["same_as"]], bits={})
            encoded[name] = encoded[entry["same_as"]]
            continue
        parts = {part: state.pop(f"{name}.weight.{part}").numpy() for part in packed_parts(entry)}
        layer = unpack_layer(parts, entry, state.pop(f"{name}.weight.scale"), coding)
        state[f"{name}.weight"] = weight_of(module.get_submodule(name), layer.weight())
        encoded[name] = layer
        packed_layers[name] = PackedLayer(layer.fmt, *layer.codes.shape, entry["bits"], layer.schedule)
    state |= {key: state[source] for key, source in header["aliases"].items()}
    load_state(module, state)
    activations = header["activations"]
    ranges = {name: ActivationRange(*limits) for name, limits in activations["ranges"].items()}
    if unknown := set(ranges) - set(weight_layers(module)):
        raise ValueError(f"it has activation ranges for {sorted(unknown)[0]}, which is not a layer")
    metadata = {} if about["data"] is None else {"data": about["data"]}
    origin = {"weights": about["weights"], "digest": header["sha256"], "metadata": metadata}
    return PackedNetwork(
        replace(network, module=module.eval(), **origin),
        label,
        from_settings(header["form"]),
        coding,
        header["skip"],
        header["fold_bn"],
        packed_layers,
        encoded,
        zeros(example, torch.empty(0)),
        activations["bits"],
        activations["range"],
        ranges,
        header["schedule"],
        calibrate,
        header.get("retrain"),  # older files do not have this entry
        header["rewrites"],
    )


def load_state(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Load tensors into a network; layers without a bias get one if calibration has added it."""
    for name, layer in weight_layers(module).items():
        if layer.bias is None and f"{name}.bias" in state:
            layer.bias = nn.Parameter(state[f"{name}.bias"])
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip()
        raise InputError(f"its tensors do not fit the network: {first}") from error


def _network_of(about: dict[str, Any], label: str, skeleton: nn.Module | None) -> tuple[Network, Example]:
    """Return the network of a file, with any weights, and an example of its input."""
    if "example" not in about:
        config = ModelConfig(label=label, name=about["architecture"], kwargs=about["kwargs"])
        network = new_network(config, about["num_classes"], about["inputs"], seed=0)
        return network, about["inputs"]["input_size"]
    if skeleton is None:
        raise InputError(f"timm does not know the network {label}; give one of the same class as network=...")
    module = plain_copy(skeleton).cpu().eval()
    network = Network(module, "", {}, "", about["num_classes"], about["inputs"], "", {})
    return network, Inputs.of_description(about["example"])


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a readable packed file: {error}") from error
    if "swis" not in metadata:
        raise InputError(f"{path} is not a packed file; task=pack writes them")
    try:
        header = json.loads(metadata["swis"])
        version, claimed = header["version"], header.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: its header cannot be read") from error
    if version not in _READ:
        known = " and ".join(map(str, _READ))
        raise InputError(f"{path} has version {version} of the file format, but this code reads {known}")
    if claimed != _checksum(tensors, header):
        raise InputError(f"{path} is damaged: its checksum does not match its contents")
    return tensors, header | {"sha256": claimed}


def _checksum(tensors: dict[str, Tensor], header: dict[str, Any]) -> str:
    return of_tensors(tensors, json.dumps(header, sort_keys=True).encode())
