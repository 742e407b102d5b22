"""A timm network as layers that every tool knows: torch's own, without batch normalisation."""

from __future__ import annotations

import copy

import torch
from timm.layers import BatchNormAct2d, Conv2dSame, pad_same
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights


def plain(network: nn.Module, image: Tensor) -> nn.Module:
    """Return a copy of a network whose convolutions and activations are torch's own.

    Batch normalisation is folded into the convolution that is registered before it. Padding that follows
    TensorFlow's rule becomes a layer of its own, for images of the size of ``image`` [1, C, H, W]. The caller
    compares the copy with the network, since other networks may register their layers in another order.
    """
    network = copy.deepcopy(network).eval()
    inputs = _inputs(network, image)
    before = None
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            before = module
        elif isinstance(module, BatchNormAct2d) and before is not None:
            parts = (before.weight, before.bias, module.running_mean, module.running_var)
            before.weight, before.bias = fuse_conv_bn_weights(*parts, module.eps, module.weight, module.bias)
            _replace(network, name, module.act)
            before = None
    for name, size in inputs.items():
        _replace(network, name, _padded(network.get_submodule(name), size))
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # tools that trace a network ask for this
    return network


def _inputs(network: nn.Module, image: Tensor) -> dict[str, torch.Size]:
    """Return the size of the input of every convolution that pads by TensorFlow's rule."""
    found, handles = {}, []
    for name, module in network.named_modules():
        if isinstance(module, Conv2dSame):
            keep = lambda _, inputs, name=name: found.update({name: inputs[0].shape})  # noqa: E731
            handles.append(module.register_forward_pre_hook(keep))
    with torch.no_grad():
        network(image)
    for handle in handles:
        handle.remove()
    return found


def _padded(layer: Conv2dSame, size: torch.Size) -> nn.Sequential:
    row, column = torch.zeros(1, 1, *size[-2:]), layer.kernel_size
    padded = pad_same(row, column, layer.stride, layer.dilation)
    more = [padded.shape[axis] - size[axis] for axis in (-1, -2)]
    sides = [side for each in more for side in (each // 2, each - each // 2)]
    own = nn.Conv2d(
        *(layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride),
        dilation=layer.dilation,
        groups=layer.groups,
    )
    own.weight, own.bias = layer.weight, layer.bias
    return nn.Sequential(nn.ZeroPad2d(sides), own)


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)
