"""Codes brought to the levels of a format, group by group.

The decomposition works on the integer codes of the quantizer. What the paper's abstract does not state (the
selection, the metric's alpha, tie breaking, the layout) is reconstructed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from swis.encoding.search.joint import joint
from swis.encoding.search.nearest import nearest
from swis.formats.weight_format import WeightFormat

LARGEST_JOINT_GROUP = 64  # its time and memory grow with the square of the group

# Groups handled at once by the torch search: bounds memory; the result does not depend on it.
_CHUNK_GROUPS = 1 << 18


@dataclass(frozen=True)
class Decomposition:
    """Codes on the levels of their groups' sets.

    ``codes`` [filters, weights] are the levels with their signs, int8 (int16 for 8 magnitude bits).
    ``shift_sets`` [filters, groups] uint8 holds what each group's set is called (``WeightFormat.set_ids``):
    for sets of exponents S a bit field, bit s is 1 where s is in S.
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


def decompose(codes: Tensor, fmt: WeightFormat) -> Decomposition:
    """Bring integer codes to the levels of a format whose levels approximate them (``form.on_codes``).

    ``codes`` [filters, weights] holds integers in -(2^B - 1)..2^B - 1. Each row is cut into groups of
    ``group_size`` consecutive weights, the last one padded with zeros. For every candidate set each weight
    takes its nearest level (``selection`` "nearest", reconstructed), and the set of least MSE++ wins:
    (1/M) (sum e^2 + alpha (sum e)^2), e = approximation - code. Ties go to the smaller level, then to the
    first set. "joint" selection (ours) takes the levels that minimise MSE++ together; of equals the first
    set, then the smallest levels, first weight first.

    Raises ``ValueError`` for parameters out of range and for codes that do not fit ``magnitude_bits``.

    >>> from swis.formats.swis import Swis
    >>> d = decompose(torch.tensor([[66, -2, 64, 3]]), Swis(shifts=2))
    >>> d.codes.tolist(), [s for s in range(7) if d.shift_sets.item() >> s & 1]
    ([[66, -2, 64, 2]], [1, 6])
    """
    if not fmt.on_codes:
        raise ValueError(f"{fmt.name} has no levels of its own to bring codes to")
    fmt.check()
    if fmt.group_size != int(fmt.group_size) or not fmt.alpha < math.inf:
        raise ValueError(f"group_size must be whole and alpha finite, not {fmt.group_size} and {fmt.alpha}")
    if fmt.selection == "joint" and fmt.group_size > LARGEST_JOINT_GROUP:
        raise ValueError(
            f"joint selection is for groups of up to {LARGEST_JOINT_GROUP}, not {fmt.group_size}"
        )
    if codes.ndim != 2 or codes.is_floating_point() or codes.is_complex():
        raise ValueError(f"codes must be integers [filters, weights], not {codes.dtype} {list(codes.shape)}")
    largest = max(abs(int(value)) for value in codes.aminmax()) if codes.numel() else 0
    if largest >= 2**fmt.magnitude_bits:
        raise ValueError(f"codes reach {largest}, more than {fmt.magnitude_bits} magnitude bits hold")

    group_size = min(int(fmt.group_size), max(1, codes.shape[1]))  # what is beyond a filter is padding
    alpha = min(fmt.alpha, 2.0**100)  # as good as any larger one, and no metric becomes infinite
    settings = (group_size, alpha, torch.get_num_threads())
    table, ids = fmt.level_table(), np.array(fmt.set_ids(), np.uint8)
    rows = codes.to(torch.int8 if fmt.magnitude_bits <= 7 else torch.int16).contiguous()
    if fmt.selection == "joint" and fmt.grouped and alpha > 0:
        approximated, chosen = joint(rows.cpu().numpy(), table, ids, _levels(fmt), *settings)
    elif codes.device.type == "cpu":
        approximated, chosen = nearest(rows.numpy(), table, ids, *settings)
    else:
        tables = torch.from_numpy(table), torch.from_numpy(ids)
        return Decomposition(*_nearest_in_torch(rows, *tables, group_size, alpha), fmt.magnitude_bits)
    found = (torch.from_numpy(array).to(codes.device) for array in (approximated, chosen))
    return Decomposition(*found, fmt.magnitude_bits)


def _levels(fmt: WeightFormat) -> np.ndarray:
    """Return the levels of all sets, int16 [sets, levels]; sets with fewer repeat their largest."""
    sets = fmt.level_sets()
    most = max(map(len, sets))
    return np.array([[*chosen, *[chosen[-1]] * (most - len(chosen))] for chosen in sets], np.int16)


def _nearest_in_torch(
    rows: Tensor, tables: Tensor, fields: Tensor, group_size: int, alpha: float
) -> tuple[Tensor, Tensor]:
    """Do what ``swis.encoding.search.nearest.nearest`` does on any device of torch."""
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
