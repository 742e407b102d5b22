"""Activations of few bits: an affine quantizer at the input of every weight layer."""

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

# Values of a layer's input that a percentile is taken of, at most.
_SAMPLE = 1 << 20


@dataclass(frozen=True)
class ActivationRange:
    """The interval [low, high] of a layer's input that is quantized; low <= 0 <= high."""

    low: float
    high: float

    def affine(self, bits: int) -> tuple[float, int]:
        """Return (scale, zero_point) that map the interval to 0..2^bits - 1, zero exactly.

        >>> ActivationRange(-0.5, 63.25).affine(8)
        (0.25, 2)
        """
        top = 2**bits - 1
        scale = (self.high - self.low) / top or 1.0
        return scale, round(-self.low / scale)


@contextmanager
def watched(layers: dict[str, nn.Module], record: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Give ``record`` the name of every layer that runs meanwhile, and its input."""
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
    """Run batches of calibration images [N, C, H, W] through the float network and record input ranges.

    They may be other inputs. Layers that the network does not run have none.

    ``percentile`` null takes the minimum and maximum over all images; otherwise the
    (100 - percentile) and percentile points of each batch, averaged over the images. Of a large
    input a million values are looked at, drawn with a fixed seed.
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
    """Run an image [1, C, H, W], or another input, through the float network; return every layer's input.

    They are integers, distances from the zero point, int32 [channels, height, width], as
    ``swis.hardware.layer_shapes`` has them; tokens of a linear layer, and the one dimension of a convolution
    without a second, lie along the width, the maps of a convolution that sees several one below the other.
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
    """Make every layer see its input rounded to ``bits`` bits over its range (in place, by hook)."""
    workspace = _Workspace()
    for name, interval in ranges.items():
        scale, zero_point = interval.affine(bits)
        layers[name].register_forward_pre_hook(_ToGrid(scale, zero_point, 2**bits - 1, workspace))


def keep_activations(layers: dict[str, nn.Module]) -> None:
    """Undo ``quantize_activations`` (in place), in a copy of the network too.

    >>> layers = {"a": nn.Linear(1, 1)}
    >>> quantize_activations(layers, {"a": ActivationRange(0, 1)}, bits=8)
    >>> keep_activations(layers)
    >>> len(layers["a"]._forward_pre_hooks)
    0
    """
    for layer in layers.values():
        hooks = layer._forward_pre_hooks  # a copied module has its hooks, and no handles of them
        for key in [key for key, hook in hooks.items() if isinstance(hook, _ToGrid)]:
            del hooks[key]


@dataclass(frozen=True)
class _ToGrid:
    """A hook that rounds a layer's input."""

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
    """Values rounded to the grid; backwards as they were, but for those beyond its ends."""

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
    """What is rounded without gradients.

    One buffer a thread serves all layers, since a layer has consumed its input when the next one runs. The
    thread does the work alone: waking others takes longer, as torch's own still wait for theirs.
    """

    buffer = np.empty(0, np.float32)

    def __deepcopy__(self, memo: dict) -> _Workspace:
        return self  # a copied network needs no buffer of its own

    def __reduce__(self) -> tuple[type, tuple]:
        return _Workspace, ()

    def fake_quantize(self, values: Tensor, scale: float, zero_point: int, top: int) -> Tensor:
        count = values.numel()
        if len(self.buffer) < count:
            self.buffer = np.empty(count, np.float32)
        return _rounded(values, self.buffer[:count], scale, zero_point, top)


def _rounded(values: Tensor, out: np.ndarray, scale: float, zero_point: int, top: int) -> Tensor:
    """Return what ``torch.fake_quantize_per_tensor_affine`` does, in ``out``: its own CPU kernel is slow."""
    if not values.is_contiguous() and not values.is_contiguous(memory_format=torch.channels_last):
        values = values.contiguous()
    inverse = torch.tensor(scale).reciprocal()  # in float32, as torch's own kernel
    grid = [np.float32(number) for number in (inverse, scale, -zero_point, top - zero_point)]
    _to_grid(values.detach().as_strided((values.numel(),), (1,)).numpy(), out, *grid)
    return torch.from_numpy(out).as_strided(values.shape, values.stride())


@njit(nogil=True)
def _to_grid(values, out, inverse, scale, low, high):
    for i in range(len(values)):
        level = np.rint(values[i] * inverse)
        level = low if level < low else level  # comparisons that let a NaN through
        level = high if level > high else level
        out[i] = level * scale
