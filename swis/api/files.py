"""Saving quantized networks with packed weights, and loading them."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import nn

from swis.api.checks import check_quantized
from swis.api.quantized import HowMade, Quantized
from swis.errors import InputError
from swis.formats.registry import formats
from swis.formats.weight_format import CODINGS, WeightFormat
from swis.networks.activations import quantize_activations
from swis.networks.apply import skipped_layers
from swis.networks.batch_norm import fused
from swis.networks.inputs import Inputs, close, logits_of
from swis.networks.layers import filters_of, weight_layers
from swis.networks.models import Network, image_inputs
from swis.packing.file import load_packed, load_state, save_packed

_TOLERANCE = 1e-4


def save(network: Quantized, path: str | Path, *, coding: str | None = None) -> None:
    """Write a quantized network with packed weights to a safetensors file.

    Without ``coding`` the weights take as many bits as ``Quantized.layers`` says, or fewer. With the
    ``coding`` "plain" all fields have a fixed width; "compact" leaves out bits that a group does not need;
    "entropy" gives frequent sets and levels fewer bits. None: the format's coding, or "compact" if that is
    plain. The file also has the activation ranges and the settings of the network, but no float weights.
    ``swis.load`` reads a timm network from the file alone; for any other network it needs a network of the
    same class. Raises ``InputError`` for a format that is not registered, for weights that changed after
    quantizing, and for arguments that JSON cannot express; raises ``CannotWrite``.

    >>> import tempfile
    >>> from swis.api.quantize import quantize
    >>> from swis.formats.swis import Swis
    >>> network, inputs = nn.Sequential(nn.Linear(8, 4)).eval(), torch.rand(16, 8)
    >>> low = quantize(network, Swis(shifts=2), inputs)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(low, f"{folder}/low.safetensors")
    ...     again = load(f"{folder}/low.safetensors", network)
    >>> torch.equal(again(inputs), low(inputs))
    True
    """
    check_quantized(network, "save")
    bare, made = network.bare, network.made
    kind = type(network.fmt)
    if formats().get(kind.name) is not kind:
        raise InputError(f"the format {kind.name} is not registered; put @swis.register before its class")
    for name, layer in weight_layers(bare).items():
        if not torch.equal(filters_of(layer).cpu(), network.encoded[name].weight()):
            raise InputError(f"the weights of layer {name} have changed since the network was quantized")
    known = _of_timm(bare, network.example)
    source = known or _of_other(bare, network.example)
    save_packed(
        path,
        source,
        network.fmt,
        coding=_coding_for(network.fmt) if coding is None else coding,
        skip=sorted(made.skip),
        fold_bn=True,
        rewrites=made.rewrites,
        label=type(bare).__name__ if known is None else source.architecture,
        activation_bits=made.activation_bits,
        activation_range=made.activation_range,
        ranges=dict(made.ranges),
        policy=made.schedule,
        calibrate=made.calibrate,
        retrain=None if made.retrained is None else dict(made.retrained),
        encoded=network.encoded,
        example=network.example if known is None else None,
    )


def _coding_for(fmt: WeightFormat) -> str:
    return "compact" if fmt.coding == CODINGS[0] else fmt.coding


def load(path: str | Path, network: nn.Module | None = None) -> Quantized:
    """Read a quantized network that ``swis.save`` or ``task=pack`` wrote; see ``swis.save`` for an example.

    If timm does not know the network, ``network`` is one of the same class, with any weights; it is not
    changed. The file has no float weights, so ``sqnr_db`` in ``layers`` is null. Raises ``InputError`` for a
    damaged file, and for a file that is not a packed network.
    """
    packed = load_packed(path, network)
    module = packed.network.module
    example = packed.example
    made = HowMade(
        frozenset(skipped_layers(list(weight_layers(module)), packed.skip)),
        packed.calibrate,
        packed.policy,
        packed.activation_bits,
        packed.ranges,
        packed.activation_range,
        packed.retrain,
        tuple(packed.rewrites),
    )
    if made.activation_bits is not None:
        quantize_activations(weight_layers(module), made.ranges, made.activation_bits)
    return Quantized(module, None, packed.fmt, packed.encoded, example, made)


def _of_timm(bare: nn.Module, example: Inputs) -> Network | None:
    """Return the network as timm creates it from its name; None if that computes something else."""
    name = (getattr(bare, "pretrained_cfg", None) or {}).get("architecture", "")
    classes = getattr(bare, "num_classes", 0)
    if not timm.is_model(name) or not classes or example.kwargs or len(example.args) != 1:
        return None
    image = example.args[0]
    kwargs = {"num_classes": classes, "in_chans": image.shape[1]}
    try:
        with torch.random.fork_rng(devices=[]):  # timm initializes weights at random
            again = fused(timm.create_model(name, **kwargs), example).eval()
        load_state(again, bare.state_dict())
        with torch.inference_mode():
            same = close(again(image), bare(image), _TOLERANCE)
    except (InputError, RuntimeError, TypeError, ValueError):  # its layers or arguments differ
        return None
    if not same:
        return None
    inputs = image_inputs(bare, {"input_size": list(image.shape[1:])})
    inputs |= {key: (inputs[key] * image.shape[1])[: image.shape[1]] for key in ("mean", "std")}
    return Network(bare, name, kwargs, "", classes, inputs, "", {})


def _of_other(bare: nn.Module, example: Inputs) -> Network:
    with torch.inference_mode():
        classes = logits_of(example.run(bare)).shape[-1]
    return Network(bare, "", {}, "", classes, {}, "", {})
