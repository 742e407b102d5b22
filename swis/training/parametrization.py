"""Training a layer's weight through a format: float weights behind, those of the format in front.

A parametrization of torch: the layer sees what the format expresses, the optimizer moves the latent weight
behind it, and the gradient passes straight through (Bengio et al. 2013). Scales can be learned as LSQ does
(Esser et al. 2020). Every weight takes the nearest level of its group's shift set, and the sets are chosen
anew in ``advance``, which a training calls after every step: the forward pass changes nothing.
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

# A learned scale stays above this part of its start: at zero or below there are no levels.
_LEAST_GAIN = 0.1


class Latent(nn.Module):
    """A parametrization: latent filters [out, in, kernel] or [out, in] -> these in a format.

    Starts from ``encoded``: of ``start_weight()`` it returns that very weight. Where groups choose
    among sets, these can change, chosen as ``decompose`` does. ``gain`` [channels]
    or [1] is what a learned scale has become of its start.

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
        self.span = max(1, min(fmt.group_size, width) if self.searched else width)
        self.shifts = np.full(filters, fmt.shifts) if encoded.schedule is None else encoded.schedule.shifts
        tables, names, self.first = _tables(encoded, np.unique(self.shifts).tolist())
        self.top = tables.shape[1] - 1  # the largest code of the quantizer before the levels
        tables = torch.cat([-tables[:, 1:].flip(1), tables], 1)  # of -top..top
        self.register_buffer("levels", tables.float(), persistent=False)
        row_of = torch.zeros(len(self.first), 256, dtype=torch.int32)  # formats of other N name others alike
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
        # clipped is what the quantizer clips: the largest level is another one for every set
        limits = self._of_each(lambda here: here.code_bits)
        limits = torch.from_numpy(2.0**limits - 1).float().reshape(-1, *[1] * (len(encoded.shape) - 1))
        self.register_buffer("limits", limits, persistent=False)
        # a truncated weight is anything between its code and the next one
        step = self._of_each(lambda here: 2 ** (here.code_bits - here.level_bits) if here.rounds_down else 1)
        self.register_buffer("middle", torch.from_numpy((step - 1) / 2).float()[:, None], persistent=False)
        self.register_buffer("unit", encoded.scale.detach().clone())
        self.register_buffer("rate", self._rate(filters * width), persistent=False)
        gain = torch.ones_like(self.unit).flatten()  # of one dimension, as all that does not decay
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
        """Return a number of every filter's format [filters]."""
        fmt = self.start.fmt
        return np.array([of(fmt.with_shifts(n)) for n in self.shifts.tolist()])

    def _rate(self, weights: int) -> Tensor:
        """Return LSQ's factor of a scale's gradient, 1 / sqrt(weights x largest code), as ``unit``.

        There a code is one step. Here N shifts make 2^N - 1 of them of what the codes reach, and the factor
        of a scale of so much smaller steps is divided by the square of their number in a large one.
        """
        bits = self._of_each(lambda here: here.level_bits)
        steps = self._of_each(lambda here: 2.0 ** (here.code_bits - here.level_bits))
        rates = 1 / (np.sqrt(weights / self.unit.numel() * (2.0**bits - 1)) * steps**2)
        return torch.from_numpy(rates if self.unit.numel() > 1 else rates.mean(keepdims=True)).to(self.unit)

    @property
    def scale(self) -> Tensor:
        """The scale as it is now; broadcasts against the weight."""
        return self.unit * self.gain.detach().reshape(self.unit.shape)

    def start_weight(self) -> Tensor:
        """Return the latent weight to start from."""
        return self._in_the_middle(self.start.codes.float())

    def forward(self, weight: Tensor) -> Tensor:
        self.seen = self.codes(weight)
        codes = from_filters(self.seen, weight.shape)
        truncated = self.start.fmt.rounds_down
        centres = from_filters(self._centres(self.seen), weight.shape) if truncated else None
        return StraightThrough.apply(weight, self.gain, self.unit, codes, centres, self.limits, self.rate)

    @torch.no_grad()
    def codes(self, weight: Tensor) -> Tensor:
        """Return the codes of a latent weight, whole numbers in float [filters, weights]."""
        index = self._rounded(weight).add_(self.top).int()
        sets = self.sets * self.levels.shape[1]
        sets = sets[:, :, None].expand(-1, -1, self.span).flatten(1)[:, : index.shape[1]]
        return _looked_up(self.levels.flatten(), index.add_(sets))

    @torch.no_grad()
    def advance(self, weight: Tensor, step: int, last: bool = False) -> None:
        """Follow training step number ``step`` (1, 2, ...): choose sets, freeze what oscillates, in place.

        The weights of frozen codes are put where they stay what they are; a group with one keeps its set.
        After the ``last`` step sets are chosen only if they are after every one: weights that have not been
        trained with their sets for long fit them badly.
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
        """Return how far unclipped weights are from the levels of their ``codes``, zero for clipped ones.

        Truncated ones are away from the middle of what is truncated to their level.
        """
        return (weight - self._in_the_middle(codes)).mul_(inside(weight / self.scale, self.limits))

    def dampen(self, weight: Tensor, strength: float) -> None:
        """Add to a weight's gradient of the last forward pass that of strength x its squared ``off_level``.

        It moves the weights, not the scales: these would shrink (Nagel et al. 2022). A weight whose layer
        did not run has no gradient, and none is made.
        """
        if weight.grad is None:
            return
        weight.grad.add_(self.off_level(weight, self.seen), alpha=2 * strength)

    @torch.no_grad()
    def encoded(self, weight: Tensor) -> Encoded:
        """Return a latent weight's codes and scales; their product is the forward result, bit for bit."""
        codes = self.codes(weight).to(self.start.codes.dtype)
        sets = self.names.to(self.sets.device)[self.sets] if self.searched else self.start.shift_sets
        return replace(self.start, codes=codes, shift_sets=sets, scale=self.scale, metrics=None)

    def _rounded(self, weight: Tensor) -> Tensor:
        """Return the codes [filters, weights] of the quantizer before the levels, as a new tensor."""
        return (to_filters(weight) / self.scale.reshape(-1, 1)).round_().clamp_(-self.top, self.top)

    def _in_the_middle(self, codes: Tensor) -> Tensor:
        """Return the weight farthest from having other ``codes`` [filters, weights] than these."""
        return from_filters(self._centres(codes), self.start.shape) * self.scale

    def _centres(self, codes: Tensor) -> Tensor:
        """Return the middles of what rounds to ``codes``: they are not themselves in that of truncation."""
        return torch.addcmul(codes, codes.sign(), self.middle)

    def _choose_sets(self, weight: Tensor) -> None:
        fmt = self.start.fmt
        rows = self._rounded(weight).to(torch.int8 if fmt.magnitude_bits <= 7 else torch.int16)
        sets = torch.empty_like(self.sets)
        for row_of, n in zip(self.row_of, self.first, strict=True):
            # an index that takes all would copy all
            mine = slice(None) if len(self.first) == 1 else torch.from_numpy(self.shifts == n).to(rows.device)
            found = decompose(rows[mine], fmt.with_shifts(n))
            sets[mine] = _looked_up(row_of, found.shift_sets.int())
        if self.oscillation is not None:
            sets = torch.where(self._groups_with(self.oscillation.frozen), self.sets, sets)
        self.sets.copy_(sets)

    def _groups_with(self, marked: Tensor) -> Tensor:
        """Tell which groups have a marked weight: [filters, weights] -> [filters, groups]."""
        padded = nn.functional.pad(marked, (0, -marked.shape[1] % self.span))
        return padded.unflatten(1, (-1, self.span)).any(2)


def _looked_up(table: Tensor, index: Tensor) -> Tensor:
    """Return table[index], int32, which takes torch six times as long on the CPU."""
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
    """A parametrization: filters -> the weight of a transposed convolution."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, filters: Tensor) -> Tensor:
        return exchanged(filters, self.groups)


def add_latents(model: nn.Module, encoded: dict[str, Encoded], settings: LatentTraining) -> nn.Module:
    """Train a network's weight layers through their formats from now on (in place); return it.

    Layers that share an ``Encoded`` share the latent weight. All parameters can be trained then.

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
        # unsafe: nothing is checked, and the weight itself, not a copy, becomes the latent one
        register_parametrization(layer, "weight", latent, unsafe=True)
        if is_transposed(layer):
            register_parametrization(layer, "weight", _Stored(layer.groups), unsafe=True)
    return model


def latents(model: nn.Module) -> dict[str, tuple[Latent, nn.Parameter]]:
    """Return the latents of a network and their weights, by the name of the first layer that has them."""
    found, seen = {}, set()
    for name, layer in weight_layers(model).items():
        if is_parametrized(layer, "weight") and isinstance(layer.parametrizations.weight[0], Latent):
            latent = layer.parametrizations.weight[0]
            if id(latent) not in seen:
                found[name] = (latent, layer.parametrizations.weight.original)
                seen.add(id(latent))
    return found
