"""The 8-bit quantizer: symmetric sign-magnitude codes and a scale per tensor or per channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swis.formats.weight_format import CLIPS, GRANULARITIES
from swis.options.names import require_known

# Fractions of absmax tried by the "mse" clip: 1 %, 2 %, ... 100 %.
_CLIP_STEPS = 100


@dataclass(frozen=True)
class Quantized:
    """Sign-magnitude codes of one weight tensor.

    ``codes`` has the weight's shape (int8, or int16 for 8 bits; |code| <= 2^magnitude_bits - 1);
    ``scale`` broadcasts against it and has the weight's unit.
    """

    codes: Tensor
    scale: Tensor
    magnitude_bits: int

    def dequantize(self, codes: Tensor | None = None) -> Tensor:
        """Return codes * scale, for these codes or others on the same grid (same shape)."""
        return (self.codes if codes is None else codes) * self.scale


def quantize(
    weight: Tensor, magnitude_bits: int = 7, granularity: str = "channel", clip: str = "absmax"
) -> Quantized:
    """Quantize a weight [out, ...] to q = clamp(round(w / scale), -(2^B - 1), 2^B - 1).

    ``granularity`` is "tensor" (one scale) or "channel" (one for each index of dimension 0);
    ``clip`` is "absmax" or "mse", the clipping range that minimises the squared error. A channel
    of zeros has scale 1 and codes 0. Halves round to even (``torch.round``).

    >>> q = quantize(torch.tensor([[1.27, -0.5], [0.0, 0.0]]))
    >>> q.codes.tolist(), [round(s, 6) for s in q.scale.flatten().tolist()]
    ([[127, -50], [0, 0]], [0.01, 1.0])
    """
    require_known("granularity", granularity, GRANULARITIES)
    require_known("clip", clip, CLIPS)
    rows = weight.detach().flatten(1) if granularity == "channel" else weight.detach().reshape(1, -1)
    absmax = rows.abs().amax(1, keepdim=True)
    ceiling = absmax if clip == "absmax" else _least_squares_ceiling(rows, absmax, magnitude_bits)
    scale = _scale(ceiling, magnitude_bits)
    dtype = torch.int8 if magnitude_bits <= 7 else torch.int16
    codes = _codes(rows, scale, magnitude_bits).to(dtype).reshape(weight.shape)
    shape = [-1] + [1] * (weight.ndim - 1) if granularity == "channel" else [1] * weight.ndim
    return Quantized(codes, scale.reshape(shape), magnitude_bits)


def _scale(ceiling: Tensor, magnitude_bits: int) -> Tensor:
    scale = ceiling / (2**magnitude_bits - 1)
    # a ceiling so small that the division underflows is as good as zero
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _codes(rows: Tensor, scale: Tensor, magnitude_bits: int) -> Tensor:
    top = 2**magnitude_bits - 1
    return (rows / scale).round().clamp(-top, top)


def _least_squares_ceiling(rows: Tensor, absmax: Tensor, magnitude_bits: int) -> Tensor:
    best, best_error = absmax, torch.full_like(absmax, torch.inf)
    for step in range(_CLIP_STEPS, 0, -1):  # downwards, so that a tie keeps the wider range
        ceiling = absmax * (step / _CLIP_STEPS)
        scale = _scale(ceiling, magnitude_bits)
        error = (_codes(rows, scale, magnitude_bits) * scale - rows).square().sum(1, keepdim=True)
        better = error < best_error
        best = torch.where(better, ceiling, best)
        best_error = torch.where(better, error, best_error)
    return best
