"""Layers with weights that a format applies to, and their weights as filters.

A filter [in / groups, kernel] computes one output channel. A transposed convolution stores its weight in
another order. Its filters are those of the equivalent convolution, on an input with zeros between its pixels.
"""

from __future__ import annotations

import torch
from timm.layers import Conv2dSame
from timm.layers import Linear as TimmLinear
from torch import Tensor, nn

# The number of axes after the channels in a layer's output.
_AXES = {nn.Linear: 0, nn.Conv1d: 1, nn.Conv2d: 2, nn.ConvTranspose2d: 2}
LAYER_KINDS = tuple(_AXES)

# A subclass can compute something else; it then has another forward.
_PLAIN = {kind.forward for kind in (*LAYER_KINDS, Conv2dSame, TimmLinear)}


def is_layer(module: nn.Module) -> bool:
    """Return whether a module is a layer: it is of a known kind and has the forward of that kind.

    >>> is_layer(nn.Conv1d(1, 1, 3)), is_layer(nn.Conv3d(1, 1, 3))
    (True, False)
    """
    plain = type(module).forward in _PLAIN and "forward" not in vars(module)
    return plain and isinstance(module, LAYER_KINDS)


def weight_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a network by name, in the order of the module tree.

    Layers that compute their weight at every call are left out; use
    ``swis.networks.computed_weights.plain_copy`` first.

    >>> list(weight_layers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(2, 2))))
    ['0', '2']
    """
    return {name: module for name, module in model.named_modules() if is_layer(module)}


def float_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights outside of layers, by name; no format applies to them, so they stay float.

    They are the parameters with at least two axes longer than 1. Biases, normalisation, and matrices of one
    row or column do not count.

    >>> list(float_weights(nn.Sequential(nn.Linear(2, 2), nn.Embedding(3, 2))))
    ['1.weight']
    """
    taken = {id(layer.weight) for layer in weight_layers(model).values()}
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if id(parameter) not in taken and sum(side > 1 for side in parameter.shape) > 1
    }


def count_float_weights(model: nn.Module) -> int:
    """Return the number of ``float_weights`` of a network.

    >>> count_float_weights(nn.Sequential(nn.Linear(2, 2), nn.Embedding(3, 2)))
    6
    """
    return sum(parameter.numel() for parameter in float_weights(model).values())


def axes_of(layer: nn.Module) -> int:
    """Return the number of axes after the channels in a layer's output: 2 for images, 0 for linear layers.

    >>> axes_of(nn.Conv1d(1, 1, 3)), axes_of(nn.Linear(1, 1))
    (1, 0)
    """
    return next(axes for kind, axes in _AXES.items() if isinstance(layer, kind))


def groups_of(layer: nn.Module) -> int:
    """Return the groups of a convolution; a linear layer has one group."""
    return getattr(layer, "groups", 1)


def inputs_of(layer: nn.Module) -> int:
    """Return the number of input channels or features of a layer."""
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def outputs_of(layer: nn.Module) -> int:
    """Return the number of filters of a layer: its output channels or features."""
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def is_depthwise(layer: nn.Module) -> bool:
    """Return whether every filter sees only one of several input channels."""
    return groups_of(layer) == inputs_of(layer) > 1


def is_transposed(layer: nn.Module) -> bool:
    """Return whether a layer is a transposed convolution."""
    return isinstance(layer, nn.ConvTranspose2d)


def filter_shape(layer: nn.Module) -> torch.Size:
    """Return the shape of a layer's filters: [out, in / groups, kernel], or [out, in].

    >>> filter_shape(nn.ConvTranspose2d(4, 6, 3, groups=2))
    torch.Size([6, 2, 3, 3])
    """
    kernel = layer.weight.shape[2:]
    return torch.Size((outputs_of(layer), inputs_of(layer) // groups_of(layer), *kernel))


def filters_of(layer: nn.Module, weight: Tensor | None = None) -> Tensor:
    """Return a layer's weight, or another tensor of that shape, as filters of shape ``filter_shape``.

    >>> layer = nn.ConvTranspose2d(1, 2, (1, 2))
    >>> _ = layer.weight.data.copy_(torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]))
    >>> filters_of(layer).tolist()
    [[[[2.0, 1.0]]], [[[4.0, 3.0]]]]
    """
    weight = layer.weight if weight is None else weight
    return exchanged(weight, layer.groups) if is_transposed(layer) else weight


def weight_of(layer: nn.Module, filters: Tensor) -> Tensor:
    """Return filters in the order in which the layer stores its weight; the inverse of ``filters_of``.

    >>> layer = nn.ConvTranspose2d(4, 6, 3, groups=2)
    >>> torch.equal(weight_of(layer, filters_of(layer)), layer.weight)
    True
    """
    return exchanged(filters, layer.groups) if is_transposed(layer) else filters


def put_filters(layer: nn.Module, filters: Tensor) -> None:
    """Set the weight of a layer to these filters, in place; the number type of the weight stays."""
    layer.weight.data = weight_of(layer, filters).to(layer.weight.dtype)


def spread(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return a layer's inputs [N, C, ...]; for a transposed convolution, with zeros between the pixels.

    >>> spread(nn.ConvTranspose2d(1, 1, 2, stride=2), torch.ones(1, 1, 1, 2)).tolist()
    [[[[1.0, 0.0, 1.0]]]]
    """
    if not is_transposed(layer):
        return inputs
    sizes = zip(inputs.shape[2:], layer.stride, strict=True)
    found = inputs.new_zeros(*inputs.shape[:2], *((size - 1) * step + 1 for size, step in sizes))
    found[:, :, :: layer.stride[0], :: layer.stride[1]] = inputs
    return found


def exchanged(weight: Tensor, groups: int) -> Tensor:
    """Swap the input and output axes within every group, and flip the kernel; this is its own inverse.

    >>> exchanged(torch.arange(4.0).reshape(2, 1, 1, 2), groups=1).tolist()
    [[[[1.0, 0.0]], [[3.0, 2.0]]]]
    """
    turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flip(-2, -1)
    return turned.contiguous()
