"""The schedule of a network: the losses of its filters, their prices, and the allocation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from swis.encoding.cost import LayerCost
from swis.formats.weight_format import CODINGS, WeightFormat
from swis.networks.layers import filter_shape, filters_of, is_depthwise, weight_layers
from swis.options.choices import BudgetUnit, Losses
from swis.options.ranges import require
from swis.options.scheduling import ScheduleConfig
from swis.results import records
from swis.results.tensors import kept_tensors
from swis.runtime.progress import tqdm
from swis.scheduling.allocation import LayerTable, NetworkSchedule, allocate
from swis.scheduling.sensitivity import filter_losses, layer_sensitivities

# Sensitivities are rounded to this many digits, so that rounding errors of kernels rarely change a schedule.
_DIGITS = 3


@dataclass(frozen=True)
class Planner:
    """Makes schedules for a network.

    ``macs``: the MACs of each layer per image. ``skip``: layers without a schedule. ``identity``: what the
    losses depend on besides the format. It is part of the key under which ``folder`` caches them (None: no
    cache). ``images`` returns batches to measure on; ``image_identity`` identifies them. ``at_logits``
    measures losses at the logits on these batches; it returns float64 [filters, 1..B shifts] by layer.
    """

    module: nn.Module
    macs: dict[str, int]
    skip: frozenset[str]
    settings: ScheduleConfig
    identity: dict[str, Any]
    image_identity: dict[str, Any]
    images: Callable[[], list[Tensor]]
    device: torch.device
    folder: Path | None
    at_logits: Callable[[WeightFormat, list[Tensor]], dict[str, np.ndarray]]

    @cached_property
    def layers(self) -> dict[str, nn.Module]:
        """The layers to schedule; layers that share a weight count once."""
        distinct: dict[int, str] = {}
        layers = weight_layers(self.module)
        for name, layer in layers.items():
            if name not in self.skip:
                distinct.setdefault(id(layer.weight), name)
        return {name: layers[name] for name in distinct.values()}

    def schedule(self, fmt: WeightFormat, bits: float) -> NetworkSchedule:
        """Return a schedule with ``bits`` shifts on average.

        Raises ``InputError`` if the budget or a constraint cannot be met.
        """
        self._check_storage(fmt)
        losses = self._losses(fmt)
        if self.settings.losses == Losses.logits:
            losses = self._at_logits(fmt, losses)
        elif self.settings.sensitivity:
            losses = self._weigh(fmt, losses)
        return replace(self._solve(fmt, bits, losses), policy=self.settings.label)

    def check(self, fmt: WeightFormat, bits: float) -> None:
        """Raise the errors of ``schedule``, but without computing losses, on which they do not depend."""
        self._check_storage(fmt)
        sizes = {name: (filter_shape(layer)[0], fmt.magnitude_bits) for name, layer in self.layers.items()}
        self._solve(fmt, bits, {name: np.zeros(size) for name, size in sizes.items()})

    def _check_storage(self, fmt: WeightFormat) -> None:
        """Raise ``InputError`` if stored bits depend on the weights, so that no budget can limit them."""
        limit = self.settings.storage_bits
        require(
            limit is None or fmt.coding == CODINGS[0],
            f"schedule.storage_bits={limit} needs coding={CODINGS[0]}, not {fmt.coding}",
        )

    def _solve(self, fmt: WeightFormat, bits: float, losses: dict[str, np.ndarray]) -> NetworkSchedule:
        chosen = self.settings
        first = next(iter(weight_layers(self.module)))
        by_shifts = [fmt.with_shifts(n) for n in range(1, fmt.magnitude_bits + 1)]
        tables = {}
        for name, layer in self.layers.items():
            least = (
                chosen.first if name == first else None,
                chosen.depthwise if is_depthwise(layer) else None,
            )
            weights, stored = filter_shape(layer)[1:].numel(), None
            if chosen.storage_bits is not None:
                stored = np.array([each.stored_bits(1, weights) for each in by_shifts])
            tables[name] = LayerTable(
                losses[name],
                self._price(name, layer, fmt),
                max(filter(None, least), default=1),
                weights,
                stored,
            )
        return allocate(tables, bits, chosen)

    def _price(self, name: str, layer: nn.Module, fmt: WeightFormat) -> int:
        """Return what one shift of one filter of the layer takes from the budget."""
        filters, filter_weights = filter_shape(layer)[0], filter_shape(layer)[1:].numel()
        if self.settings.budget_unit == BudgetUnit.weights:
            return filter_weights
        if self.settings.budget_unit == BudgetUnit.storage:
            one, two = (fmt.with_shifts(n).stored_bits(1, filter_weights) for n in (1, 2))
            return two - one
        sharing = [
            other for other, module in weight_layers(self.module).items() if module.weight is layer.weight
        ]
        return max(1, sum(self.macs[other] for other in sharing) // filters)

    def _losses(self, fmt: WeightFormat) -> dict[str, np.ndarray]:
        def compute() -> dict[str, Tensor]:
            bar = tqdm(self.layers.items(), desc=f"{fmt.name}: losses of filters", leave=False)
            return {
                name: torch.from_numpy(filter_losses(filters_of(layer).detach().cpu(), fmt))
                for name, layer in bar
            }

        kept = self._kept(self.identity | {"table": "losses", "layers": list(self.layers)}, fmt, compute)
        return {name: kept[name].numpy() for name in self.layers}

    def _at_logits(self, fmt: WeightFormat, nearest: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the losses at the logits, which are measured for the first numbers of shifts only.

        With more shifts they fall as much as the errors of ``nearest`` levels do.
        """
        identity = self.identity | self.image_identity
        identity |= {"table": "losses at the logits", "skip": sorted(self.skip)}

        def compute() -> dict[str, Tensor]:
            found = self.at_logits(fmt, self.images())
            return {name: torch.from_numpy(found[name]) for name in self.layers}

        kept = self._kept(identity, fmt, compute)
        return {name: _extended(kept[name].numpy(), nearest[name]) for name in self.layers}

    def _weigh(self, fmt: WeightFormat, losses: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Scale each layer's losses so that their sum is the measured divergence of the logits."""
        probe = self.settings.probe
        identity = self.identity | self.image_identity
        identity |= {"table": "sensitivities", "probe": probe, "skip": sorted(self.skip)}

        def compute() -> dict[str, Tensor]:
            images, at_probe = self.images(), fmt.with_shifts(probe)
            found = layer_sensitivities(self.module, at_probe, self.skip, images, self.device)
            self.module.cpu()
            return {name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()}

        divergence = self._kept(identity, fmt, compute)
        factors = {}
        for name, loss in losses.items():
            total = loss[:, probe - 1].sum()
            factors[name] = float(divergence[name]) / total if total > 0 else np.nan
        # a layer without loss at the probe has no measured sensitivity; it gets the largest one
        most = np.nanmax([*factors.values(), 0.0])
        exact = {name: most if np.isnan(factor) else factor for name, factor in factors.items()}
        return {name: loss * float(f"{exact[name]:.{_DIGITS - 1}e}") for name, loss in losses.items()}

    def _kept(
        self, identity: dict[str, Any], fmt: WeightFormat, compute: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return the cached tensors of an identity in this format, with any shifts, or compute them."""
        key = records.row_key(identity | fmt.settings() | {"shifts": None})
        return kept_tensors(key, self.folder, compute)

    def filter_table(self, found: NetworkSchedule) -> pd.DataFrame:
        """Return a row per filter: layer, filter, position, tile, shifts, cycles, weights and MACs."""
        parts = []
        for name, layer in found.layers.items():
            filters = len(layer.order)
            position = np.argsort(layer.order)
            columns = {
                "layer": name,
                "filter": np.arange(filters),
                "position": position,
                "tile": position // layer.filters_per_tile,
                "shifts": layer.shifts,
                "cycles": layer.cycles,
                "cycles_unordered": layer.cycles_unordered,
                "weights": filter_shape(self.layers[name])[1:].numel(),
                "macs": self.macs[name] // filters,
            }
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)


def schedule_columns(
    schedule: NetworkSchedule, filters: pd.DataFrame, cycles_per_weight: float, costs: Sequence[LayerCost]
) -> dict[str, float]:
    """Return a row's columns about its schedule; ``filters`` is the ``filter_table`` of the schedule."""
    weights = sum(cost.weights for cost in costs)
    waiting = ((filters["cycles"] - filters["shifts"]) * filters["weights"]).sum() / weights
    longer = ((filters["cycles_unordered"] - filters["cycles"]) * filters["weights"]).sum() / weights
    return {
        "shifts_per_weight": cycles_per_weight - waiting,
        "cycles_per_weight_unordered": cycles_per_weight + longer,
        "schedule_spent": schedule.spent,
        "schedule_loss": schedule.loss,
        "schedule_bound": schedule.bound,
    }


def _extended(measured: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Return losses [filters, B] that go on from the ``measured`` ones as those of ``nearest`` levels do."""
    known = measured.shape[1]
    last = nearest[:, known - 1 : known]
    falls = np.divide(nearest[:, known:], last, out=np.ones(nearest[:, known:].shape), where=last > 0)
    found = np.concatenate([measured, measured[:, -1:] * falls.clip(max=1.0)], 1)
    return _rounded(found)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Round to as many significant digits as sensitivities have."""
    size = 10.0 ** (np.floor(np.log10(values, out=np.zeros(values.shape), where=values > 0)) - _DIGITS + 1)
    return np.round(values / size) * size
