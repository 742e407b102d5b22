"""Output-aware encoding of a layer: shift sets, levels and scales are chosen for the error of its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from swis.calibration.gptq import Prices, factors, set_costs, walk
from swis.calibration.input_moments import input_moments
from swis.calibration.layerwise import LayerCalibration
from swis.calibration.ridge import damped, refit
from swis.coding.entropy import Tables, count, level_indices, padded_levels
from swis.encoding.decompose import from_filters, to_filters
from swis.encoding.encode import Encoded
from swis.encoding.layer_schedule import LayerSchedule
from swis.encoding.quantizer import quantize
from swis.formats.weight_format import WeightFormat
from swis.networks.layers import filter_shape, filters_of, groups_of
from swis.options.calibrations import OutputAware

Found = tuple[Tensor, Tensor, Tensor]  # codes, ids of sets, scales

# How often the tables of the entropy coder are made anew before the scales are tried.
_ITERATIONS = 3

# The most groups that the choice of a codebook looks at.
_GROUPS = 1 << 16

# Matrices [groups, K, K] in memory at the same time: moments of two halves, their sum, factors.
_MATRICES = 11


def output_aware(
    layer: nn.Module,
    fmt: WeightFormat,
    schedule: LayerSchedule | None,
    inputs: Sequence[Tensor],
    float_inputs: Sequence[Tensor],
    settings: OutputAware,
    price: Tensor | None = None,
) -> Encoded:
    """Return a layer's weights in ``fmt``, chosen for its ``inputs`` in the quantized network.

    ``layer`` is the layer of the float network, and ``float_inputs`` are its inputs there. Both inputs are
    chunks with images along the first axis, on any device. ``price`` is the error of each filter's output
    that a bit costs, float64 [filters]; None if it follows from the filter's output. The result is on the
    CPU, where the GPTQ pass runs.

    >>> from swis.formats.swis import Swis
    >>> layer, images = nn.Linear(8, 2), torch.eye(8).split(2)
    >>> output_aware(layer, Swis(2), None, images, images, OutputAware()).shift_sets.shape
    torch.Size([2, 2])
    """
    fmt.check_rate(settings.rate)
    weight = filters_of(layer).detach()
    halves = input_moments(layer, inputs, float_inputs, settings.positions)
    rows = to_filters(weight).double()
    if settings.asymmetric:
        rows = refit(rows, halves)
    one, other = halves
    covariance = (one if other is None else one + other).covariances()[0]
    del halves, one, other  # gigabytes, for a layer with many inputs
    # with fewer images per weight the covariance is less reliable, so the damping is larger
    hessian = damped(covariance, settings.damping * rows.shape[1] / sum(map(len, inputs)))
    del covariance
    group_size = min(fmt.weights_per_group, rows.shape[1])
    search = ScaleSearch(rows, hessian, group_size, settings.order)
    fitted = from_filters(rows.float(), weight.shape).cpu()
    shifts = np.full(len(rows), fmt.shifts) if schedule is None else schedule.shifts
    codes, sets, scale = search.encode(fitted, fmt, shifts, settings, price)
    codes = codes.to(torch.int8 if fmt.magnitude_bits <= 7 else torch.int16)
    sets = sets if fmt.on_codes else None
    scale = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return Encoded(fmt, codes, sets, scale, weight.shape, schedule=schedule)


def walking(settings: OutputAware | None = None) -> LayerCalibration:
    """Return the layer calibration that chooses levels with the GPTQ pass."""
    return LayerCalibration(partial(output_aware, settings=settings or OutputAware()), memory=memory_of)


def memory_of(layer: nn.Module) -> int:
    """Return the bytes that ``output_aware`` needs for a layer; matrices [K, K] take nearly all of them.

    >>> memory_of(nn.Linear(25088, 4096)) // 2**30
    51
    """
    width = filter_shape(layer)[1:].numel()
    return _MATRICES * groups_of(layer) * width**2 * torch.float64.itemsize


@dataclass(frozen=True)
class _Bits:
    """The bits of sets and levels by the entropy coder's tables for a layer.

    ``levels`` and ``level_bits`` are float32 [sets, levels], ``set_bits`` float32 [sets].
    """

    fmt: WeightFormat
    levels: np.ndarray
    level_bits: np.ndarray
    set_bits: np.ndarray

    @classmethod
    def of(cls, codes: Tensor, sets: Tensor, fmt: WeightFormat) -> _Bits:
        """Return the bits of the tables that code these weights."""
        places = fmt.places_of(sets.numpy())
        set_bits, level_bits = Tables.of(count(codes.numpy(), places, fmt)).bits()
        padded = padded_levels(fmt)
        levels = np.where(padded < 0, np.inf, padded).astype(np.float32)
        return cls(fmt, levels, level_bits, set_bits)

    def at(self, per_bit: Tensor) -> Prices:
        """Return the prices for what a bit costs each filter, in squared codes times H."""
        return Prices(self.levels, self.level_bits, self.set_bits, per_bit.float().numpy())

    def of_filters(self, codes: Tensor, sets: Tensor) -> Tensor:
        """Return the bits of each filter, float64 [filters]."""
        places = self.fmt.places_of(sets.numpy())
        of_weights = np.repeat(places, self.fmt.weights_per_group, 1)[:, : codes.shape[1]]
        indices = level_indices(self.fmt)[of_weights, abs(codes.numpy())]
        bits = self.level_bits[of_weights, indices].sum(1, dtype=np.float64)
        return torch.from_numpy(bits + self.set_bits[places].sum(1, dtype=np.float64))


class ScaleSearch:
    """Quantizes the filters of a layer with the GPTQ pass, for several scales.

    ``rows`` [filters, K] and ``hessian`` [inputs, K, K] are float64; each H belongs to equally many filters.
    ``order`` is the order of the groups: "filter" or "variance".
    """

    def __init__(self, rows: Tensor, hessian: Tensor, group_size: int, order: str) -> None:
        self.owner = np.arange(len(rows)) // (len(rows) // len(hessian))
        self.width, self.groups, self.columns = rows.shape[1], None, None
        if order == "variance":
            # the last group is padded with zeros, so that all groups have one size and can change places
            missing = -rows.shape[1] % group_size
            rows, hessian = pad(rows, (0, missing)), pad(hessian, (0, missing, 0, missing))
            variance = hessian.diagonal(dim1=1, dim2=2)
            groups = (
                variance.unflatten(1, (-1, group_size)).sum(2).argsort(dim=1, descending=True, stable=True)
            )
            variance[:, self.width :] = 1.0
            within = torch.arange(group_size, device=groups.device)
            columns = (group_size * groups[:, :, None] + within).flatten(1)
            hessian = hessian.gather(1, columns[:, :, None].expand(hessian.shape))
            hessian = hessian.gather(2, columns[:, None].expand(hessian.shape))
            rows = rows.gather(1, columns[self.owner])
            self.groups, self.columns = groups[self.owner].cpu(), columns[self.owner].cpu()
        self.rows, self.hessian, self.factors = rows.cpu(), hessian, factors(hessian, group_size)

    def encode(
        self,
        fitted: Tensor,
        fmt: WeightFormat,
        shifts: np.ndarray,
        settings: OutputAware,
        price: Tensor | None = None,
    ) -> Found:
        """Return codes, ids of sets and scales [filters, 1] of all filters, with ``shifts`` [filters].

        ``fitted`` has the filters in the shape of the layer's weight; the first scales are for these.
        ``price`` is that of a bit, in output error, float64 [filters].
        """
        if settings.rate and price is None:
            price = settings.rate * self._errors(torch.ones(len(shifts)).bool(), self.rows) / self.width
        # the search is per filter, so it is not used with one scale per tensor
        scales = settings.scales if fmt.granularity == "channel" else (1.0,)
        codes = torch.empty(len(shifts), self.width, dtype=torch.int16)
        sets = torch.empty(len(shifts), self.factors.local.shape[1], dtype=torch.uint8)
        scale = torch.empty(len(shifts), 1)
        for n in np.unique(shifts).tolist():
            mine = torch.from_numpy(shifts == n)
            here, kept = fmt.with_shifts(n), None
            quantized = quantize(fitted, here.code_bits, fmt.granularity, here.code_clip)
            start = quantized.scale.reshape(-1, 1).expand(scale.shape)[mine]
            found = self.best(mine, here, start, scales, settings)
            if settings.codebook is not None and settings.codebook < len(here.level_sets()):
                kept = self.codebook(mine, here, found, settings.codebook)
                found = self.best(mine, here, start, scales, settings, kept=kept)
            if price is not None:
                found = self.best_by_bits(mine, here, start, scales, settings, price[mine], found, kept)
            codes[mine], sets[mine], scale[mine] = self.in_order(mine, *found)
        return codes, sets, scale

    def best_by_bits(
        self,
        mine: Tensor,
        fmt: WeightFormat,
        start: Tensor,
        scales: Sequence[float],
        settings: OutputAware,
        per_bit: Tensor,
        found: Found,
        kept: Sequence[int] | None = None,
    ) -> Found:
        """Return codes, sets and scales as ``best``, for the least error + ``per_bit`` x bits.

        ``found`` is the result of ``best``. The tables of the entropy coder follow from the choices, and the
        choices from the tables, so both are computed several times.
        """
        for _ in range(_ITERATIONS):
            codes, sets, step = found
            price = (_Bits.of(codes, sets, fmt), per_bit)
            found = self.best(mine, fmt, step, (1.0,), settings, price, kept)
        price = (_Bits.of(found[0], found[1], fmt), per_bit)
        return self.best(mine, fmt, start, scales, settings, price, kept)

    def codebook(self, mine: Tensor, fmt: WeightFormat, found: Found, size: int) -> list[int]:
        """Return the indices of the ``size`` sets that together give the least output error, in order.

        ``found`` is the result of ``best`` with all sets. Greedy: each set is the one that lowers the error
        most, beside those before it. At most ``_GROUPS`` groups are looked at, of evenly spread filters.
        """
        codes, _, step = found
        groups = self.factors.local.shape[1]
        every = -(-len(codes) * groups // _GROUPS)
        rows, owner = self.rows[mine][::every], self.owner[mine.numpy()][::every]
        about = (self.factors, owner, fmt, torch.get_num_threads())
        costs = set_costs(rows / step[::every], codes[::every], *about).astype(np.float64)
        costs *= step[::every, :, None].double().square().numpy()
        costs = costs.reshape(-1, costs.shape[2])
        least, kept = np.full((len(costs), 1), np.inf), []
        while len(kept) < size:
            kept.append(int(np.minimum(least, costs).sum(0).argmin()))
            least = np.minimum(least, costs[:, kept[-1:]])
        return sorted(set(kept))

    def best(
        self,
        mine: Tensor,
        fmt: WeightFormat,
        start: Tensor,
        scales: Sequence[float],
        settings: OutputAware,
        price: tuple[_Bits, Tensor] | None = None,
        kept: Sequence[int] | None = None,
    ) -> Found:
        """Return codes, ids of sets and scales of the filters ``mine``, for the scale of least error.

        The scales are ``start`` [filters, 1] times each factor in ``scales``. ``price``: the bits of levels
        and what a bit costs [filters]; None if bits cost nothing. ``kept``: the indices of the sets that a
        group may take; None for all.
        """
        rows, owner = self.rows[mine], self.owner[mine.numpy()]
        least, best = torch.full((len(rows),), torch.inf, dtype=torch.float64), None
        for factor in scales:
            step = start * factor
            prices = None if price is None else price[0].at(price[1] / step[:, 0].double().square())
            threads = torch.get_num_threads()
            how = (fmt, settings.rounds, threads, prices, kept)
            codes, sets = walk(rows / step, self.factors, owner, *how)
            found = (codes, sets, step)
            error = self._errors(mine, codes * step - rows)
            if price is not None:
                error += price[1] * price[0].of_filters(codes, sets)
            best = best or [torch.empty_like(values) for values in found]
            less = error < least
            least[less] = error[less]
            for least_so_far, new in zip(best, found, strict=True):
                least_so_far[less] = new[less]
        return tuple(best)

    def _errors(self, mine: Tensor, errors: Tensor) -> Tensor:
        """Return the output errors [filters] of the filters ``mine`` for the errors of their weights."""
        every = torch.zeros_like(self.rows)
        every[mine] = errors
        return output_error(every.to(self.hessian.device), self.hessian).cpu()[mine]

    def in_order(self, mine: Tensor, codes: Tensor, sets: Tensor, step: Tensor) -> Found:
        """Return the result of ``best`` with the groups in their own order."""
        if self.columns is not None:
            codes = torch.empty_like(codes).scatter_(1, self.columns[mine], codes)[:, : self.width]
            sets = torch.empty_like(sets).scatter_(1, self.groups[mine], sets)
        return codes, sets, step


def output_error(errors: Tensor, hessian: Tensor) -> Tensor:
    """Return e^T H e for the errors e [filters, K] of each filter, with H [inputs, K, K].

    Each H belongs to equally many consecutive filters.

    >>> output_error(torch.tensor([[1.0, 2.0]]).double(), torch.eye(2).double()[None])
    tensor([5.], dtype=torch.float64)
    """
    errors = errors.unflatten(0, (len(hessian), -1))
    return (errors @ hessian * errors).sum(2).flatten()
