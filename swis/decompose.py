"""Weights as few powers of two: SWIS, SWIS-C, and the truncation and rounding they replace.

The decomposition works on the integer codes of the base quantizer. What the paper's abstract does
not state (the selection, the metric's alpha, tie breaking, the layout) is reconstructed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

METHODS = ("swis", "swis_c", "truncate", "round")

# Groups handled at once: bounds memory; the result does not depend on it.
_CHUNK_GROUPS = 1 << 18


@dataclass(frozen=True)
class Decomposition:
    """Codes rebuilt from shift sets, one set for each group.

    ``codes`` [filters, weights] int16 are the approximated codes: bit s of \\|codes\\| is the
    weight's mask for shift s. ``shift_sets`` [filters, groups] int16 holds each group's set S as
    a bit field: bit s is 1 where s is in S.
    """

    codes: Tensor
    shift_sets: Tensor
    magnitude_bits: int


def to_filters(weight: Tensor) -> Tensor:
    """Lay a weight out as one row per filter: [out, in, kh, kw] -> [out, kh * kw * in].

    A linear weight [out, in] stays as it is.

    >>> to_filters(torch.arange(8).reshape(1, 2, 2, 2)).tolist()
    [[0, 4, 1, 5, 2, 6, 3, 7]]
    """
    return weight.movedim(1, -1).flatten(1)


def from_filters(rows: Tensor, shape: torch.Size) -> Tensor:
    """Undo ``to_filters``: [out, kh * kw * in] -> ``shape`` = [out, in, kh, kw].

    >>> w = torch.arange(12).reshape(1, 3, 2, 2)
    >>> torch.equal(from_filters(to_filters(w), w.shape), w)
    True
    """
    return rows.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


def candidate_sets(method: str, shifts: int, magnitude_bits: int) -> list[tuple[int, ...]]:
    """List the shift sets a group may take, in lexicographic order.

    >>> candidate_sets("swis", 2, 3), candidate_sets("swis_c", 2, 3), candidate_sets("round", 2, 3)
    ([(0, 1), (0, 2), (1, 2)], [(0, 1), (1, 2)], [(1, 2)])
    """
    _check(method, shifts, magnitude_bits)
    if method == "swis":
        return list(combinations(range(magnitude_bits), shifts))
    first = 0 if method == "swis_c" else magnitude_bits - shifts
    return [tuple(range(low, low + shifts)) for low in range(first, magnitude_bits - shifts + 1)]


def nearest_levels(shift_set: tuple[int, ...], magnitude_bits: int) -> Tensor:
    """Tabulate, for every magnitude 0..2^B - 1, the nearest sum of powers from a shift set.

    Returns int16 [2^B]. Of two equally near levels the smaller one is taken.

    >>> nearest_levels((0, 2), 3).tolist()
    [0, 1, 1, 4, 4, 5, 5, 5]
    """
    masks = [mask for n in range(len(shift_set) + 1) for mask in combinations(shift_set, n)]
    table = torch.tensor(sorted(sum(2**s for s in mask) for mask in masks), dtype=torch.int16)
    distance = (table[None, :] - torch.arange(2**magnitude_bits, dtype=torch.int16)[:, None]).abs()
    return table[distance.argmin(1)]  # argmin: the first of equals, and levels ascend


def decompose(
    codes: Tensor,
    method: str = "swis",
    shifts: int = 2,
    group_size: int = 4,
    alpha: float = 1.0,
    magnitude_bits: int = 7,
) -> Decomposition:
    """Approximate integer codes with ``shifts`` powers of two for each group of weights.

    ``codes`` [filters, weights] holds integers in -(2^B - 1)..2^B - 1. Each row is cut into
    groups of ``group_size`` consecutive weights, the last one padded with zeros. For every
    candidate set each weight takes its nearest level ("nearest" selection, reconstructed), and
    the set of least MSE++ wins: (1/M) (sum e^2 + alpha (sum e)^2), e = approximation - code.
    Ties go to the smaller level, then to the lexicographically smallest set. "truncate" keeps the
    top ``shifts`` bits of every magnitude, "round" takes the nearest such level, halves to even
    as the base quantizer does: halves downwards would shrink the weights and weaken the baseline.

    Raises ``ValueError`` for an unknown method, for parameters out of range and for codes that
    do not fit ``magnitude_bits``.

    >>> d = decompose(torch.tensor([[66, -2, 64, 3]]), shifts=2)
    >>> d.codes.tolist(), [s for s in range(7) if d.shift_sets.item() >> s & 1]
    ([[66, -2, 64, 2]], [1, 6])
    """
    _check(method, shifts, magnitude_bits)
    if group_size < 1 or alpha < 0:
        raise ValueError(f"group_size must be >= 1 and alpha >= 0, not {group_size} and {alpha}")
    if codes.ndim != 2 or codes.is_floating_point():
        raise ValueError(f"codes must be integers [filters, weights], not {codes.dtype} {list(codes.shape)}")
    largest = int(codes.abs().amax()) if codes.numel() else 0
    if largest >= 2**magnitude_bits:
        raise ValueError(f"codes reach {largest}, more than {magnitude_bits} magnitude bits hold")

    sets = candidate_sets(method, shifts, magnitude_bits)
    if method == "truncate":
        kept = sum(2**s for s in sets[0])
        tables = torch.arange(2**magnitude_bits, dtype=torch.int16)[None, :] & kept
    elif method == "round":
        step = 2 ** (magnitude_bits - shifts)
        rounded = (torch.arange(2**magnitude_bits) / step).round() * step
        tables = rounded.clamp(max=2**magnitude_bits - step).short()[None, :]
    else:
        tables = torch.stack([nearest_levels(s, magnitude_bits) for s in sets])
    tables = tables.to(codes.device)
    fields = torch.tensor([sum(2**s for s in chosen) for chosen in sets], dtype=torch.int16)

    filters, weights = codes.shape
    padded = torch.nn.functional.pad(codes.to(torch.int16), (0, -weights % group_size))
    groups = padded.reshape(-1, group_size)
    chunks = [_best_sets(chunk, tables, alpha) for chunk in groups.split(_CHUNK_GROUPS)]
    chosen = torch.cat([best for best, _ in chunks])
    approximated = torch.cat([codes for _, codes in chunks])
    return Decomposition(
        approximated.reshape(filters, -1)[:, :weights].contiguous(),
        fields.to(codes.device)[chosen].reshape(filters, -1),
        magnitude_bits,
    )


def _best_sets(groups: Tensor, tables: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Choose a set for each group [n, M]: its index in ``tables`` [n] and the codes [n, M]."""
    magnitude, sign = groups.abs().long(), groups.sign()
    best = torch.zeros(len(groups), dtype=torch.long, device=groups.device)
    best_cost = torch.full((len(groups),), torch.inf, dtype=torch.float64, device=groups.device)
    for index, table in enumerate(tables):
        error = (table[magnitude] * sign - groups).int()
        # integers below 2^53 are exact in float64, so a tie is a tie on every device
        cost = error.square().sum(1).double() + alpha * error.sum(1).double().square()
        better = cost < best_cost  # strict: of equals the first, lexicographically smallest, stays
        best = torch.where(better, index, best)
        best_cost = torch.where(better, cost, best_cost)
    return best, tables[best[:, None], magnitude] * sign


def _check(method: str, shifts: int, magnitude_bits: int) -> None:
    if method not in METHODS:
        raise ValueError(f"method is one of {METHODS}, not {method!r}")
    if not 1 <= magnitude_bits <= 8:
        raise ValueError(f"magnitude_bits must be in 1..8, not {magnitude_bits}")
    if not 1 <= shifts <= magnitude_bits:
        raise ValueError(f"shifts must be in 1..{magnitude_bits} (the magnitude bits), not {shifts}")
