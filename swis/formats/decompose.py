"""Weights as few powers of two: SWIS, SWIS-C, and the truncation and rounding they replace.

The decomposition works on the integer codes of the base quantizer. What the paper's abstract does
not state (the selection, the metric's alpha, tie breaking, the layout) is reconstructed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from swis.formats.search.joint import joint
from swis.formats.search.nearest import nearest
from swis.options.names import require_known

GROUPED = ("swis", "swis_c")  # groups choose among several shift sets
METHODS = (*GROUPED, "truncate", "round")
SELECTIONS = ("nearest", "joint")
LARGEST_JOINT_GROUP = 64  # its time and memory grow with the square of the group

# Groups handled at once by the torch search: bounds memory; the result does not depend on it.
_CHUNK_GROUPS = 1 << 18


@dataclass(frozen=True)
class Decomposition:
    """Codes rebuilt from shift sets, one set for each group.

    ``codes`` [filters, weights] are the approximated codes, int8 (int16 for 8 magnitude bits): bit s
    of \\|codes\\| is the weight's mask for shift s. ``shift_sets`` [filters, groups] uint8 holds each
    group's set S as a bit field: bit s is 1 where s is in S.
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


def consecutive(method: str, shifts: int, magnitude_bits: int) -> bool:
    """Say whether the shifts of every set that a group may take are consecutive.

    >>> [consecutive("swis", shifts, 3) for shifts in (1, 2, 3)], consecutive("swis_c", 2, 3)
    ([True, False, True], True)
    """
    return all(s[-1] - s[0] == shifts - 1 for s in candidate_sets(method, shifts, magnitude_bits))


def levels(shift_set: tuple[int, ...]) -> list[int]:
    """List the sums of powers of two from a shift set, ascending.

    >>> levels((0, 2))
    [0, 1, 4, 5]
    """
    masks = [mask for n in range(len(shift_set) + 1) for mask in combinations(shift_set, n)]
    return sorted(sum(2**s for s in mask) for mask in masks)


def nearest_levels(shift_set: tuple[int, ...], magnitude_bits: int) -> Tensor:
    """Tabulate, for every magnitude 0..2^B - 1, the nearest sum of powers from a shift set.

    Returns int16 [2^B]. Of two equally near levels the smaller one is taken.

    >>> nearest_levels((0, 2), 3).tolist()
    [0, 1, 1, 4, 4, 5, 5, 5]
    """
    table = torch.tensor(levels(shift_set), dtype=torch.int16)
    distance = (table[None, :] - torch.arange(2**magnitude_bits, dtype=torch.int16)[:, None]).abs()
    return table[distance.argmin(1)]  # argmin: the first of equals, and levels ascend


@cache
def level_tables(method: str, shifts: int, magnitude_bits: int) -> tuple[Tensor, Tensor]:
    """Tabulate the level that a magnitude takes in each of the candidate sets: not to be changed.

    Returns int16 [sets, 2^B] and uint8 [sets], the sets as bit fields.

    >>> tables, fields = level_tables("round", 1, 3)
    >>> tables.tolist(), fields.tolist()
    ([[0, 0, 0, 4, 4, 4, 4, 4]], [4])
    """
    sets = candidate_sets(method, shifts, magnitude_bits)
    magnitudes = torch.arange(2**magnitude_bits, dtype=torch.int16)
    if method == "truncate":
        tables = magnitudes[None, :] & sum(2**s for s in sets[0])
    elif method == "round":
        step = 2 ** (magnitude_bits - shifts)
        rounded = (magnitudes / step).round() * step
        tables = rounded.clamp(max=2**magnitude_bits - step).short()[None, :]
    else:
        tables = torch.stack([nearest_levels(s, magnitude_bits) for s in sets])
    return tables, torch.tensor([sum(2**s for s in chosen) for chosen in sets], dtype=torch.uint8)


def decompose(
    codes: Tensor,
    method: str = "swis",
    shifts: int = 2,
    group_size: int = 4,
    alpha: float = 1.0,
    magnitude_bits: int = 7,
    selection: str = "nearest",
) -> Decomposition:
    """Approximate integer codes with ``shifts`` powers of two for each group of weights.

    ``codes`` [filters, weights] holds integers in -(2^B - 1)..2^B - 1. Each row is cut into
    groups of ``group_size`` consecutive weights, the last one padded with zeros. For every
    candidate set each weight takes its nearest level (``selection`` "nearest", reconstructed), and
    the set of least MSE++ wins: (1/M) (sum e^2 + alpha (sum e)^2), e = approximation - code.
    Ties go to the smaller level, then to the lexicographically smallest set. "joint" selection
    (ours) takes the levels that minimise MSE++ together; of equals the lexicographically smallest
    set, then the smallest levels, first weight first. "truncate" keeps the
    top ``shifts`` bits of every magnitude, "round" takes the nearest such level, halves to even
    as the base quantizer does: halves downwards would shrink the weights and weaken the baseline.

    Raises ``ValueError`` for an unknown method, for parameters out of range and for codes that
    do not fit ``magnitude_bits``.

    >>> d = decompose(torch.tensor([[66, -2, 64, 3]]), shifts=2)
    >>> d.codes.tolist(), [s for s in range(7) if d.shift_sets.item() >> s & 1]
    ([[66, -2, 64, 2]], [1, 6])
    """
    _check(method, shifts, magnitude_bits)
    if group_size != int(group_size) or group_size < 1 or not 0 <= alpha < math.inf:
        raise ValueError(f"group_size must be >= 1 and alpha >= 0, finite, not {group_size} and {alpha}")
    require_known("selection", selection, SELECTIONS)
    if selection == "joint" and group_size > LARGEST_JOINT_GROUP:
        raise ValueError(f"joint selection is for groups of up to {LARGEST_JOINT_GROUP}, not {group_size}")
    if codes.ndim != 2 or codes.is_floating_point() or codes.is_complex():
        raise ValueError(f"codes must be integers [filters, weights], not {codes.dtype} {list(codes.shape)}")
    largest = max(abs(int(value)) for value in codes.aminmax()) if codes.numel() else 0
    if largest >= 2**magnitude_bits:
        raise ValueError(f"codes reach {largest}, more than {magnitude_bits} magnitude bits hold")

    sets = candidate_sets(method, shifts, magnitude_bits)
    group_size = min(int(group_size), max(1, codes.shape[1]))  # what is beyond a filter is padding
    alpha = min(alpha, 2.0**100)  # as good as any larger one, and no metric becomes infinite
    settings = (group_size, alpha, torch.get_num_threads())
    tables, fields = level_tables(method, shifts, magnitude_bits)
    rows = codes.to(torch.int8 if magnitude_bits <= 7 else torch.int16).contiguous()
    if selection == "joint" and method in GROUPED and alpha > 0:
        choices = np.array([levels(chosen) for chosen in sets], np.int16)
        approximated, chosen = joint(rows.cpu().numpy(), tables.numpy(), fields.numpy(), choices, *settings)
    elif codes.device.type == "cpu":
        approximated, chosen = nearest(rows.numpy(), tables.numpy(), fields.numpy(), *settings)
    else:
        return Decomposition(*_nearest_in_torch(rows, tables, fields, group_size, alpha), magnitude_bits)
    found = (torch.from_numpy(array).to(codes.device) for array in (approximated, chosen))
    return Decomposition(*found, magnitude_bits)


def _nearest_in_torch(
    rows: Tensor, tables: Tensor, fields: Tensor, group_size: int, alpha: float
) -> tuple[Tensor, Tensor]:
    """Do what ``swis.formats.search.nearest.nearest`` does on any device of torch."""
    filters, weights = rows.shape
    tables, fields = tables.to(rows.device), fields.to(rows.device)
    groups = torch.nn.functional.pad(rows, (0, -weights % group_size)).reshape(-1, group_size)
    parts = [_best_sets(part, tables, alpha) for part in groups.split(_CHUNK_GROUPS)]
    approximated = torch.cat([codes for _, codes in parts]).to(rows.dtype)
    chosen = fields[torch.cat([best for best, _ in parts])]
    return approximated.reshape(filters, -1)[:, :weights].contiguous(), chosen.reshape(filters, -1)


def _best_sets(groups: Tensor, tables: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Choose a set for each group [n, M]: its index in ``tables`` [n] and the codes [n, M]."""
    groups = groups.int()
    magnitude, sign = groups.abs(), groups.sign()
    best = torch.zeros(len(groups), dtype=torch.long, device=groups.device)
    best_cost = torch.full((len(groups),), torch.inf, dtype=torch.float64, device=groups.device)
    for index, table in enumerate(tables):
        error = table[magnitude] * sign - groups
        # integers below 2^53 are exact in float64, so a tie is a tie on every device
        cost = error.square().sum(1).double() + alpha * error.sum(1).double().square()
        better = cost < best_cost  # strict: of equals the first, lexicographically smallest, stays
        best = torch.where(better, index, best)
        best_cost = torch.where(better, cost, best_cost)
    return best, tables[best[:, None], magnitude] * sign


def _check(method: str, shifts: int, magnitude_bits: int) -> None:
    require_known("method", method, METHODS)
    if not 1 <= magnitude_bits <= 8:
        raise ValueError(f"magnitude_bits must be in 1..8, not {magnitude_bits}")
    if not 1 <= shifts <= magnitude_bits:
        raise ValueError(f"shifts must be in 1..{magnitude_bits} (the magnitude bits), not {shifts}")
