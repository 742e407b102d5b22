"""The straight-through gradient of quantized weights and of their scales."""

from __future__ import annotations

import torch
from torch import Tensor


class StraightThrough(torch.autograd.Function):
    """Forward: codes x unit x gain; backward: as if the codes were weight / scale, if that is not clipped.

    If codes are not in the middle of the interval that rounds to them (truncation), ``centres`` has these
    middles, and the gradient is that of weight / scale - (centres - codes). Otherwise all weights that keep
    their codes, which are most weights in a step, would change the scale in the same direction.

    The gradient of ``gain`` is LSQ's gradient of the scale times ``rate``, divided by ``unit``: a step of SGD
    changes the scale by the same fraction as LSQ's step, and a step of Adam changes it by its learning rate.
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
    """Return which weights, in steps of the scale, round to a code within the limits.

    >>> inside(torch.tensor([0.2, -7.6]), torch.tensor(7.0)).tolist()
    [True, False]
    """
    return wished.abs() < limits + 0.5
