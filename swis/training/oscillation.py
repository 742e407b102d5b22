"""Oscillating weights: those that flip between two levels during training are detected and frozen.

With a straight-through estimator, a weight near the threshold between two levels crosses it again and again,
and its final level is random. This is Algorithm 1 of Nagel et al. 2022, "Overcoming Oscillations in
Quantization-Aware Training".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Oscillation(nn.Module):
    """The frequency with which each code changes its direction, as a moving average, and the frozen codes.

    ``codes`` [filters, weights] are the codes at the start. ``threshold`` is the frequency [changes of
    direction per step] above which a code is frozen; ``ema_momentum`` is the weight of the newest step in the
    moving averages.

    >>> watch = Oscillation(torch.tensor([[4.0]]), threshold=0.3, ema_momentum=0.5)
    >>> [watch.update(torch.tensor([[code]])).item() for code in (8.0, 4.0)]
    [False, True]
    >>> watch.average.item()
    5.0
    """

    def __init__(self, codes: Tensor, threshold: float, ema_momentum: float) -> None:
        super().__init__()
        self.threshold, self.ema_momentum = threshold, ema_momentum
        self.register_buffer("last", codes.short())
        self.register_buffer("direction", torch.zeros_like(codes, dtype=torch.int8))
        self.register_buffer("frequency", torch.zeros_like(codes, dtype=torch.float32))
        self.register_buffer("average", codes.float())
        self.register_buffer("frozen", torch.zeros_like(codes, dtype=torch.bool))
        self.register_buffer("held", codes.short())

    @torch.no_grad()
    def update(self, codes: Tensor) -> Tensor:
        """Update with the codes [filters, weights] after a step; return which of them must be frozen now."""
        change = (codes.short() - self.last).sign().to(torch.int8)
        turned = change * self.direction < 0  # false for the first change of a code
        self.frequency.lerp_(turned.float(), self.ema_momentum)
        self.average.lerp_(codes.float(), self.ema_momentum)
        self.direction.copy_(torch.where(change == 0, self.direction, change))
        self.last.copy_(codes)
        return (self.frequency > self.threshold) & ~self.frozen

    @torch.no_grad()
    def freeze(self, chosen: Tensor, codes: Tensor) -> None:
        """Freeze the ``chosen`` weights at their ``codes``, both [filters, weights], until the end."""
        self.held.copy_(torch.where(chosen, codes.short(), self.held))
        self.frozen |= chosen
