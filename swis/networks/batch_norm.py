"""Batch normalisation folded into the convolution before it, in any network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from swis.errors import InputError
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Example, Inputs, close, probe, zeros
from swis.networks.layers import axes_of, filters_of, is_layer, put_filters

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def fold_batch_norm(model: nn.Module, example: Example) -> nn.Module:
    """Copy a network in evaluation mode with batch normalisations folded into convolutions.

    W <- W gamma / sqrt(var + eps), b <- (b - mean) gamma / sqrt(var + eps) + beta. The network is
    run once on ``example``, noise of an image's size or inputs, to see which normalisation's input is a
    convolution's output. Raises ``InputError`` if the folded network computes something else,
    because a convolution's output is used a second time.

    >>> folded = fold_batch_norm(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), (1, 4, 4))
    >>> [type(module).__name__ for module in folded]
    ['Conv2d', 'Identity']
    """
    first = next(model.parameters())
    folded = plain_copy(model).eval().double()  # so that a difference is one, and not rounding
    inputs = probe(example, first.device, torch.float64)
    try:
        pairs, expected = _convolutions_before_norms(folded, inputs)
    except RuntimeError as error:  # such as of tensors that the network makes in float32
        reason = " ".join(str(error).split())
        raise InputError(f"batch normalisation cannot be folded in float64: {reason}") from error
    for convolution, name in pairs:
        norm = folded.get_submodule(name)
        gain = gain_of(norm)
        bias = torch.zeros_like(gain) if convolution.bias is None else convolution.bias
        filters = filters_of(convolution).data
        put_filters(convolution, filters * gain.reshape(-1, *[1] * (filters.ndim - 1)))
        convolution.bias = nn.Parameter((bias - norm.running_mean) * gain + norm.bias)
        parent, _, child = name.rpartition(".")
        setattr(folded.get_submodule(parent), child, _after_normalising(norm))
    with torch.inference_mode():
        got = inputs.run(folded)
    if not close(got, expected, 1e-9):
        raise InputError("batch normalisation cannot be folded in this network; use fold_bn=false")
    return folded.to(first.dtype)


def gain_of(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Tensor:
    """Return what a normalisation in evaluation mode multiplies every channel by, gamma / sqrt(var + eps)."""
    return norm.weight / (norm.running_var + norm.eps).sqrt()


def folds(module: nn.Module) -> bool:
    """Tell whether a module is a normalisation that can be folded into the layer before it."""
    return isinstance(module, _NORMS) and module.affine and module.track_running_stats


def norms_of(model: nn.Module, example: Example) -> dict[str, str]:
    """Return which normalisation can be folded into which convolution, by their names.

    >>> norms_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), (1, 4, 4))
    {'0': '1'}
    """
    copied = plain_copy(model).eval()
    names = {id(module): name for name, module in copied.named_modules()}
    pairs, _ = _convolutions_before_norms(copied, zeros(example, next(copied.parameters())))
    return {names[id(convolution)]: norm for convolution, norm in pairs}


def normalises(model: nn.Module) -> bool:
    """Tell whether a network has a batch normalisation with statistics of data: not those of a new one.

    Files of folded networks come with normalisations that do nothing, and have no such statistics.

    >>> normalises(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    False
    """
    norms = [part for part in model.modules() if isinstance(part, _NORMS) and part.track_running_stats]
    return any(norm.running_mean.any() or ((norm.running_var - 1).abs() > 1e-3).any() for norm in norms)


def fused(model: nn.Module, example: Example) -> nn.Module:
    """Return ``fold_batch_norm(model)``, or a plain copy of the network where that is impossible.

    The function is the same up to the rounding of float32, and runs faster.
    """
    try:
        return fold_batch_norm(model, example)
    except InputError:
        return plain_copy(model)


def _convolutions_before_norms(model: nn.Module, inputs: Inputs) -> tuple[list[tuple[nn.Module, str]], Any]:
    """Return (convolution, name of its normalisation) pairs and the output for ``inputs``."""
    made_by: dict[int, nn.Module] = {}
    alive: list[Tensor] = []  # keeps the outputs, so that no id is given out twice
    pairs: dict[str, nn.Module] = {}

    def remember(module: nn.Module, _: tuple, output: Tensor) -> None:
        made_by[id(output)] = module
        alive.append(output)

    def match(name: str, inputs: tuple) -> None:
        if id(inputs[0]) in made_by:
            pairs[name] = made_by[id(inputs[0])]

    handles = []
    for name, module in model.named_modules():
        if is_layer(module) and axes_of(module) > 0:
            handles.append(module.register_forward_hook(remember))
        elif folds(module):
            handles.append(module.register_forward_pre_hook(lambda _, inputs, name=name: match(name, inputs)))
    with torch.inference_mode():
        expected = inputs.run(model)
    for handle in handles:
        handle.remove()
    return [(convolution, name) for name, convolution in pairs.items()], expected


def _after_normalising(norm: nn.Module) -> nn.Module:
    # timm's BatchNormAct2d goes on with dropout and an activation
    rest = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]
    rest = [module for module in rest if not isinstance(module, nn.Identity)]
    return rest[0] if len(rest) == 1 else nn.Sequential(*rest) if rest else nn.Identity()
