"""Second moments of a layer's inputs, over the windows that its filters are applied to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from timm.layers import Conv2dSame, pad_same
from torch import Tensor, nn
from torch.nn.functional import pad

from swis.networks.layers import axes_of, is_transposed, spread


@dataclass(frozen=True)
class Moments:
    """Sums over ``count`` output positions, of a layer's inputs y and the float network's inputs x.

    ``yy`` and ``xy`` [groups, K, K] are the sums of y y^T and x y^T. ``y``, ``x`` and ``xx`` [groups, K] are
    the sums of y, x and x^2. All are float64. Both inputs are relative to one origin. K is the number of
    weights of a filter, in the order of ``swis.encoding.decompose.to_filters``; groups are those of the
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

    def include(self, count: int, sums: Sequence[Tensor]) -> Moments:
        """Return the moments with the sums over ``count`` more positions added, in place."""
        for total, more in zip((self.yy, self.xy, self.y, self.x, self.xx), sums, strict=True):
            total += more
        return replace(self, count=self.count + count)

    def covariances(self) -> tuple[Tensor, Tensor]:
        """Return cov(y, y) and cov(x, y); the means are removed, because a bias can correct them."""
        y, x = self.y / self.count, self.x / self.count
        # in place, because a matrix can take gigabytes
        yy = (self.yy / self.count).sub_(y[:, :, None] * y[:, None])
        return yy, (self.xy / self.count).sub_(x[:, :, None] * y[:, None])


def variance_of_x(one: Moments, other: Moments) -> Tensor:
    """Return the variance [groups, K] of the float network's inputs over both halves."""
    count = one.count + other.count
    return (one.xx + other.xx) / count - ((one.x + other.x) / count).square()


def input_moments(
    layer: nn.Module, inputs: Sequence[Tensor], float_inputs: Sequence[Tensor], positions: int
) -> tuple[Moments, Moments | None]:
    """Return the moments of a layer's inputs over two halves of the calibration set.

    ``inputs`` and ``float_inputs`` are chunks of images, for the quantized and the float network. Chunks go
    to the two halves in turn; a single chunk has no second half. At most about ``positions`` output
    positions are used, in equal shares per image; they are sampled with a fixed seed.

    >>> chunks = torch.eye(3).split(2)
    >>> one, other = input_moments(nn.Linear(3, 2), chunks, chunks, positions=100)
    >>> one.count, other.count, other.covariances()[0].shape
    (2, 1, torch.Size([1, 3, 3]))
    """
    generator = torch.Generator().manual_seed(0)
    halves: list[Moments | None] = [None, None]
    images, origin = sum(map(len, inputs)), None
    for number, pair in enumerate(zip(inputs, float_inputs, strict=True)):
        share = max(positions * len(pair[0]) // images, 1)
        keep = torch.randperm(output_positions(layer, pair[0]), generator=generator)[:share]
        keep = keep.sort().values.to(pair[0].device)
        y, x = (patches(layer, part, keep) for part in pair)
        if origin is None:  # near the mean, so that subtracting the mean later loses little precision
            origin = y.mean(1, keepdim=True)
        y, x = y - origin, x - origin
        sums = (y.transpose(1, 2) @ y, x.transpose(1, 2) @ y, y.sum(1), x.sum(1), x.square().sum(1))
        before = halves[number % 2]
        if before is None:
            halves[number % 2] = Moments(y.shape[1], *(total.double() for total in sums))
        else:
            halves[number % 2] = before.include(y.shape[1], sums)
    return halves[0], halves[1]


def output_positions(layer: nn.Module, inputs: Tensor) -> int:
    """Return the number of output positions of a layer, over all images of ``inputs``.

    >>> output_positions(nn.Conv2d(2, 4, 3), torch.zeros(5, 2, 6, 6))
    80
    """
    if isinstance(layer, nn.Linear):
        return inputs[..., 0].numel()
    height, width = _windows(layer, inputs[:1]).output_size
    return len(inputs) * height * width


def patches(layer: nn.Module, inputs: Tensor, positions: Tensor) -> Tensor:
    """Return the input windows that a layer multiplies by its filters (im2col), [groups, positions, K].

    ``positions`` are indices of output positions, counted image by image and row by row.

    >>> layer = nn.Conv2d(2, 4, 3, padding=1, groups=2)
    >>> patches(layer, torch.randn(5, 2, 6, 6), torch.arange(180)).shape
    torch.Size([2, 180, 9])
    """
    if isinstance(layer, nn.Linear):
        return inputs.reshape(1, -1, inputs.shape[-1])[:, positions]
    windows = _windows(layer, inputs)
    padded, (height, width) = windows.padded, windows.output_size
    image = positions // (height * width)
    taps = torch.cartesian_prod(*(torch.arange(size, device=inputs.device) for size in windows.kernel))
    row, column = (
        corner[:, None] * windows.stride[axis] + taps[:, axis] * windows.dilation[axis]
        for axis, corner in enumerate((positions // width % height, positions % width))
    )
    pixels = (image[:, None] * padded.shape[2] + row) * padded.shape[3] + column
    values = padded.transpose(0, 1).flatten(1).index_select(1, pixels.flatten())
    values = values.reshape(layer.groups, -1, *pixels.shape)  # [groups, channels, positions, taps]
    return values.permute(0, 2, 3, 1).flatten(2)


@dataclass(frozen=True)
class _Windows:
    """A two-dimensional convolution without padding: its padded input [N, C, H, W] and its windows."""

    padded: Tensor
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]

    @property
    def output_size(self) -> tuple[int, int]:
        sizes = zip(self.padded.shape[2:], self.kernel, self.dilation, self.stride, strict=True)
        return tuple(
            (size - dilation * (kernel - 1) - 1) // stride + 1 for size, kernel, dilation, stride in sizes
        )


def _windows(layer: nn.Module, inputs: Tensor) -> _Windows:
    """Return the plain convolution that is equivalent to the layer, with the filters of ``filters_of``."""
    if is_transposed(layer):
        return _Windows(_around(layer, spread(layer, inputs)), layer.kernel_size, (1, 1), layer.dilation)
    if isinstance(layer, Conv2dSame):
        padded = pad_same(inputs, layer.kernel_size, layer.stride, layer.dilation)
    else:
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        padded = pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    flat = (1,) * (2 - axes_of(layer))  # a sequence is treated as an image of one row
    return _Windows(
        padded.unflatten(2, (*flat, -1)),
        (*flat, *layer.kernel_size),
        (*flat, *layer.stride),
        (*flat, *layer.dilation),
    )


def _around(layer: nn.ConvTranspose2d, inputs: Tensor) -> Tensor:
    """Return the inputs with the zero padding with which a plain convolution equals the transposed one."""
    around = []
    for axis in (1, 0):  # ``pad`` expects the last axis first
        before = layer.dilation[axis] * (layer.kernel_size[axis] - 1) - layer.padding[axis]
        around += [before, before + layer.output_padding[axis]]
    return pad(inputs, around)
