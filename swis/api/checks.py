"""Checks of the arguments of the Python interface; each raises ``InputError`` with a message of one line."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from swis.api.quantized import Quantized
from swis.errors import InputError
from swis.formats.registry import formats
from swis.formats.weight_format import WeightFormat
from swis.networks.inputs import Inputs
from swis.networks.layers import weight_layers
from swis.options.ranges import require

_FEWEST_BITS, _MOST_BITS = 2, 16


def check_format(fmt: Any, with_shifts: bool = False) -> None:
    """Raise ``InputError`` unless ``fmt`` is a weight format that quantizes, and has shifts if needed."""
    known = ", ".join(f"swis.{kind.__name__}()" for kind in formats().values())
    if not isinstance(fmt, WeightFormat):
        raise InputError(f"a weight format is an object such as {known}, not {fmt!r}")
    require(fmt.quantized, "the format float does not quantize a network; choose another format")
    require(not with_shifts or fmt.has_shifts, f"the format {fmt.name} has no number of shifts")


def check_network(network: Any) -> None:
    """Raise ``InputError`` unless ``network`` is a torch module that can be copied, with float weights."""
    if isinstance(network, Quantized) or not isinstance(network, nn.Module):
        kind = type(network).__name__
        raise InputError(f"the network must be a torch module with float weights, not {kind}")
    if isinstance(network, torch.jit.ScriptModule):
        raise InputError(
            "a scripted network cannot be quantized; give the torch module that it was made from"
        )
    if any(value.is_meta for value in (*network.parameters(), *network.buffers())):
        raise InputError("the network has no weights, because it is on the device meta")


def check_layers(base: nn.Module, example: Inputs) -> None:
    """Raise ``InputError`` if a network has no layers to quantize, or fails on its example input."""
    require(bool(weight_layers(base)), "the network has no convolution or linear layer that can be quantized")
    for name, value in base.state_dict().items():
        finite = not value.is_floating_point() or bool(value.isfinite().all())
        require(finite, f"the weights have values that are not finite, in {name}")
    with torch.no_grad():
        run_checked(base, example)


def run_checked(network: nn.Module, inputs: Inputs) -> Any:
    """Return the output of a network; raise ``InputError`` if the network fails on these inputs."""
    try:
        return inputs.run(network)
    except InputError:
        raise
    except Exception as error:  # the network's own code may raise any kind of exception
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"the network cannot be run on its inputs: {reason}") from error


def check_finite(inputs: Inputs) -> None:
    """Raise ``InputError`` if the calibration set has infinite or nan values."""
    for value in inputs.tensors:
        finite = not value.is_floating_point() or bool(value.isfinite().all())
        require(finite, "calibration has values that are not finite")


def check_activations(bits: Any, percentile: float | None) -> None:
    """Raise ``InputError`` for activation bits outside 2..16, or a percentile outside (50, 100]."""
    whole = isinstance(bits, Integral) and not isinstance(bits, bool)
    require(
        bits is None or (whole and _FEWEST_BITS <= bits <= _MOST_BITS),
        f"activation_bits must be a whole number in {_FEWEST_BITS}..{_MOST_BITS}, not {bits}",
    )
    if percentile is not None:
        require(isinstance(percentile, Real), f"percentile must be a number, not {percentile!r}")
        require(bits is not None, "percentile needs quantized activations; give activation_bits as well")
        valid = math.isfinite(percentile) and 50 < percentile <= 100
        require(valid, f"percentile must be above 50 and at most 100, not {percentile}")


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise ``InputError`` unless ``labels`` are class numbers below ``classes``."""
    valid = not labels.is_floating_point() and labels.min() >= 0 and labels.max() < classes
    require(bool(valid), f"labels must be class numbers in 0..{classes - 1}")


def check_quantized(network: Any, what: str) -> None:
    """Raise ``InputError`` unless ``network`` is a result of ``swis.quantize`` or ``swis.load``."""
    if not isinstance(network, Quantized):
        kind = type(network).__name__
        raise InputError(f"{what} takes a network from swis.quantize or swis.load, not {kind}")
