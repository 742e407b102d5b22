"""Second moments of a layer's inputs, as its filters see them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn
from torch.nn.functional import pad, unfold

# Images unfolded at once, at most: bounds memory.
_CHUNK = 8


@dataclass(frozen=True)
class Moments:
    """Sums over output positions of a layer's inputs y and the float network's x, about one origin.

    ``yy`` and ``xy`` [groups, K, K] hold y y^T and x y^T; ``y``, ``x`` and ``xx`` [groups, K] y, x and x^2;
    all float64. K are a filter's weights as ``swis.decompose.to_filters`` lays them out, groups those of the
    convolution.
    """

    count: int
    yy: Tensor
    xy: Tensor
    y: Tensor
    x: Tensor
    xx: Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def covariances(self) -> tuple[Tensor, Tensor]:
        """Return cov(y, y) and cov(x, y): without means, since a layer's bias can make up for them."""
        yy, xy, y, x = (total / self.count for total in (self.yy, self.xy, self.y, self.x))
        return yy - y[:, :, None] * y[:, None], xy - x[:, :, None] * y[:, None]

    def variance_of_x(self) -> Tensor:
        """Return the variance [groups, K] of the float network's inputs."""
        return self.xx / self.count - (self.x / self.count).square()


def input_moments(
    layer: nn.Module, inputs: Tensor, float_inputs: Tensor, positions: int
) -> tuple[Moments, Moments | None]:
    """Return the moments of a layer's inputs over two halves of the images; one image has no second half.

    Of many output positions at most about ``positions`` are looked at, drawn with a fixed seed, the same
    number from every chunk of images.

    >>> one, other = input_moments(nn.Linear(3, 2), torch.eye(3), torch.eye(3), positions=100)
    >>> one.count, other.count, other.covariances()[0].shape
    (2, 1, torch.Size([1, 3, 3]))
    """
    generator = torch.Generator().manual_seed(0)
    halves: list[Moments | None] = [None, None]
    chunk = min(_CHUNK, -(-len(inputs) // 2))
    origin = None
    for number, start in enumerate(range(0, len(inputs), chunk)):
        y, x = (patches(layer, part[start : start + chunk]) for part in (inputs, float_inputs))
        share = positions * min(chunk, len(inputs) - start) // len(inputs)
        if y.shape[1] > max(share, 1):
            keep = torch.randperm(y.shape[1], generator=generator)[: max(share, 1)]
            y, x = y[:, keep], x[:, keep]
        if origin is None:  # near the mean, so that little cancels when that is taken off
            origin = y.mean(1, keepdim=True)
        y, x = y - origin, x - origin
        sums = (y.transpose(1, 2) @ y, x.transpose(1, 2) @ y, y.sum(1), x.sum(1), x.square().sum(1))
        part = Moments(y.shape[1], *(total.double() for total in sums))
        before = halves[number % 2]
        halves[number % 2] = part if before is None else before + part
    return halves[0], halves[1]


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
