"""Folding of batch normalisation into the convolution before it, for any network."""

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
    """Return a copy of a network in evaluation mode with batch normalisation folded into convolutions.

    W <- W gamma / sqrt(var + eps), b <- (b - mean) gamma / sqrt(var + eps) + beta. The network runs once, to
    find the normalisations whose input is the output of a convolution. ``example``: the size of an image, for
    which noise is used, or inputs. Raises ``InputError`` if the folded network computes something else; this
    is so if the output of a convolution is used elsewhere too.

    >>> folded = fold_batch_norm(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), (1, 4, 4))
    >>> [type(module).__name__ for module in folded]
    ['Conv2d', 'Identity']
    """
    first = next(model.parameters())
    folded = plain_copy(model).eval().double()  # in float64 a difference is not a rounding error
    inputs = probe(example, first.device, torch.float64)
    try:
        pairs, expected = _convolutions_before_norms(folded, inputs)
    except RuntimeError as error:  # for example, the network makes tensors in float32
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
    """Return the factor of every channel of a normalisation in evaluation mode: gamma / sqrt(var + eps)."""
    return norm.weight / (norm.running_var + norm.eps).sqrt()


def folds(module: nn.Module) -> bool:
    """Return whether a module is a normalisation that can be folded into the layer before it."""
    return isinstance(module, _NORMS) and module.affine and module.track_running_stats


def norms_of(model: nn.Module, example: Example) -> dict[str, str]:
    """Return the normalisation that can be folded into each convolution, both by name.

    >>> norms_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), (1, 4, 4))
    {'0': '1'}
    """
    copied = plain_copy(model).eval()
    names = {id(module): name for name, module in copied.named_modules()}
    pairs, _ = _convolutions_before_norms(copied, zeros(example, next(copied.parameters())))
    return {names[id(convolution)]: norm for convolution, norm in pairs}


def normalises(model: nn.Module) -> bool:
    """Return whether a network has a batch normalisation with measured statistics.

    Files of folded networks contain normalisations without effect, whose statistics are those of new ones.

    >>> normalises(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    False
    """
    norms = [part for part in model.modules() if isinstance(part, _NORMS) and part.track_running_stats]
    return any(norm.running_mean.any() or ((norm.running_var - 1).abs() > 1e-3).any() for norm in norms)


def fused(model: nn.Module, example: Example) -> nn.Module:
    """Return ``fold_batch_norm(model)``, or a plain copy of the network if it cannot be folded.

    The result computes the same function up to rounding in float32, and a folded network is faster.
    """
    try:
        return fold_batch_norm(model, example)
    except InputError:
        return plain_copy(model)


def _convolutions_before_norms(model: nn.Module, inputs: Inputs) -> tuple[list[tuple[nn.Module, str]], Any]:
    """Return the pairs (convolution, name of its normalisation), and the network's output for ``inputs``."""
    made_by: dict[int, nn.Module] = {}
    alive: list[Tensor] = []  # keeps the outputs alive, so that ids stay unique
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
    # timm's BatchNormAct2d also applies dropout and an activation
    rest = [getattr(norm, name) for name in ("drop", "act") if hasattr(norm, name)]
    rest = [module for module in rest if not isinstance(module, nn.Identity)]
    return rest[0] if len(rest) == 1 else nn.Sequential(*rest) if rest else nn.Identity()
