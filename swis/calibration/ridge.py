"""Ridge regression that fits filters to the inputs of the quantized network."""

from __future__ import annotations

import torch
from torch import Tensor

from swis.calibration.input_moments import Moments, variance_of_x

# The ridges to try, relative to the larger of the mean variances of x and y. Without the variance of x, an
# input that the quantized network has almost lost would get weights that are a hundred times too large.
RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0)


def damped(hessian: Tensor, damping: float, at_least: Tensor | float = 0.0) -> Tensor:
    """Return H [groups, K, K] plus ``damping`` x (mean of its diagonal) on the diagonal.

    ``at_least`` [groups] is a lower limit of that mean. If the mean is 0, the identity is added.

    >>> damped(torch.eye(2)[None], damping=0.5)[0].tolist()
    [[1.5, 0.0], [0.0, 1.5]]
    """
    mean = hessian.diagonal(dim1=1, dim2=2).mean(1).clamp_min(at_least)
    ridge = torch.where(mean > 0, damping * mean, torch.ones_like(mean))
    found = hessian.clone()  # the only copy, because H can take gigabytes
    found.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
    return found


def refit(rows: Tensor, halves: tuple[Moments, Moments | None]) -> Tensor:
    """Return filters whose outputs on the inputs y are nearest to those of ``rows`` [filters, K] on x.

    y are the layer's inputs in the quantized network, x those in the float network. The solution is ridge
    regression: W + W cov(x - y, y) (cov(y, y) + r I)^-1. A few hundred images are too few for the many
    weights of a deep layer, so the fit must not follow their noise. Cross-validation chooses the ridge r: it
    fits each half of the images and tests on the other half. If no ridge helps both halves, ``rows`` is
    returned.

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
    # all images are twice as many as a half, so their covariance needs half the relative ridge
    return rows + _change(*_normal_equations(parts, one + other), ridge / 2, variance).reshape(rows.shape)


def _best_ridge(parts: Tensor, one: Moments, other: Moments, variance: Tensor) -> float | None:
    """Return the ridge of least cross-validation error; None if no ridge lowers the error of both halves."""
    fits = _normal_equations(parts, one), _normal_equations(parts, other)

    def error_growth(ridge: float) -> list[float]:
        """Return the growth of each half's error when the filters are fitted to the other half."""
        growth = []
        for fitted, (covariance, missing) in zip(fits, fits[::-1], strict=True):
            change = _change(*fitted, ridge, variance)
            growth.append(float((change * (change @ covariance - 2 * missing)).sum()))
        return growth

    best, least = None, 0.0
    for ridge in RIDGES:
        growth = error_growth(ridge)
        if max(growth) < 0 and sum(growth) < least:  # by chance one half can improve, but rarely both
            best, least = ridge, sum(growth)
        elif best is not None:
            break  # the error rises again
    return best


def _normal_equations(parts: Tensor, moments: Moments) -> tuple[Tensor, Tensor]:
    """Return cov(y, y) and W cov(x - y, y), the two sides of the normal equations for the filters W."""
    covariance, cross = moments.covariances()
    return covariance, parts @ cross.sub_(covariance)


def _change(covariance: Tensor, missing: Tensor, ridge: float, variance: Tensor) -> Tensor:
    """Return the change of the filters by ridge regression."""
    root, failed = torch.linalg.cholesky_ex(damped(covariance, ridge, variance))
    # a covariance that is not positive definite is rounding noise, so its filters do not change
    fixed = (failed > 0)[:, None, None]
    return torch.cholesky_solve(missing.mT, root).mT.masked_fill(fixed, 0.0)
