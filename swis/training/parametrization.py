"""Training a layer's weight through a format: the optimizer changes a float (latent) weight.

This is a parametrization of torch: the layer gets the weight rounded to the format, the optimizer changes the
latent weight behind it, and the gradient passes straight through (straight-through estimator, Bengio et al.
2013). Scales can be learned as in LSQ (Esser et al. 2020). Every weight takes the nearest level of its
group's shift set. The shift sets are updated in ``advance``, which a training calls after every step; the
forward pass changes no state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from swis.encoding.decompose import decompose, from_filters, to_filters
from swis.encoding.encode import Encoded
from swis.formats.weight_format import WeightFormat
from swis.networks.layers import exchanged, is_transposed, weight_layers
from swis.options.training import LatentTraining
from swis.training.oscillation import Oscillation
from swis.training.straight_through import StraightThrough, inside

# A learned scale stays above this fraction of its initial value, because a scale of zero has no levels.
_LEAST_GAIN = 0.1


class Latent(nn.Module):
    """A parametrization that rounds latent filters [out, in, kernel] or [out, in] to a format.

    It starts from ``encoded``: it rounds ``start_weight()`` to exactly this weight. The shift sets of groups
    can be updated, in the way of ``decompose``. ``gain`` [channels] or [1] is the learned scale divided by
    its initial value.

    >>> from swis.encoding.encode import encode
    >>> from swis.formats.swis import Swis
    >>> weight = torch.tensor([[1.27, 0.02]])
    >>> latent = Latent(encode(weight, Swis(shifts=1, group_size=2)), LatentTraining())
    >>> [round(value, 2) for value in latent(weight).flatten().tolist()]
    [0.64, 0.0]
    """

    def __init__(self, encoded: Encoded, settings: LatentTraining) -> None:
        super().__init__()
        self.start, self.settings = encoded, settings
        fmt, (filters, width) = encoded.fmt, encoded.codes.shape
        self.searched = fmt.grouped
        self.span = max(1, min(fmt.weights_per_group, width) if self.searched else width)
        self.shifts = np.full(filters, fmt.shifts) if encoded.schedule is None else encoded.schedule.shifts
        tables, names, self.first = _tables(encoded, np.unique(self.shifts).tolist())
        self.top = tables.shape[1] - 1  # the largest code of the 8-bit quantizer
        tables = torch.cat([-tables[:, 1:].flip(1), tables], 1)  # for codes -top..top
        self.register_buffer("levels", tables.float(), persistent=False)
        row_of = torch.zeros(len(self.first), 256, dtype=torch.int32)  # formats with different N reuse names
        ends = [*self.first.values(), len(names)][1:]
        for rows, start, end in zip(row_of, self.first.values(), ends, strict=True):
            rows[names[start:end].long()] = torch.arange(start, end, dtype=torch.int32)
        self.names = names
        self.register_buffer("row_of", row_of, persistent=False)
        if self.searched:
            kind = torch.tensor([[*self.first].index(n) for n in self.shifts.tolist()])[:, None]
            sets = row_of[kind, encoded.shift_sets.cpu().long()]
        else:
            sets = torch.tensor([self.first[n] for n in self.shifts.tolist()], dtype=torch.int32)[:, None]
        self.register_buffer("sets", sets)  # [filters, groups]: rows of the table of levels
        # only weights outside the quantizer's range are clipped; every set has another largest level
        limits = self._of_each(lambda here: here.code_bits)
        limits = torch.from_numpy(2.0**limits - 1).float().reshape(-1, *[1] * (len(encoded.shape) - 1))
        self.register_buffer("limits", limits, persistent=False)
        # with truncation, all weights between a code and the next one have this code
        step = self._of_each(lambda here: 2 ** (here.code_bits - here.level_bits) if here.rounds_down else 1)
        self.register_buffer("middle", torch.from_numpy((step - 1) / 2).float()[:, None], persistent=False)
        self.register_buffer("unit", encoded.scale.detach().clone())
        self.register_buffer("rate", self._rate(filters * width), persistent=False)
        gain = torch.ones_like(self.unit).flatten()  # one dimension, because such parameters do not decay
        if settings.learned_scale:
            self.gain = nn.Parameter(gain)
        else:
            self.register_buffer("gain", gain)
        self.seen: Tensor | None = None  # codes of the last forward pass
        self.oscillation = None
        if settings.freeze_threshold is not None:
            self.oscillation = Oscillation(
                encoded.codes.float(), settings.freeze_threshold, settings.ema_momentum
            )

    def _of_each(self, of: Callable[[WeightFormat], float]) -> np.ndarray:
        """Return a number that depends on the format, for every filter [filters]."""
        fmt = self.start.fmt
        return np.array([of(fmt.with_shifts(n)) for n in self.shifts.tolist()])

    def _rate(self, weights: int) -> Tensor:
        """Return LSQ's factor for the gradient of a scale, 1 / sqrt(weights x largest code), like ``unit``.

        In LSQ a code is one step of the quantizer. Here N shifts give 2^N - 1 levels over the range of all
        codes, so a level is several steps, and the factor is divided by the square of their number.
        """
        bits = self._of_each(lambda here: here.level_bits)
        steps = self._of_each(lambda here: 2.0 ** (here.code_bits - here.level_bits))
        rates = 1 / (np.sqrt(weights / self.unit.numel() * (2.0**bits - 1)) * steps**2)
        return torch.from_numpy(rates if self.unit.numel() > 1 else rates.mean(keepdims=True)).to(self.unit)

    @property
    def scale(self) -> Tensor:
        """The present scale; it broadcasts against the weight."""
        return self.unit * self.gain.detach().reshape(self.unit.shape)

    def start_weight(self) -> Tensor:
        """Return the initial latent weight."""
        return self._in_the_middle(self.start.codes.float())

    def forward(self, weight: Tensor) -> Tensor:
        self.seen = self.codes(weight)
        codes = from_filters(self.seen, weight.shape)
        truncated = self.start.fmt.rounds_down
        centres = from_filters(self._centres(self.seen), weight.shape) if truncated else None
        return StraightThrough.apply(weight, self.gain, self.unit, codes, centres, self.limits, self.rate)

    @torch.no_grad()
    def codes(self, weight: Tensor) -> Tensor:
        """Return the codes of a latent weight, integers as float [filters, weights]."""
        index = self._rounded(weight).add_(self.top).int()
        sets = self.sets * self.levels.shape[1]
        sets = sets[:, :, None].expand(-1, -1, self.span).flatten(1)[:, : index.shape[1]]
        return _looked_up(self.levels.flatten(), index.add_(sets))

    @torch.no_grad()
    def advance(self, weight: Tensor, step: int, last: bool = False) -> None:
        """Update the state after training step ``step`` (1, 2, ...): shift sets, and frozen codes, in place.

        Latent weights of frozen codes are reset so that they keep their codes; groups with a frozen code keep
        their shift set. After the ``last`` step sets are updated only if they are after every step, because
        weights fit sets badly that they were not trained with.
        """
        if self.settings.learned_scale:
            self.gain.clamp_(min=_LEAST_GAIN)
        every = self.settings.set_update_interval
        if self.searched and every is not None and step % every == 0 and (every == 1 or not last):
            self._choose_sets(weight)
        watch = self.oscillation
        if watch is None:
            return
        chosen = watch.update(torch.where(watch.frozen, watch.held.float(), self.codes(weight)))
        if chosen.any():
            watch.freeze(chosen, self.codes(self._in_the_middle(watch.average.round())))
        if watch.frozen.any():
            frozen, held = (
                from_filters(watch.frozen, self.start.shape),
                self._in_the_middle(watch.held.float()),
            )
            weight.copy_(torch.where(frozen, held, weight))

    @torch.no_grad()
    def off_level(self, weight: Tensor, codes: Tensor) -> Tensor:
        """Return the distances of weights from the levels of their ``codes``; zero for clipped weights.

        For truncation it is the distance from the middle of the interval that is truncated to the level.
        """
        return (weight - self._in_the_middle(codes)).mul_(inside(weight / self.scale, self.limits))

    def dampen(self, weight: Tensor, strength: float) -> None:
        """Add the gradient of strength x (squared ``off_level``) to the weight's gradient.

        It changes only weights, because scales would shrink (Nagel et al. 2022). The codes are those of the
        last forward pass. A weight without a gradient, whose layer did not run, is left unchanged.
        """
        if weight.grad is None:
            return
        weight.grad.add_(self.off_level(weight, self.seen), alpha=2 * strength)

    @torch.no_grad()
    def encoded(self, weight: Tensor) -> Encoded:
        """Return the codes and scales of a latent weight; their product is exactly the forward result."""
        codes = self.codes(weight).to(self.start.codes.dtype)
        sets = self.names.to(self.sets.device)[self.sets] if self.searched else self.start.shift_sets
        return replace(self.start, codes=codes, shift_sets=sets, scale=self.scale, metrics=None)

    def _rounded(self, weight: Tensor) -> Tensor:
        """Return the codes [filters, weights] of the 8-bit quantizer, as a new tensor."""
        return (to_filters(weight) / self.scale.reshape(-1, 1)).round_().clamp_(-self.top, self.top)

    def _in_the_middle(self, codes: Tensor) -> Tensor:
        """Return the latent weight in the middle of the intervals of ``codes`` [filters, weights]."""
        return from_filters(self._centres(codes), self.start.shape) * self.scale

    def _centres(self, codes: Tensor) -> Tensor:
        """Return the middles of the intervals that round to ``codes``; they differ only for truncation."""
        return torch.addcmul(codes, codes.sign(), self.middle)

    def _choose_sets(self, weight: Tensor) -> None:
        fmt = self.start.fmt
        rows = self._rounded(weight).to(torch.int8 if fmt.magnitude_bits <= 7 else torch.int16)
        sets = torch.empty_like(self.sets)
        for row_of, n in zip(self.row_of, self.first, strict=True):
            # a slice does not copy, but an index with all filters would
            mine = slice(None) if len(self.first) == 1 else torch.from_numpy(self.shifts == n).to(rows.device)
            found = decompose(rows[mine], fmt.with_shifts(n))
            sets[mine] = _looked_up(row_of, found.shift_sets.int())
        if self.oscillation is not None:
            sets = torch.where(self._groups_with(self.oscillation.frozen), self.sets, sets)
        self.sets.copy_(sets)

    def _groups_with(self, marked: Tensor) -> Tensor:
        """Return which groups have a marked weight: [filters, weights] -> [filters, groups]."""
        padded = nn.functional.pad(marked, (0, -marked.shape[1] % self.span))
        return padded.unflatten(1, (-1, self.span)).any(2)


def _looked_up(table: Tensor, index: Tensor) -> Tensor:
    """Return table[index], int32; torch's own indexing takes six times as long on the CPU."""
    return table.index_select(0, index.flatten()).view_as(index)


def _tables(encoded: Encoded, shifts: list[int]) -> tuple[Tensor, Tensor, dict[int, int]]:
    """Return the levels of all sets [sets, magnitudes], the sets' names, and the first row of each N."""
    fmts = {n: encoded.fmt.with_shifts(n) for n in shifts}
    magnitudes = 2 ** max(fmt.code_bits for fmt in fmts.values())
    tables, names, first = [], [], {}
    for n, fmt in fmts.items():
        first[n] = sum(map(len, tables))
        table = fmt.level_table()
        tables.append(np.pad(table, ((0, 0), (0, magnitudes - table.shape[1])), mode="edge"))
        names += fmt.set_ids()
    return torch.from_numpy(np.concatenate(tables)), torch.tensor(names, dtype=torch.uint8), first


class _Stored(nn.Module):
    """A parametrization that turns filters into the weight of a transposed convolution."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, filters: Tensor) -> Tensor:
        return exchanged(filters, self.groups)


def add_latents(model: nn.Module, encoded: dict[str, Encoded], settings: LatentTraining) -> nn.Module:
    """Add latent weights to a network's encoded layers, in place, so that they are trained through formats.

    Layers that share an ``Encoded`` share the latent weight. All parameters become trainable. Returns the
    network.

    >>> from swis.formats.swis import Swis
    >>> from swis.networks.apply import encode_layers
    >>> network = nn.Sequential(nn.Linear(8, 2))
    >>> network = add_latents(network, encode_layers(network, Swis()), LatentTraining())
    >>> list(latents(network))
    ['0']
    """
    made: dict[int, tuple[Latent, nn.Parameter]] = {}
    model.requires_grad_(True)
    for name, layer in weight_layers(model).items():
        if name not in encoded:
            continue
        found = encoded[name]
        if id(found) not in made:
            latent = Latent(found, settings)
            start = latent.start_weight().contiguous().to(layer.weight)
            made[id(found)] = latent.to(start.device), nn.Parameter(start)
        latent, layer.weight = made[id(found)]
        # unsafe: torch makes no checks, and the weight itself, not a copy, becomes the latent weight
        register_parametrization(layer, "weight", latent, unsafe=True)
        if is_transposed(layer):
            register_parametrization(layer, "weight", _Stored(layer.groups), unsafe=True)
    return model


def latents(model: nn.Module) -> dict[str, tuple[Latent, nn.Parameter]]:
    """Return the latents of a network and their latent weights, by the name of the first layer with them."""
    found, seen = {}, set()
    for name, layer in weight_layers(model).items():
        if is_parametrized(layer, "weight") and isinstance(layer.parametrizations.weight[0], Latent):
            latent = layer.parametrizations.weight[0]
            if id(latent) not in seen:
                found[name] = (latent, layer.parametrizations.weight.original)
                seen.add(id(latent))
    return found
