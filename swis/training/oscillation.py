"""Weights that flip between two levels instead of settling: found while training, and frozen.

Under a straight-through estimator a weight near the threshold between two levels crosses it again and again,
and leaves training at either by chance (Nagel et al. 2022, "Overcoming Oscillations in Quantization-Aware
Training", whose Algorithm 1 this is).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Oscillation(nn.Module):
    """How often each code turns back, as a moving average; codes that do so too often are frozen.

    ``codes`` [filters, weights] are those at the start. ``threshold`` is the frequency [turns per step] above
    which a code is frozen, ``ema_momentum`` the share of the newest step in the averages.

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
        """Take the codes [filters, weights] after a step; return which are to be frozen from now on."""
        change = (codes.short() - self.last).sign().to(torch.int8)
        turned = change * self.direction < 0  # a first change in some direction is no turn
        self.frequency.lerp_(turned.float(), self.ema_momentum)
        self.average.lerp_(codes.float(), self.ema_momentum)
        self.direction.copy_(torch.where(change == 0, self.direction, change))
        self.last.copy_(codes)
        return (self.frequency > self.threshold) & ~self.frozen

    @torch.no_grad()
    def freeze(self, chosen: Tensor, codes: Tensor) -> None:
        """Freeze the ``chosen`` at their ``codes``, both [filters, weights], for good."""
        self.held.copy_(torch.where(chosen, codes.short(), self.held))
        self.frozen |= chosen
