"""Shift sets and masks chosen for a layer's output: the Hessian walk over groups, with error feedback.

For the inputs x of a layer, H = sum x x^T says what an error e of a filter's weights does to its output:
e^T H e. The walk takes the groups one after another. Under every candidate set it quantizes the group's
weights in turn, spreads each one's error over the weights behind it through the Cholesky factor of H^-1 (as
GPTQ does for single weights), and keeps the set of least error. Then rounds of coordinate descent choose each
group anew, given all the others, as long as the error falls.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from swis.formats.weight_format import WeightFormat
from swis.runtime.compiled import njit

_PART = 8  # filters that a thread takes at a time


@dataclass(frozen=True)
class Factors:
    """What the walk over groups of ``group_size`` needs of H, float32.

    ``hessian`` is H [inputs, K, K]; U in H^-1 = U^T U is ``whole`` for all of it, and ``local`` [inputs,
    groups, M, M] for the block of every group.
    """

    group_size: int
    hessian: np.ndarray
    whole: np.ndarray
    local: np.ndarray


def factors(hessian: Tensor, group_size: int) -> Factors:
    """Factor ``hessian`` [inputs, K, K], positive definite, float64.

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
    # row after row in memory, as the walk reads them; LAPACK leaves columns
    return Factors(group_size, hessian.float().contiguous().numpy(), whole.contiguous().numpy(), local)


def walk(
    target: Tensor, of: Factors, owner: np.ndarray, fmt: WeightFormat, rounds: int, threads: int
) -> tuple[Tensor, Tensor]:
    """Quantize filters so that the error of their outputs is small.

    ``target`` [filters, K] in steps of the grid; ``owner`` [filters] says which of the Hessians ``of`` the
    inputs a filter has; ``rounds`` of coordinate descent. Returns codes int16 [filters, K] and the sets'
    fields uint8 [filters, ceil(K / M)].
    """
    rows = target.to(torch.float32).contiguous().numpy()
    codes = np.empty(rows.shape, np.float32)
    sets = np.empty((len(rows), of.local.shape[1]), np.int64)
    settings = (owner, of.group_size, fmt.half_step_levels())

    def work(start: int) -> None:
        end = min(start + _PART, len(rows))
        _walk(rows, of.whole, *settings, start, end, codes, sets)
        _descend(rows, of.hessian, of.local, *settings, start, end, rounds, codes, sets)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, len(rows), _PART)))
    return torch.from_numpy(codes).to(torch.int16), torch.from_numpy(np.array(fmt.set_ids(), np.uint8)[sets])


@njit(nogil=True)
def _add(values, vector, factor):
    for k in range(len(values)):  # from zero on, or it is not vectorized
        values[k] += factor * vector[k]


@njit(nogil=True)
def _choose(rest, levels, upper, at, size, trial, error, best_code, best_error):
    """Find the set under which a group, quantized in turn with error feedback, errs least.

    ``rest`` holds the group's targets from 0 on; ``upper`` the factor, the group's part from ``at`` on.
    """
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
        if total < least:  # strict: of equals the first set stays
            least, winner = total, s
            best_code[:size] = trial[:size]
            best_error[:size] = error[:size]
    return winner


@njit(nogil=True)
def _walk(rows, factor, owner, group_size, levels, first, last, codes, sets):
    width = rows.shape[1]
    trial, error = np.empty(group_size, np.float32), np.empty(group_size, np.float32)
    best_error = np.empty(group_size, np.float32)
    rests = rows[first:last].copy()
    # filters in the inner loop: they find the factor's rows in the cache
    for start in range(0, width, group_size):
        size = min(group_size, width - start)
        for row in range(first, last):
            upper, rest = factor[owner[row]], rests[row - first]
            code = codes[row, start : start + size]
            winner = _choose(rest[start:], levels, upper, start, size, trial, error, code, best_error)
            sets[row, start // group_size] = winner
            for j in range(size):
                _add(rest[start + size :], upper[start + j, start + size :], -best_error[j])


@njit(nogil=True)
def _descend(rows, curvature, local, owner, group_size, levels, first, last, rounds, codes, sets):
    """Choose each group anew, given the others, until a round changes nothing."""
    width = rows.shape[1]
    trial, error = np.empty(group_size, np.float32), np.empty(group_size, np.float32)
    best_error, code = np.empty(group_size, np.float32), np.empty(group_size, np.float32)
    wish = np.empty(group_size, np.float32)
    offs = codes[first:last] - rows[first:last]
    slopes = np.zeros((last - first, width), np.float64)  # H e
    for j in range(width):
        for row in range(first, last):
            _add(slopes[row - first], curvature[owner[row], j], offs[row - first, j])
    changing = np.ones(last - first, np.bool_)
    for _ in range(rounds):
        changed = np.zeros(last - first, np.bool_)
        for start in range(0, width, group_size):
            size, number = min(group_size, width - start), start // group_size
            for row in range(first, last):
                if not changing[row - first]:
                    continue
                off, slope = offs[row - first], slopes[row - first]
                h, upper = curvature[owner[row]], local[owner[row], number]
                # the group's own error would best be e - H_gg^-1 (H e)_g, H_gg^-1 = U^T U
                for j in range(size):
                    back = 0.0
                    for k in range(size):
                        dot = 0.0
                        for m in range(min(j, k) + 1):
                            dot += upper[m, j] * upper[m, k]
                        back += dot * slope[start + k]
                    wish[j] = rows[row, start + j] + off[start + j] - back
                winner = _choose(wish, levels, upper, 0, size, trial, error, code, best_error)
                gain = 0.0
                for j in range(size):
                    gain += best_error[j] * best_error[j]
                now = 0.0  # the same quadratic at the present codes: |U^-T (code - wish)|^2
                for j in range(size):
                    x = codes[row, start + j] - wish[j]
                    for k in range(j):
                        x -= trial[k] * upper[k, j]
                    trial[j] = x / upper[j, j]
                    now += trial[j] * trial[j]
                if gain < now * (1 - 1e-5):
                    changed[row - first] = True
                    sets[row, number] = winner
                    for j in range(size):
                        step = np.float64(code[j]) - codes[row, start + j]
                        if step != 0:
                            codes[row, start + j] = code[j]
                            off[start + j] += step
                            _add(slope, h[start + j], step)
        changing = changed
        if not changing.any():
            break
