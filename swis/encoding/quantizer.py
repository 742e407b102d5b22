"""The 8-bit quantizer: symmetric sign-magnitude codes, with one scale per tensor or per channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from swis.formats.weight_format import CLIPS, GRANULARITIES
from swis.options.names import require_known

# The "mse" clip tries 1 %, 2 %, ... 100 % of the largest magnitude.
_CLIP_STEPS = 100


@dataclass(frozen=True)
class Quantized:
    """A weight tensor as sign-magnitude codes.

    ``codes``: int8 (int16 for 8 magnitude bits) in the weight's shape, with |code| <= 2^magnitude_bits - 1.
    ``scale`` broadcasts against the codes.
    """

    codes: Tensor
    scale: Tensor
    magnitude_bits: int

    def dequantize(self, codes: Tensor | None = None) -> Tensor:
        """Return codes x scale; ``codes`` may be other codes of the same shape."""
        return (self.codes if codes is None else codes) * self.scale


def quantize(
    weight: Tensor, magnitude_bits: int = 7, granularity: str = "channel", clip: str = "absmax"
) -> Quantized:
    """Quantize a weight [out, ...] to codes q = clamp(round(w / scale), -(2^B - 1), 2^B - 1).

    ``granularity``: "tensor" (one scale) or "channel" (one scale per index of dimension 0). ``clip``: the
    largest code stands for the largest magnitude ("absmax") or for the clip of least squared error ("mse").
    A channel of zeros has scale 1 and codes 0. Halves round to even (``torch.round``). Raises ``InputError``
    for an unknown granularity or clip.

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
    # the division can underflow to zero, which is no valid scale
    return torch.where(scale > 0, scale, torch.ones_like(scale))


def _codes(rows: Tensor, scale: Tensor, magnitude_bits: int) -> Tensor:
    top = 2**magnitude_bits - 1
    return (rows / scale).round().clamp(-top, top)


def _least_squares_ceiling(rows: Tensor, absmax: Tensor, magnitude_bits: int) -> Tensor:
    best, best_error = absmax, torch.full_like(absmax, torch.inf)
    for step in range(_CLIP_STEPS, 0, -1):  # from the top, so that a tie keeps the wider range
        ceiling = absmax * (step / _CLIP_STEPS)
        scale = _scale(ceiling, magnitude_bits)
        error = (_codes(rows, scale, magnitude_bits) * scale - rows).square().sum(1, keepdim=True)
        better = error < best_error
        best = torch.where(better, ceiling, best)
        best_error = torch.where(better, error, best_error)
    return best
