"""The gradient of weights of few bits and of their scales, straight through the rounding."""

from __future__ import annotations

import torch
from torch import Tensor


class StraightThrough(torch.autograd.Function):
    """codes x unit x gain; backwards as if the codes were weight / scale, except where that is clipped.

    Codes that are off the middle of what rounds to them come with those ``centres``, and are backwards as if
    they were weight / scale - (centres - codes): otherwise all weights that keep their codes, as most do in a
    step, would pull their scale the same way.

    The gain's gradient is that of LSQ's scale, times its ``rate``, divided by the unit: a step of SGD moves
    the scale by the share of itself that LSQ's step would, one of Adam by its learning rate.
    """

    @staticmethod
    def forward(
        ctx,
        weight: Tensor,
        gain: Tensor,
        unit: Tensor,
        codes: Tensor,
        centres: Tensor | None,
        limits: Tensor,
        rate: Tensor,
    ) -> Tensor:
        scale = unit * gain.reshape(unit.shape)
        ctx.save_for_backward(weight, scale, unit, codes, centres, limits, rate)
        return codes * scale

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, scale, unit, codes, centres, limits, rate = ctx.saved_tensors
        wished = weight / scale
        unclipped = inside(wished, limits)
        of_gain = None
        if ctx.needs_input_grad[1]:
            if centres is not None:
                codes = torch.where(unclipped, centres, codes)
            of_scale = (gradient * (codes - wished.mul_(unclipped))).sum_to_size(unit.shape)
            of_gain = of_scale.flatten() * rate / unit.flatten()
        return gradient * unclipped, of_gain, None, None, None, None, None


def inside(wished: Tensor, limits: Tensor) -> Tensor:
    """Tell which weights, in steps of the scale, round to a code within the limits.

    >>> inside(torch.tensor([0.2, -7.6]), torch.tensor(7.0)).tolist()
    [True, False]
    """
    return wished.abs() < limits + 0.5
