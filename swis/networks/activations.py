"""Quantized activations: an affine quantizer at the input of every weight layer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from torch import Tensor, nn

from swis.networks.inputs import Inputs
from swis.networks.layers import axes_of, spread
from swis.runtime.compiled import njit

# The largest number of values for a percentile.
_SAMPLE = 1 << 20


@dataclass(frozen=True)
class ActivationRange:
    """The range [low, high] of a layer's input; low <= 0 <= high."""

    low: float
    high: float

    def affine(self, bits: int) -> tuple[float, int]:
        """Return (scale, zero_point), which map the range to 0..2^bits - 1; zero is exact.

        >>> ActivationRange(-0.5, 63.25).affine(8)
        (0.25, 2)
        """
        top = 2**bits - 1
        scale = (self.high - self.low) / top or 1.0
        return scale, round(-self.low / scale)


@contextmanager
def watched(layers: dict[str, nn.Module], record: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Within this context, call ``record`` with the name and the input of every layer that runs."""
    handles = [
        layer.register_forward_pre_hook(lambda _, inputs, name=name: record(name, inputs[0]))
        for name, layer in layers.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def observe_ranges(
    model: nn.Module,
    layers: dict[str, nn.Module],
    batches: Iterable[Tensor | Inputs],
    percentile: float | None = None,
) -> dict[str, ActivationRange]:
    """Return the input range of every layer, measured on the calibration set in the float network.

    ``batches`` are images [N, C, H, W] or other inputs. Without ``percentile`` the range is the minimum and
    the maximum over all images. With it, the range is the (100 - percentile) and the percentile point of each
    batch, averaged over the images; inputs of more than a million values are sampled with a fixed seed.
    Layers that the network does not call have no range.
    """
    exact = percentile is None or percentile == 100
    seen: dict[str, list[tuple[float, float, int]]] = {}

    def record(name: str, values: Tensor) -> None:
        flat = values.detach().float().flatten()
        if exact:
            low, high = flat.aminmax()
        else:
            if flat.numel() > _SAMPLE:
                generator = torch.Generator(flat.device).manual_seed(0)
                flat = flat[torch.randint(flat.numel(), (_SAMPLE,), generator=generator, device=flat.device)]
            tail = max(1, round(flat.numel() * (1 - percentile / 100)))
            low, high = flat.kthvalue(tail).values, flat.kthvalue(flat.numel() - tail + 1).values
        seen.setdefault(name, []).append((min(float(low), 0.0), max(float(high), 0.0), len(values)))

    with watched(layers, record), torch.inference_mode():
        for batch in batches:
            Inputs.of(batch).run(model)
    combined = {}
    for name, batches_seen in seen.items():
        lows, highs, images = zip(*batches_seen, strict=True)
        if exact:
            combined[name] = ActivationRange(min(lows), max(highs))
        else:
            combined[name] = ActivationRange(fmean(lows, images), fmean(highs, images))
    return combined


def observe_codes(
    model: nn.Module,
    layers: dict[str, nn.Module],
    image: Tensor | Inputs,
    ranges: dict[str, ActivationRange],
    bits: int,
) -> dict[str, list[np.ndarray]]:
    """Return the quantized inputs of every layer for one image [1, C, H, W] or another input.

    The float network runs once. Each call of a layer gives int32 [channels, height, width], relative to the
    zero point, in the layout of ``swis.hardware.layer_shapes``: the tokens of a linear layer and the axis of
    a one-dimensional convolution lie along the width. If a convolution gets several feature maps, they are
    stacked along the height.
    """
    found: dict[str, list[np.ndarray]] = {}

    def record(name: str, values: Tensor) -> None:
        if name not in ranges:
            return
        scale, zero_point = ranges[name].affine(bits)
        levels = (values.detach().float() / scale).round().clamp(-zero_point, 2**bits - 1 - zero_point)
        if isinstance(layers[name], nn.Linear):
            levels = levels.reshape(-1, layers[name].in_features).T[:, None]
        else:
            levels, axes = spread(layers[name], levels), axes_of(layers[name])
            levels = levels.reshape(-1, *levels.shape[-1 - axes :]).transpose(0, 1).flatten(1, axes)
        found.setdefault(name, []).append(levels.int().cpu().numpy())

    with watched(layers, record), torch.inference_mode():
        inputs = Inputs.of(image)
        inputs.run(model.to(inputs.tensors[0].device))
    return found


def quantize_activations(layers: dict[str, nn.Module], ranges: dict[str, ActivationRange], bits: int) -> None:
    """Quantize the inputs of layers to ``bits`` bits over their ranges, in place, with hooks."""
    workspace = _Workspace()
    for name, interval in ranges.items():
        scale, zero_point = interval.affine(bits)
        layers[name].register_forward_pre_hook(_ToGrid(scale, zero_point, 2**bits - 1, workspace))


def keep_activations(layers: dict[str, nn.Module]) -> None:
    """Undo ``quantize_activations`` in place; this also works in a copy of the network.

    >>> layers = {"a": nn.Linear(1, 1)}
    >>> quantize_activations(layers, {"a": ActivationRange(0, 1)}, bits=8)
    >>> keep_activations(layers)
    >>> len(layers["a"]._forward_pre_hooks)
    0
    """
    for layer in layers.values():
        hooks = layer._forward_pre_hooks  # a copied module has the hooks, but not their handles
        for key in [key for key, hook in hooks.items() if isinstance(hook, _ToGrid)]:
            del hooks[key]


@dataclass(frozen=True)
class _ToGrid:
    """A hook that quantizes a layer's input."""

    scale: float
    zero_point: int
    top: int
    workspace: _Workspace

    def __call__(self, _: nn.Module, inputs: tuple) -> tuple:
        values, grid = inputs[0], (self.scale, self.zero_point, self.top)
        if values.device.type != "cpu" or values.dtype != torch.float32:
            rounded = torch.fake_quantize_per_tensor_affine(values, *grid[:2], 0, self.top)
        elif torch.is_grad_enabled():
            rounded = _StraightThrough.apply(values, *grid)
        else:
            rounded = self.workspace.fake_quantize(values, *grid)
        return (rounded, *inputs[1:])


class _StraightThrough(torch.autograd.Function):
    """Rounding to the grid with a straight-through gradient, which is zero outside of the range."""

    @staticmethod
    def forward(ctx, values: Tensor, scale: float, zero_point: int, top: int) -> Tensor:
        ctx.save_for_backward(values)
        ctx.ends = (-zero_point - 0.5) * scale, (top - zero_point + 0.5) * scale
        return _rounded(values, np.empty(values.numel(), np.float32), scale, zero_point, top)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inside = torch.ops.aten.hardtanh_backward(gradient, *ctx.saved_tensors, *ctx.ends)
        return inside, None, None, None


class _Workspace(threading.local):
    """Rounding without gradients, into a buffer that all layers share.

    Each thread has one buffer. It can be reused, because a layer has consumed its input before the next one
    runs. The work is not split over threads: starting them takes longer while torch's own threads are busy.
    """

    buffer = np.empty(0, np.float32)

    def __deepcopy__(self, memo: dict) -> _Workspace:
        return self  # a copied network can use the same buffer

    def __reduce__(self) -> tuple[type, tuple]:
        return _Workspace, ()

    def fake_quantize(self, values: Tensor, scale: float, zero_point: int, top: int) -> Tensor:
        count = values.numel()
        if len(self.buffer) < count:
            self.buffer = np.empty(count, np.float32)
        return _rounded(values, self.buffer[:count], scale, zero_point, top)


def _rounded(values: Tensor, out: np.ndarray, scale: float, zero_point: int, top: int) -> Tensor:
    """Return ``torch.fake_quantize_per_tensor_affine(values)`` in ``out``; torch's CPU kernel is slow."""
    if not values.is_contiguous() and not values.is_contiguous(memory_format=torch.channels_last):
        values = values.contiguous()
    inverse = torch.tensor(scale).reciprocal()  # in float32, as in torch's kernel
    grid = [np.float32(number) for number in (inverse, scale, -zero_point, top - zero_point)]
    _to_grid(values.detach().as_strided((values.numel(),), (1,)).numpy(), out, *grid)
    return torch.from_numpy(out).as_strided(values.shape, values.stride())


@njit(nogil=True)
def _to_grid(values, out, inverse, scale, low, high):
    for i in range(len(values)):
        level = np.rint(values[i] * inverse)
        level = low if level < low else level  # these comparisons keep a NaN
        level = high if level > high else level
        out[i] = level * scale
