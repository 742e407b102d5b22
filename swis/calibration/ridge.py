"""Filters fitted anew to inputs that differ from those they were made for."""

from __future__ import annotations

import torch
from torch import Tensor

from swis.calibration.input_moments import Moments, variance_of_x

# Ridges tried, relative to the mean variance of x or y, whichever is larger: inputs that the network of few
# bits has all but lost are not to be brought back by weights a hundred times too large.
RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0)


def damped(hessian: Tensor, damping: float, at_least: Tensor | float = 0.0) -> Tensor:
    """Return H [groups, K, K] with ``damping`` times its mean diagonal added; zeros become the identity.

    The mean [groups] counts as ``at_least`` so much.
    """
    mean = hessian.diagonal(dim1=1, dim2=2).mean(1).clamp_min(at_least)
    ridge = torch.where(mean > 0, damping * mean, torch.ones_like(mean))
    found = hessian.clone()  # and nothing else of its size, which may be gigabytes
    found.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
    return found


def refit(rows: Tensor, halves: tuple[Moments, Moments | None]) -> Tensor:
    """Return the filters that best make of a layer's inputs y what ``rows`` [filters, K] make of x.

    That is ridge regression, W + W cov(x - y, y) (cov(y, y) + r)^-1. A few hundred images do not settle the
    many weights of a deep layer, and what is fitted to their noise harms all others: the ridge r is the one
    whose fit to one half of the images serves the other half best, and if none serves both, the filters stay.

    >>> x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    >>> layer = torch.nn.Linear(3, 1)
    >>> from swis.calibration.input_moments import input_moments
    >>> moments = input_moments(layer, (2 * x).split(8), x.split(8), 1000)
    >>> refit(torch.ones(1, 3).double(), moments).round(decimals=2)
    tensor([[0.5000, 0.5000, 0.5000]], dtype=torch.float64)
    """
    one, other = halves
    if other is None:
        return rows
    parts = rows.reshape(len(one.yy), -1, rows.shape[1])
    variance = variance_of_x(one, other).mean(1)
    ridge = _best_ridge(parts, one, other, variance)
    if ridge is None:
        return rows
    # what half of the images need as a ridge, relative to their sum, is half as much relative to that of all
    return rows + _change(*_normal_equations(parts, one + other), ridge / 2, variance).reshape(rows.shape)


def _best_ridge(parts: Tensor, one: Moments, other: Moments, variance: Tensor) -> float | None:
    """Return the ridge whose fit to either half serves the other best; None if none serves both."""
    fits = _normal_equations(parts, one), _normal_equations(parts, other)

    def unseen(ridge: float) -> list[float]:
        """By how much the error of either half grows with a change fitted to the other half."""
        growth = []
        for fitted, (covariance, missing) in zip(fits, fits[::-1], strict=True):
            by = _change(*fitted, ridge, variance)
            growth.append(float((by * (by @ covariance - 2 * missing)).sum()))
        return growth

    best, least = None, 0.0
    for ridge in RIDGES:
        growth = unseen(ridge)
        if max(growth) < 0 and sum(growth) < least:  # by chance one half may gain, seldom both
            best, least = ridge, sum(growth)
        elif best is not None:
            break  # it grows again
    return best


def _normal_equations(parts: Tensor, moments: Moments) -> tuple[Tensor, Tensor]:
    """Return cov(y, y), and what the filters ``parts`` miss of x in y: W cov(x - y, y)."""
    covariance, cross = moments.covariances()
    return covariance, parts @ cross.sub_(covariance)


def _change(covariance: Tensor, missing: Tensor, ridge: float, variance: Tensor) -> Tensor:
    """Return the change of the filters that ridge regression makes."""
    root, failed = torch.linalg.cholesky_ex(damped(covariance, ridge, variance))
    # a covariance that is not positive definite is rounding noise: its filters stay
    fixed = (failed > 0)[:, None, None]
    return torch.cholesky_solve(missing.mT, root).mT.masked_fill(fixed, 0.0)
