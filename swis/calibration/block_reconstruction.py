"""Block reconstruction: the rounding of weights is trained to reproduce the outputs of the float blocks.

It extends AdaRound (Nagel et al. 2020) and BRECQ (Li et al. 2021) from uniform grids to shift sets. Every
weight has two levels of its group's set to choose from: its present one, and the next one towards the float
weight. A position between the two, from 0 to 1, is trained for all weights of a block together, on the
calibration set; the input of a block comes from the quantized network. After a third of the steps, weights
are fixed to one of their two levels: those nearest to a level first, and more with every step, so that the
others can adapt. One image in eight is held out. If the result is not better on these images, it is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from swis.encoding.decompose import from_filters, to_filters
from swis.encoding.encode import Encoded
from swis.formats.weight_format import WeightFormat
from swis.networks.layers import filters_of, is_layer, put_filters, weight_layers, weight_of
from swis.options.calibrations import Reconstruction
from swis.runtime.progress import tqdm

_BATCH = 32
_HELD_OUT = 8  # one image in this many
_SETTLED = 1e-3  # a weight this near to one of its two levels counts as decided


def reconstruct(
    reference: nn.Module,
    network: nn.Module,
    encoded: dict[str, Encoded],
    images: Tensor,
    settings: Reconstruction,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> dict[str, Encoded]:
    """Train the rounding of a calibrated ``network``, in place; return its new encoded weights.

    ``images`` [N, C, H, W] are the calibration set. ``encoded`` are the network's weights. Layers in the
    8-bit format, and layers that share a weight, do not change. Matched statistics can change. With fewer
    than two images nothing changes.
    """
    layers, originals = weight_layers(network), weight_layers(reference)
    uses = Counter(id(weights) for weights in encoded.values())
    learned = {
        name: _Rounding(weights, filters_of(originals[name]).detach(), device)
        for name, weights in encoded.items()
        if uses[id(weights)] == 1 and weights.fmt.has_shifts
    }
    is_held_out = torch.arange(len(images)) % _HELD_OUT == min(len(images), _HELD_OUT) - 1
    training, held_out = images[~is_held_out], images[is_held_out]
    if len(training) == 0 or not learned:
        return encoded
    blocks = _Blocks(reference.to(device), network.to(device))
    optimizer = torch.optim.Adam([part.latent for part in learned.values()], settings.rate, (0.9, 0.99))
    generator = torch.Generator().manual_seed(seed)

    def weights(hard: bool) -> dict[str, Tensor]:
        filters = {name: part.filters(hard) for name, part in learned.items()}
        return {f"{name}.weight": weight_of(layers[name], found) for name, found in filters.items()}

    @torch.no_grad()
    def divergence() -> float:
        found = weights(hard=True)
        batches = held_out.to(device).split(_BATCH)
        return sum(blocks.divergence(batch, found) for batch in batches) / len(held_out)

    try:
        before = divergence()
        for step in tqdm(range(settings.steps), "reconstructing", leave=False):
            chosen = torch.randint(len(training), (_BATCH,), generator=generator)
            flipped = torch.rand(len(chosen), 1, 1, 1, generator=generator) < 0.5
            batch = torch.where(flipped, training[chosen].flip(3), training[chosen])
            optimizer.zero_grad()
            blocks.error(batch.to(device), weights(hard=False)).backward()
            optimizer.step()
            for part in learned.values():
                part.clamp()
                if 3 * step >= settings.steps:
                    part.fix(settings.steps - step)
        better = divergence() < before
    finally:
        blocks.close()
        reference.cpu()
        network.cpu()
    if not better:
        return encoded
    encoded = encoded | {name: part.result() for name, part in learned.items()}
    for name in learned:
        put_filters(layers[name], encoded[name].weight())
    return encoded


class _Rounding:
    """The trained rounding of a layer: codes, gaps to the other levels, positions in between."""

    def __init__(self, encoded: Encoded, filters: Tensor, device: torch.device | str) -> None:
        self.encoded = encoded
        target = to_filters(filters) / encoded.scale.reshape(-1, 1)
        codes = encoded.codes.int()
        sign = torch.where(codes == 0, target.sign(), codes.sign())
        magnitude = codes.abs()
        below, above = _neighbours(encoded)
        neighbour = torch.where(target * sign > magnitude, above, below)
        neighbour = torch.where(target * sign == magnitude, magnitude, neighbour)
        self.codes = encoded.codes.float().to(device)
        self.gap = ((neighbour - magnitude) * sign).float().to(device)
        self.scale = encoded.scale.clone().to(device)  # an inference tensor cannot be used in backward
        self.latent = nn.Parameter(torch.zeros_like(self.gap))
        self.fixed = self.gap == 0
        self.latent.register_hook(lambda gradient: gradient.masked_fill(self.fixed, 0.0))

    def filters(self, hard: bool) -> Tensor:
        latent = self.latent.round() if hard else self.latent
        return from_filters(self.codes + self.gap * latent, self.encoded.shape) * self.scale

    @torch.no_grad()
    def clamp(self) -> None:
        self.latent.clamp_(0, 1)
        # Adam's momentum still moves weights that are fixed
        self.latent.copy_(torch.where(self.fixed, self.latent.round(), self.latent))

    @torch.no_grad()
    def fix(self, steps_left: int) -> None:
        """Fix one in ``steps_left`` of the undecided weights to its nearer level, the nearest ones first."""
        distance = (0.5 - (self.latent - 0.5).abs()).masked_fill(self.fixed, 0.0).flatten()
        undecided = int((distance > _SETTLED).sum())
        distance[distance <= _SETTLED] = torch.inf
        self.fixed.view(-1)[distance.argsort(stable=True)[: -(-undecided // steps_left)]] = True
        self.clamp()

    def result(self) -> Encoded:
        codes = (self.codes + self.gap * self.latent.detach().round()).cpu()
        # the metrics are those of the codes before
        return replace(self.encoded, codes=codes.to(self.encoded.codes.dtype), metrics=None)


def _neighbours(encoded: Encoded) -> tuple[Tensor, Tensor]:
    """Return the next lower and next higher level of every weight in its group's set, int32 [filters, K].

    The lowest and the highest level of a set are their own neighbours.
    """
    fmt, (filters, width) = encoded.fmt, encoded.codes.shape
    shifts = np.full(filters, fmt.shifts) if encoded.schedule is None else encoded.schedule.shifts
    below, above = (torch.empty(filters, width, dtype=torch.int32) for _ in range(2))
    for n in np.unique(shifts).tolist():
        here, mine = fmt.with_shifts(n), torch.from_numpy(shifts == n)
        tables = torch.from_numpy(_neighbour_tables(here))
        row = torch.zeros(256, dtype=torch.long)
        row[list(here.set_ids())] = torch.arange(tables.shape[1])
        sets = torch.zeros(int(mine.sum()), width, dtype=torch.long)  # a format without groups has one set
        if here.grouped:
            span = min(here.weights_per_group, width)
            sets = row[encoded.shift_sets[mine].long()].repeat_interleave(span, 1)[:, :width]
        magnitude = encoded.codes[mine].abs().long()
        below[mine], above[mine] = (table[sets, magnitude] for table in tables)
    return below, above


def _neighbour_tables(fmt: WeightFormat) -> np.ndarray:
    """Return the next lower and next higher level of every level, int32 [2, sets, 2 ** code_bits]."""
    sets = fmt.level_sets()
    tables = np.zeros((2, len(sets), 2**fmt.code_bits), np.int32)
    for row, levels in enumerate(sets):
        tables[0, row, levels] = [levels[0], *levels[:-1]]
        tables[1, row, levels] = [*levels[1:], levels[-1]]
    return tables


class _Blocks:
    """Compares two networks block by block; gradients do not flow between the blocks of ``network``."""

    def __init__(self, reference: nn.Module, network: nn.Module) -> None:
        self.reference, self.network = reference, network
        self.outputs: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.handles = []
        for name in blocks_of(network):
            for model, outputs in zip((reference, network), self.outputs, strict=True):
                hook = partial(_record, outputs)
                self.handles.append(model.get_submodule(name).register_forward_hook(hook))
            block = network.get_submodule(name)
            self.handles.append(block.register_forward_pre_hook(_without_gradient, prepend=True))

    def error(self, images: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """Return the mean over all blocks of (mean squared error of the output / variance of the output)."""
        self._run(images, weights)
        pairs = list(zip(*self.outputs, strict=True))
        errors = [F.mse_loss(y, x) / x.var().clamp_min(1e-12) for x, y in pairs]
        return sum(errors) / len(errors)

    def divergence(self, images: Tensor, weights: dict[str, Tensor]) -> float:
        """Return the Kullback-Leibler divergence from the float network, summed over the images [nats]."""
        expected, logits = (values.log_softmax(1) for values in self._run(images, weights))
        return float(F.kl_div(logits, expected, reduction="sum", log_target=True))

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _run(self, images: Tensor, weights: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        for outputs in self.outputs:
            outputs.clear()
        images = images.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            expected = self.reference(images)
        return expected, functional_call(self.network, weights, (images,))


def _record(outputs: list[Tensor], _: nn.Module, __: tuple, output: Tensor) -> None:
    outputs.append(output.clone())  # the next layer can change it in place


def _without_gradient(_: nn.Module, inputs: tuple) -> tuple:
    return (inputs[0].detach(), *inputs[1:])


def blocks_of(model: nn.Module, prefix: str = "") -> Iterator[str]:
    """Yield the names of a network's blocks: the outermost modules with layers that are not ``Sequential``.

    >>> list(blocks_of(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Sequential(nn.Linear(2, 2)))))
    ['0', '2.0']
    """
    for name, module in model.named_children():
        if isinstance(module, nn.Sequential | nn.ModuleList):
            yield from blocks_of(module, f"{prefix}{name}.")
        elif any(is_layer(part) for part in module.modules()):
            yield f"{prefix}{name}"
