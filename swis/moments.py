"""Second moments of a layer's inputs, as its filters see them."""

from __future__ import annotations

import torch
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn
from torch.nn.functional import pad, unfold

# Images unfolded at once: bounds memory.
_CHUNK = 8


def input_moments(
    layer: nn.Module, inputs: Tensor, float_inputs: Tensor, positions: int
) -> tuple[Tensor, Tensor]:
    """Return cov(y, y) and cov(x, y) of a layer's inputs y and the float network's x.

    float64 [groups, K, K]: K are a filter's weights as ``swis.decompose.to_filters`` lays them out, groups
    those of the convolution.

    Means are taken off, since a layer's bias can make up for them. Of many output positions at most about
    ``positions`` are looked at, drawn with a fixed seed, the same number from every chunk of images.
    """
    generator = torch.Generator().manual_seed(0)
    sums: list[Tensor] = []
    count, origin = 0, None
    for start in range(0, len(inputs), _CHUNK):
        y, x = (patches(layer, part[start : start + _CHUNK]) for part in (inputs, float_inputs))
        share = positions * min(_CHUNK, len(inputs) - start) // len(inputs)
        if y.shape[1] > max(share, 1):
            keep = torch.randperm(y.shape[1], generator=generator)[: max(share, 1)]
            y, x = y[:, keep], x[:, keep]
        if origin is None:  # near the mean, so that little cancels when that is taken off
            origin = y.mean(1, keepdim=True)
        y, x = y - origin, x - origin
        parts = [y.transpose(1, 2) @ y, x.transpose(1, 2) @ y, y.sum(1), x.sum(1)]
        parts = [part.double() for part in parts]
        sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        count += y.shape[1]
    yy, xy, y_mean, x_mean = (total / count for total in sums)
    return yy - y_mean[:, :, None] * y_mean[:, None], xy - x_mean[:, :, None] * y_mean[:, None]


def patches(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Return what a layer multiplies its filters with, [groups, positions of all images, K].

    >>> layer = nn.Conv2d(2, 4, 3, padding=1, groups=2)
    >>> patches(layer, torch.randn(5, 2, 6, 6)).shape
    torch.Size([2, 180, 9])
    """
    if isinstance(layer, nn.Linear):
        return inputs.reshape(1, -1, inputs.shape[-1])
    if isinstance(layer, Conv2dSame):
        padded = pad_same(inputs, layer.kernel_size, layer.stride, layer.dilation)
    else:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padded = pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    taps = layer.kernel_size[0] * layer.kernel_size[1]
    if taps == 1:
        columns = padded[:, :, :: layer.stride[0], :: layer.stride[1]].flatten(2)
    else:
        columns = unfold(padded, layer.kernel_size, layer.dilation, stride=layer.stride)
    columns = columns.reshape(len(inputs), layer.groups, -1, taps, columns.shape[-1])
    return columns.permute(1, 0, 4, 3, 2).flatten(3).flatten(1, 2)
