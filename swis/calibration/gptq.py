"""The GPTQ pass for shift sets: sets and levels are chosen for the least error of a layer's output.

An error e of a filter's weights gives the output error e^T H e, with H = sum x x^T over the layer's inputs x.
The pass quantizes the groups one after another. For each candidate set it quantizes the group's weights in
turn and spreads every error over the later weights, with the Cholesky factor of H^-1 (GPTQ, Frantar et al.
2022, does so for single weights). The set of least error is kept. Then rounds of coordinate descent choose
each group again, given all other groups, while the error falls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from swis.formats.weight_format import WeightFormat
from swis.runtime.compiled import njit

_PART = 8  # filters per task of a thread

# The tables of ``Prices`` and the fewest bits of a set's levels, where bits cost nothing.
_WITHOUT_PRICES = (np.zeros((0, 0), np.float32),) * 2 + (np.zeros(0, np.float32),) * 2


@dataclass(frozen=True)
class Factors:
    """H and its Cholesky factors for groups of ``group_size`` weights, float32.

    ``hessian`` [inputs, K, K] is H; "inputs" counts the groups of a convolution, which see different inputs.
    ``whole`` [inputs, K, K] is the upper factor U of H^-1 = U^T U. ``local`` [inputs, groups, M, M] holds the
    same factor for the block of H that belongs to each group of weights.
    """

    group_size: int
    hessian: np.ndarray
    whole: np.ndarray
    local: np.ndarray


def factors(hessian: Tensor, group_size: int) -> Factors:
    """Return the factors of a positive definite ``hessian`` [inputs, K, K], float64.

    >>> factors(torch.eye(3).double()[None] / 4, group_size=2).whole[0].diagonal().tolist()
    [2.0, 2.0, 2.0]
    """
    whole = torch.linalg.cholesky(torch.linalg.inv(hessian), upper=True).float().cpu()
    starts = range(0, hessian.shape[1], group_size)
    hessian = hessian.cpu()
    local = np.zeros((len(hessian), len(starts), group_size, group_size), np.float32)
    for number, start in enumerate(starts):
        group = slice(start, start + group_size)
        block = torch.linalg.inv(hessian[:, group, group])
        size = block.shape[1]
        local[:, number, :size, :size] = torch.linalg.cholesky(block, upper=True).numpy()
    # LAPACK returns columns; the pass reads rows, which must be contiguous
    return Factors(group_size, hessian.float().contiguous().numpy(), whole.contiguous().numpy(), local)


@dataclass(frozen=True)
class Prices:
    """What the bits of levels cost, so that the pass minimises error + price x bits.

    ``levels`` float32 [sets, levels]: the levels of every set; a short set ends with inf. ``bits`` float32 of
    the same shape: the bits of each level, with its sign. ``set_bits`` float32 [sets]: the bits of each set.
    ``per_bit`` float32 [filters]: the error that one bit may save, in squared codes times H.
    """

    levels: np.ndarray
    bits: np.ndarray
    set_bits: np.ndarray
    per_bit: np.ndarray


def walk(
    target: Tensor,
    of: Factors,
    owner: np.ndarray,
    fmt: WeightFormat,
    rounds: int,
    threads: int,
    prices: Prices | None = None,
    kept: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Quantize filters with the GPTQ pass and ``rounds`` of coordinate descent.

    ``target`` [filters, K]: the weights divided by their scale. ``of``: the factors of H. ``owner``
    [filters]: the index of each filter's H in ``of``. ``prices``: what bits cost; None if they cost nothing.
    ``kept``: the indices of the candidate sets that groups may take; None for all.
    Returns codes int16 [filters, K] and the ids of the groups' sets, uint8 [filters, ceil(K / M)].
    """
    rows = target.to(torch.float32).contiguous().numpy()
    codes = np.empty(rows.shape, np.float32)
    sets = np.empty((len(rows), of.local.shape[1]), np.int64)
    ids, per_bit = np.array(fmt.set_ids(), np.uint8), np.zeros(len(rows), np.float32)
    places = np.arange(len(ids)) if kept is None else np.array(kept)
    search = (fmt.half_step_levels()[places], *_WITHOUT_PRICES)
    if prices is not None:
        # sets of few bits come first, so that most of the others are soon seen to cost more
        places = places[np.argsort(prices.set_bits[places], kind="stable")]
        tables = (fmt.half_step_levels(), prices.levels, prices.bits, prices.set_bits, prices.bits.min(1))
        search, per_bit = tuple(table[places] for table in tables), prices.per_bit
    settings = (owner, of.group_size, search, per_bit)

    def work(start: int, end: int) -> None:
        _gptq_pass(rows, of.whole, *settings, start, end, codes, sets)
        _coordinate_descent(rows, of.hessian, of.local, *settings, start, end, rounds, codes, sets)

    _in_parts(work, len(rows), threads)
    return torch.from_numpy(codes).to(torch.int16), torch.from_numpy(ids[places][sets])


def set_costs(
    target: Tensor, codes: Tensor, of: Factors, owner: np.ndarray, fmt: WeightFormat, threads: int
) -> np.ndarray:
    """Return the least error of every group under each candidate set, given the codes of all other groups.

    The arguments are those of ``walk``, and ``codes`` [filters, K] are its result. Returns float32 [filters,
    groups, sets], in squared codes times H.
    """
    rows, codes = (values.to(torch.float32).contiguous().numpy() for values in (target, codes))
    costs = np.empty((len(rows), of.local.shape[1], len(fmt.level_sets())), np.float32)
    search = (fmt.half_step_levels(), *_WITHOUT_PRICES)

    def work(start: int, end: int) -> None:
        _set_costs(rows, of.hessian, of.local, owner, of.group_size, search, start, end, codes, costs)

    _in_parts(work, len(rows), threads)
    return costs


def _in_parts(work: Callable[[int, int], None], filters: int, threads: int) -> None:
    """Call ``work`` for ranges of filters, in threads."""
    starts = range(0, filters, _PART)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda start: work(start, min(start + _PART, filters)), starts))


@njit(nogil=True)
def _add(values, vector, factor):
    for k in range(len(values)):  # only loops from zero are vectorized
        values[k] += factor * vector[k]


@njit(nogil=True)
def _choose(rest, search, per_bit, upper, at, size, trial, error, best_code, best_error):
    """Return the set of least cost for a group that is quantized weight by weight with error feedback.

    The cost is the error and ``per_bit`` times the bits. The group's targets are ``rest[:size]``. Its part of
    the factor ``upper`` starts at row and column ``at``. The best codes and errors are written to
    ``best_code`` and ``best_error``. Returns the index of the set and its cost.
    """
    levels = search[0]
    if per_bit > 0:
        return _choose_priced(rest, search, per_bit, upper, at, size, trial, error, best_code, best_error)
    top = levels.shape[1] - 1
    least, winner = np.inf, 0
    moved = np.empty(size, np.float32)
    for s in range(levels.shape[0]):
        moved[:] = rest[:size]
        total = 0.0
        for j in range(size):
            x = moved[j]
            level = levels[s, min(np.int64(2 * abs(x)), top)]
            trial[j] = level if x >= 0 else -level
            error[j] = (x - trial[j]) / upper[at + j, at + j]
            total += error[j] * error[j]
            if total >= least:
                break
            for k in range(j + 1, size):
                moved[k] -= error[j] * upper[at + j, at + k]
        if total < least:  # strictly less, so that a tie keeps the first set
            least, winner = total, s
            best_code[:size] = trial[:size]
            best_error[:size] = error[:size]
    return winner, least


@njit(nogil=True)
def _choose_priced(rest, search, per_bit, upper, at, size, trial, error, best_code, best_error):
    _, values, bits, set_bits, fewest = search
    least, winner = np.inf, 0
    moved, inverse = np.empty(size, np.float32), np.empty(size, np.float32)
    for j in range(size):
        inverse[j] = np.float32(1) / upper[at + j, at + j]
    for s in range(values.shape[0]):
        moved[:] = rest[:size]
        total = np.float64(per_bit * set_bits[s])
        for j in range(size):
            if total + (size - j) * np.float64(per_bit * fewest[s]) >= least:
                total = least
                break
            x = abs(moved[j])
            cost, level = np.float32(np.inf), np.float32(0)
            for i in range(values.shape[1]):
                off = (x - values[s, i]) * inverse[j]
                square = off * off
                if square >= cost and values[s, i] > x:
                    break  # all later levels are farther
                paid = square + per_bit * bits[s, i]
                if paid < cost:
                    cost, level = paid, values[s, i]
            trial[j] = level if moved[j] >= 0 else -level
            error[j] = (moved[j] - trial[j]) * inverse[j]
            total += cost
            for k in range(j + 1, size):
                moved[k] -= error[j] * upper[at + j, at + k]
        if total < least:
            least, winner = total, s
            best_code[:size] = trial[:size]
            best_error[:size] = error[:size]
    return winner, least


@njit(nogil=True)
def _bits_of(code, search, s):
    """Return the bits of a group's codes in set ``s``; infinite for a code that is none of its levels."""
    _, values, bits, set_bits, _ = search
    total = set_bits[s]
    for j in range(len(code)):
        found = np.float32(np.inf)
        for i in range(values.shape[1]):
            if values[s, i] == abs(code[j]):
                found = bits[s, i]
                break
        total += found
    return total


@njit(nogil=True)
def _gptq_pass(rows, factor, owner, group_size, search, per_bit, first, last, codes, sets):
    width = rows.shape[1]
    trial, error = np.empty(group_size, np.float32), np.empty(group_size, np.float32)
    best_error = np.empty(group_size, np.float32)
    rests = rows[first:last].copy()
    # filters are the inner loop, so that the factor's rows stay in the cache
    for start in range(0, width, group_size):
        size = min(group_size, width - start)
        for row in range(first, last):
            upper, rest = factor[owner[row]], rests[row - first]
            code = codes[row, start : start + size]
            winner, _ = _choose(
                *(rest[start:], search, per_bit[row], upper, start, size, trial, error, code, best_error)
            )
            sets[row, start // group_size] = winner
            for j in range(size):
                _add(rest[start + size :], upper[start + j, start + size :], -best_error[j])


@njit(nogil=True)
def _gradients(rows, hessian, owner, first, last, codes):
    """Return the errors e of the codes, float32, and H e, float64."""
    errors = codes[first:last] - rows[first:last]
    gradients = np.zeros(errors.shape, np.float64)
    for j in range(rows.shape[1]):
        for row in range(first, last):
            _add(gradients[row - first], hessian[owner[row], j], errors[row - first, j])
    return errors, gradients


@njit(nogil=True)
def _find_optimum(target, error, gradient, upper, start, size, optimum):
    """Write the targets of a group for which the codes of all other groups have the least error.

    Without quantization the best error of group g is e_g - H_gg^-1 (H e)_g, with H_gg^-1 = U^T U.
    """
    for j in range(size):
        back = 0.0
        for k in range(size):
            dot = 0.0
            for m in range(min(j, k) + 1):
                dot += upper[m, j] * upper[m, k]
            back += dot * gradient[start + k]
        optimum[j] = target[start + j] + error[start + j] - back


@njit(nogil=True)
def _set_costs(rows, hessian, local, owner, group_size, search, first, last, codes, costs):
    levels, values, bits, set_bits, fewest = search
    trial, error = np.empty(group_size, np.float32), np.empty(group_size, np.float32)
    code, best_error = np.empty(group_size, np.float32), np.empty(group_size, np.float32)
    optimum = np.empty(group_size, np.float32)
    errors, gradients = _gradients(rows, hessian, owner, first, last, codes)
    for start in range(0, rows.shape[1], group_size):
        size, number = min(group_size, rows.shape[1] - start), start // group_size
        for row in range(first, last):
            upper = local[owner[row], number]
            own = (errors[row - first], gradients[row - first])
            _find_optimum(rows[row], *own, upper, start, size, optimum)
            for s in range(len(levels)):
                one = (levels[s : s + 1], values, bits, set_bits, fewest)
                _, cost = _choose(optimum, one, 0.0, upper, 0, size, trial, error, code, best_error)
                costs[row, number, s] = cost


@njit(nogil=True)
def _coordinate_descent(
    rows, hessian, local, owner, group_size, search, per_bit, first, last, rounds, codes, sets
):
    """Choose each group again, given the others, until a round changes nothing."""
    width = rows.shape[1]
    trial, error = np.empty(group_size, np.float32), np.empty(group_size, np.float32)
    best_error, code = np.empty(group_size, np.float32), np.empty(group_size, np.float32)
    optimum = np.empty(group_size, np.float32)
    errors, gradients = _gradients(rows, hessian, owner, first, last, codes)
    changing = np.ones(last - first, np.bool_)
    for _ in range(rounds):
        changed = np.zeros(last - first, np.bool_)
        for start in range(0, width, group_size):
            size, number = min(group_size, width - start), start // group_size
            for row in range(first, last):
                if not changing[row - first]:
                    continue
                own_error, gradient = errors[row - first], gradients[row - first]
                h, upper = hessian[owner[row]], local[owner[row], number]
                _find_optimum(rows[row], own_error, gradient, upper, start, size, optimum)
                winner, new_cost = _choose(
                    *(optimum, search, per_bit[row], upper, 0, size, trial, error, code, best_error)
                )
                present_cost = 0.0  # the same quadratic form at the present codes: |U^-T (code - optimum)|^2
                for j in range(size):
                    x = codes[row, start + j] - optimum[j]
                    for k in range(j):
                        x -= trial[k] * upper[k, j]
                    trial[j] = x / upper[j, j]
                    present_cost += trial[j] * trial[j]
                if per_bit[row] > 0:
                    present = codes[row, start : start + size]
                    present_cost += per_bit[row] * _bits_of(present, search, sets[row, number])
                if new_cost < present_cost * (1 - 1e-5):
                    changed[row - first] = True
                    sets[row, number] = winner
                    for j in range(size):
                        step = np.float64(code[j]) - codes[row, start + j]
                        if step != 0:
                            codes[row, start + j] = code[j]
                            own_error[start + j] += step
                            _add(gradient, h[start + j], step)
        changing = changed
        if not changing.any():
            break
