"""Networks of few bits as files: their weights packed, and read again."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import nn

from swis.api.checks import check_quantized
from swis.api.quantized import HowMade, Quantized
from swis.errors import InputError
from swis.formats.registry import formats
from swis.networks.activations import quantize_activations
from swis.networks.apply import skipped_layers
from swis.networks.batch_norm import fused
from swis.networks.inputs import Inputs, close, logits_of
from swis.networks.layers import filters_of, weight_layers
from swis.networks.models import Network, image_inputs
from swis.packing.file import load_packed, load_state, save_packed

_TOLERANCE = 1e-4


def save(network: Quantized, path: str | Path, *, coding: str = "compact") -> None:
    """Write a network with its weights packed, of as many bits as ``Quantized.layers`` says or fewer.

    ``coding``: "plain" has fields of fixed width, "compact" fewer bits where a group of zeros needs none. The
    file is safetensors; it holds the weights, the ranges of activations, and how the network was made, but no
    float weights. A network of timm is made anew from it; for any other, ``swis.load`` is given one of its
    class. Raises ``InputError`` for arguments that JSON does not have, ``CannotWrite``.
    """
    check_quantized(network, "save")
    bare, made = network.bare, network.made
    kind = type(network.fmt)
    if formats().get(kind.name) is not kind:
        raise InputError(f"the format {kind.name} is not registered, so it could not be read: @swis.register")
    for name, layer in weight_layers(bare).items():
        if not torch.equal(filters_of(layer).cpu(), network.encoded[name].weight()):
            raise InputError(f"the weights of layer {name} have changed since the network was quantized")
    known = _of_timm(bare, network.example)
    source = known or _of_other(bare, network.example)
    save_packed(
        path,
        source,
        network.fmt,
        coding=coding,
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


def load(path: str | Path, network: nn.Module | None = None) -> Quantized:
    """Read a network that ``swis.save`` or ``task=pack`` wrote, ready to run.

    ``network`` is one of the same class, with whatever weights, where timm does not know the network; it is
    not changed. A file has no float weights: ``sqnr_db`` in ``layers`` is null. Raises ``InputError`` for a
    file that is damaged or none of these.
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
    """Return a network as timm makes it anew from its name; None if it does not compute the same then."""
    name = (getattr(bare, "pretrained_cfg", None) or {}).get("architecture", "")
    classes = getattr(bare, "num_classes", 0)
    if not timm.is_model(name) or not classes or example.kwargs or len(example.args) != 1:
        return None
    image = example.args[0]
    kwargs = {"num_classes": classes, "in_chans": image.shape[1]}
    try:
        with torch.random.fork_rng(devices=[]):  # timm draws initial weights
            again = fused(timm.create_model(name, **kwargs), example).eval()
        load_state(again, bare.state_dict())
        with torch.inference_mode():
            same = close(again(image), bare(image), _TOLERANCE)
    except (InputError, RuntimeError, TypeError, ValueError):  # of other layers or arguments
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
