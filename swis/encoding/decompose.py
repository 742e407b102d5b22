"""Decomposition: integer codes become levels of a format, group by group.

The paper's abstract does not state the selection, the alpha of the metric, the order of ties and the layout;
all of them are reconstructed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from swis.encoding.search.joint import joint
from swis.encoding.search.nearest import nearest
from swis.formats.weight_format import LARGEST_JOINT_GROUP, WeightFormat

# Groups per chunk of the torch search. It limits the memory; the result does not depend on it.
_CHUNK_GROUPS = 1 << 18


@dataclass(frozen=True)
class Decomposition:
    """The result of a decomposition.

    ``codes`` [filters, weights]: levels with signs, int8 (int16 for 8 magnitude bits). ``shift_sets``
    [filters, groups], uint8: the id of each group's set (``WeightFormat.set_ids``). The id of a shift set S
    has bit s set for every s in S.
    """

    codes: Tensor
    shift_sets: Tensor
    magnitude_bits: int


def to_filters(weight: Tensor) -> Tensor:
    """Return a weight with one row per filter: [out, in, kh, kw] -> [out, kh * kw * in].

    A linear weight [out, in] is returned unchanged.

    >>> to_filters(torch.arange(8).reshape(1, 2, 2, 2)).tolist()
    [[0, 4, 1, 5, 2, 6, 3, 7]]
    """
    return weight.movedim(1, -1).flatten(1)


def from_filters(rows: Tensor, shape: torch.Size) -> Tensor:
    """Return the weight of ``to_filters``'s rows: [out, kh * kw * in] -> ``shape`` = [out, in, kh, kw].

    >>> w = torch.arange(12).reshape(1, 3, 2, 2)
    >>> torch.equal(from_filters(to_filters(w), w.shape), w)
    True
    """
    return rows.reshape(shape[0], *shape[2:], shape[1]).movedim(-1, 1)


def decompose(codes: Tensor, fmt: WeightFormat) -> Decomposition:
    """Decompose integer codes into a format whose levels approximate codes (``fmt.on_codes``).

    ``codes`` [filters, weights] are integers in -(2^B - 1)..2^B - 1. Each row is cut into groups of
    M = ``fmt.metric_weights`` consecutive weights; the last group is padded with zeros. The candidate set of
    least MSE++ = (1/M) (sum e^2 + alpha (sum e)^2) wins, with e = level - code.

    ``selection`` "nearest" (reconstructed): under every candidate set, each weight takes its nearest level. A
    tie goes to the smaller level, then to the first set. "joint" (ours): the levels of a group together
    minimise MSE++. A tie goes to the first set, then to the smallest level of the first weight that differs.

    Raises ``ValueError`` for settings out of range and for codes that do not fit into ``magnitude_bits``.

    >>> from swis.formats.swis import Swis
    >>> d = decompose(torch.tensor([[66, -2, 64, 3]]), Swis(shifts=2))
    >>> d.codes.tolist(), [s for s in range(7) if d.shift_sets.item() >> s & 1]
    ([[66, -2, 64, 2]], [1, 6])
    """
    if not fmt.on_codes:
        raise ValueError(f"{fmt.name} has no levels that approximate codes")
    fmt.check()
    size = fmt.metric_weights
    if size != int(size) or not fmt.alpha < math.inf:
        raise ValueError(f"group_size must be a whole number and alpha finite, not {size} and {fmt.alpha}")
    if fmt.selection == "joint" and size > LARGEST_JOINT_GROUP:
        raise ValueError(f"joint selection needs group_size <= {LARGEST_JOINT_GROUP}, not {size}")
    if codes.ndim != 2 or codes.is_floating_point() or codes.is_complex():
        raise ValueError(f"codes must be integers [filters, weights], not {codes.dtype} {list(codes.shape)}")
    largest = max(abs(int(value)) for value in codes.aminmax()) if codes.numel() else 0
    if largest >= 2**fmt.magnitude_bits:
        raise ValueError(f"codes reach {largest}, which does not fit into {fmt.magnitude_bits} bits")

    group_size = min(int(size), max(1, codes.shape[1]))  # a larger group only adds padding
    alpha = min(fmt.alpha, 2.0**100)  # larger values choose the same sets, but overflow to infinity
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
    """Return the levels of all sets, int16 [sets, levels]; a short set repeats its largest level."""
    sets = fmt.level_sets()
    most = max(map(len, sets))
    return np.array([[*chosen, *[chosen[-1]] * (most - len(chosen))] for chosen in sets], np.int16)


def _nearest_in_torch(
    rows: Tensor, tables: Tensor, set_ids: Tensor, group_size: int, alpha: float
) -> tuple[Tensor, Tensor]:
    """Return the result of ``swis.encoding.search.nearest.nearest``, on any device of torch."""
    filters, weights = rows.shape
    tables, set_ids = tables.to(rows.device), set_ids.to(rows.device)
    groups = torch.nn.functional.pad(rows, (0, -weights % group_size)).reshape(-1, group_size)
    parts = [_best_sets(part, tables, alpha) for part in groups.split(_CHUNK_GROUPS)]
    approximated = torch.cat([codes for _, codes in parts]).to(rows.dtype)
    chosen = set_ids[torch.cat([best for best, _ in parts])]
    return approximated.reshape(filters, -1)[:, :weights].contiguous(), chosen.reshape(filters, -1)


def _best_sets(groups: Tensor, tables: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return the best set of each group [n, M]: its index in ``tables`` [n], and the levels [n, M]."""
    groups = groups.int()
    magnitude, sign = groups.abs(), groups.sign()
    best = torch.zeros(len(groups), dtype=torch.long, device=groups.device)
    best_cost = torch.full((len(groups),), torch.inf, dtype=torch.float64, device=groups.device)
    for index, table in enumerate(tables):
        error = table[magnitude] * sign - groups
        # float64 is exact for integers below 2^53, so ties are the same on every device
        cost = error.square().sum(1).double() + alpha * error.sum(1).double().square()
        better = cost < best_cost  # strictly less, so that a tie keeps the first set
        best = torch.where(better, index, best)
        best_cost = torch.where(better, cost, best_cost)
    return best, tables[best[:, None], magnitude] * sign
