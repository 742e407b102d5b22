"""Metrics of quantization error."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import kl_div

from swis.runtime.compiled import njit


def mse_plus_plus(error: Tensor, alpha: float = 1.0) -> Tensor:
    """Return MSE++ = (1/M) (sum e^2 + alpha (sum e)^2) over the last dimension: [..., M] -> [...].

    The second term penalises the bias that a group's errors add to a dot product. alpha = 0 gives the mean
    squared error.

    >>> mse_plus_plus(torch.tensor([[1, 1], [1, -1]])).tolist()
    [3.0, 1.0]
    """
    error = error.double()
    return (error.square().sum(-1) + alpha * error.sum(-1).square()) / error.shape[-1]


def sqnr_db(reference: Tensor, approximation: Tensor) -> float:
    """Return the signal-to-quantization-noise ratio in dB: 10 log10(sum x^2 / sum (x - y)^2).

    It is inf if the two are equal, and -inf if only the reference is zero.

    >>> sqnr_db(torch.tensor([10.0]), torch.tensor([9.0]))
    20.0
    """
    reference, approximation = reference.double(), approximation.double()
    noise = (reference - approximation).square().sum()
    if noise == 0:
        return float("inf")
    return float(10 * torch.log10(reference.square().sum() / noise))


def kl_divergence(reference: Tensor, logits: Tensor) -> float:
    """Return the mean Kullback-Leibler divergence KL(reference || logits) of the softmax [nats per image].

    Both are logits [images, classes]; the computation is in float64.

    >>> even, sure = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    >>> kl_divergence(even, even), round(kl_divergence(even, sure), 4)
    (0.0, 0.1201)
    """
    expected, found = reference.double().log_softmax(1), logits.double().log_softmax(1)
    total = kl_div(found, expected, reduction="sum", log_target=True)
    return max(float(total), 0.0) / len(logits)  # not below zero by rounding; nan stays nan


@njit(nogil=True)
def filter_metrics(codes, approximated, group_size, alpha):
    """Return M x MSE++ of each filter, summed over its groups: float64 [filters], in squared steps.

    ``codes`` and ``approximated`` are integers [filters, weights].
    """
    totals = np.zeros(codes.shape[0])
    for row in range(codes.shape[0]):
        for start in range(0, codes.shape[1], group_size):
            square = bias = 0
            for i in range(start, min(start + group_size, codes.shape[1])):
                error = np.int64(approximated[row, i]) - np.int64(codes[row, i])
                square += error * error
                bias += error
            totals[row] += square + alpha * (bias * bias)
    return totals
