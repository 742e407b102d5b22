"""The GPTQ pass: compared with a simple oracle, and its properties on any Hessian."""

from itertools import combinations, pairwise, product

import numpy as np
import pytest
import torch

from swis.calibration.gptq import factors, walk
from swis.calibration.ridge import damped
from swis.encoding.decompose import decompose
from swis.formats.registry import weight_format


def random_hessian(width: int, seed: int = 0, samples: int = 500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator) * torch.rand(width, 1, generator=generator) ** 2
    inputs = torch.randn(samples, width, generator=generator) @ mix
    return damped((inputs.T @ inputs / samples).double()[None], 0.01)


def targets(filters: int, width: int, top: float = 127.0) -> torch.Tensor:
    weight = torch.randn(filters, width, generator=torch.Generator().manual_seed(1)).double()
    return weight / weight.abs().amax(1, keepdim=True) * top


def quantized(target, hessian, group_size, method="swis", shifts=2, bits=7, rounds=3, threads=1):
    owner = np.arange(len(target)) // (len(target) // len(hessian))
    fmt = weight_format(method, shifts, magnitude_bits=bits)
    return walk(target, factors(hessian, group_size), owner, fmt, rounds, threads)


def error(codes, target, hessian) -> torch.Tensor:
    off = codes.double() - target
    return ((off @ hessian[0]) * off).sum(1)


@pytest.mark.parametrize("method", ["swis", "swis_c", "truncate", "round", "uniform", "int8"])
@pytest.mark.parametrize("shifts", [1, 2, 3])
def test_without_correlation_every_group_gets_its_nearest_levels(method, shifts):
    bits, group_size = 3, 2
    top = 2.0 ** (shifts if method == "uniform" else bits) - 1
    target = targets(6, 4, top)
    codes, _ = quantized(target, torch.eye(4).double()[None], group_size, method, shifts, bits)
    if method == "uniform":
        sets = [tuple(range(shifts))]
    elif method == "int8":
        sets = [tuple(range(bits))]
    elif method == "swis":
        sets = [s for s in product(range(bits), repeat=shifts) if list(s) == sorted(set(s))]
    else:
        first = 0 if method == "swis_c" else bits - shifts
        sets = [tuple(range(low, low + shifts)) for low in range(first, bits - shifts + 1)]
    for row, found in zip(target.tolist(), codes.tolist(), strict=True):
        for start in (0, 2):
            group = row[start : start + 2]
            best = None
            for chosen in sets:
                masks = product((0, 1), repeat=len(chosen))
                levels = [sum(m * 2**s for m, s in zip(mask, chosen, strict=True)) for mask in masks]
                if method == "truncate":
                    near = [max(level for level in levels if level <= abs(w)) for w in group]
                else:
                    near = [min(levels, key=lambda level, w=w: abs(level - abs(w))) for w in group]
                cost = sum((level - abs(w)) ** 2 for level, w in zip(near, group, strict=True))
                if best is None or cost < best[0] - 1e-9:
                    best = (cost, near)
            assert [abs(code) for code in found[start : start + 2]] == best[1]


def oracle(target, hessian, group_size, levels, rounds):
    """The GPTQ pass and the coordinate descent for one filter, in float64 and as the equations say."""
    width, codes = len(target), np.zeros(len(target))
    upper = np.linalg.cholesky(np.linalg.inv(hessian)).T
    rest = target.copy()

    def best_set(values, factor):
        """Return the levels of the set of least error, quantized with error feedback."""
        best = None
        for choice in levels:
            moved, found, errors = values.copy(), np.zeros(len(values)), np.zeros(len(values))
            for j in range(len(values)):
                nearest = choice[np.abs(choice - abs(moved[j])).argmin()]
                found[j] = np.copysign(nearest, moved[j])
                errors[j] = (moved[j] - found[j]) / factor[j, j]
                moved[j + 1 :] -= errors[j] * factor[j, j + 1 :]
            if best is None or errors @ errors < best[0]:
                best = (errors @ errors, found, errors)
        return best

    for start in range(0, width, group_size):
        group = slice(start, min(start + group_size, width))
        _, codes[group], errors = best_set(rest[group], upper[group, group])
        rest[group.stop :] -= errors @ upper[group, group.stop :]
    for _ in range(rounds):
        for start in range(0, width, group_size):
            group = slice(start, min(start + group_size, width))
            own = hessian[group, group]
            off = codes - target
            optimum = codes[group] - np.linalg.solve(own, hessian[group] @ off)
            cost, found, _ = best_set(optimum, np.linalg.cholesky(np.linalg.inv(own)).T)
            present_cost = (codes[group] - optimum) @ own @ (codes[group] - optimum)
            if cost < present_cost * (1 - 1e-5):
                codes[group] = found
    return codes


@pytest.mark.parametrize("rounds", [0, 3])
@pytest.mark.parametrize(
    ("method", "shifts", "group_size"), [("swis", 2, 4), ("swis", 3, 3), ("round", 2, 1)]
)
def test_with_correlation_the_result_equals_the_oracle(method, shifts, group_size, rounds):
    target, hessian = targets(12, 22), random_hessian(22)
    found, _ = quantized(target, hessian, group_size, method, shifts, rounds=rounds)
    sets = combinations(range(7), shifts) if method == "swis" else [range(7 - shifts, 7)]
    masks = list(product((0, 1), repeat=shifts))
    levels = [
        np.unique([sum(m << s for m, s in zip(mask, chosen, strict=True)) for mask in masks])
        for chosen in sets
    ]
    expected = [oracle(row, hessian[0].numpy(), group_size, levels, rounds) for row in target.numpy()]
    same = torch.from_numpy(np.stack(expected)) == found
    assert same.float().mean() > 0.98  # float32 can decide a near tie differently, which changes later codes


@pytest.mark.parametrize("group_size", [1, 3, 4, 16])
@pytest.mark.parametrize("shifts", [1, 2, 4])
def test_codes_use_their_group_s_set_and_have_less_error_than_nearest_codes(group_size, shifts):
    target, hessian = targets(8, 24), random_hessian(24)
    codes, sets = quantized(target, hessian, group_size, shifts=shifts)
    of_weight = sets.repeat_interleave(group_size, 1)[:, :24].short()
    assert torch.all(codes.abs() & ~of_weight == 0)
    assert all(int(set_id).bit_count() == shifts for set_id in sets.flatten())
    plain = decompose(
        target.round().to(torch.int8), weight_format("swis", shifts, group_size, alpha=0.0)
    ).codes
    assert error(codes, target, hessian).sum() < 0.7 * error(plain, target, hessian).sum()


def test_rounds_of_coordinate_descent_never_raise_the_error():
    target, hessian = targets(16, 32), random_hessian(32)
    errors = [error(quantized(target, hessian, 4, rounds=n)[0], target, hessian) for n in (0, 1, 2, 8)]
    for less, more in pairwise(errors):
        assert torch.all(more <= less * (1 + 1e-4))
    assert errors[-1].sum() < 0.9 * errors[0].sum()


def test_filters_use_the_hessian_of_their_group_of_the_convolution():
    target = targets(6, 9)
    hessians = torch.cat([random_hessian(9, seed) for seed in range(3)])
    codes, sets = quantized(target, hessians, 4)
    for number in range(3):
        mine = slice(2 * number, 2 * number + 2)
        alone = quantized(target[mine], hessians[number : number + 1], 4)
        assert torch.equal(codes[mine], alone[0])
        assert torch.equal(sets[mine], alone[1])


def test_the_number_of_threads_does_not_change_the_result():
    target, hessian = targets(33, 20), random_hessian(20)
    for one, two in zip(quantized(target, hessian, 4), quantized(target, hessian, 4, threads=3), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    "covariance",
    [
        torch.zeros(1, 8, 8),
        torch.ones(1, 8, 8),
        torch.diag(torch.tensor([0.0, 0, 0, 1, 1, 1, 1, 1e-20]))[None],
        torch.diag(torch.full((8,), 1e-30))[None],
    ],
    ids=["zeros", "one direction", "dead inputs", "tiny"],
)
def test_a_singular_hessian_is_damped(covariance):
    target = targets(4, 8)
    codes, _ = quantized(target, damped(covariance.double(), 0.01), 4, shifts=3)
    assert codes.abs().max() <= 127
    diagonal = covariance[0].diagonal()
    live = diagonal >= 1e-10 * diagonal.max()
    assert (codes.double() - target)[:, live].abs().mean() < 20
