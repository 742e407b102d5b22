"""The options of a schedule: how a budget of shifts is spent over filters."""

from __future__ import annotations

from dataclasses import dataclass

from swis.options.choices import BudgetUnit, Policy, Scope
from swis.options.names import require_known
from swis.options.option import option
from swis.options.ranges import at_least, named, require


@dataclass
class Schedule:
    """What a schedule may do.

    ``policy`` "uniform" spreads the shifts evenly over the filters, "greedy" spends them step by step
    (reconstructed), "optimal" has the least total loss of these tiles. ``scope``: every "layer" keeps the
    budget, or the "network". Tiles of ``filters_per_tile`` pay for multiples of ``multiple`` shifts (2: a
    double-shift PE) in ``min``..``max`` (None: all bits of a magnitude). ``reorder``: filters may change
    places to share a tile.
    """

    policy: Policy = Policy.uniform
    scope: Scope = Scope.layer
    multiple: int = 1
    filters_per_tile: int = 1
    reorder: bool = True
    min: int = 1
    max: int | None = None

    def __post_init__(self) -> None:
        require_known("schedule.policy", self.policy, Policy)
        require_known("schedule.scope", self.scope, Scope)
        at_least(1, **named("schedule", self, "multiple", "filters_per_tile", "min", "max"))
        require(
            self.max is None or self.min <= self.max,
            f"schedule.min={self.min} is more than schedule.max={self.max}",
        )


@dataclass
class ScheduleConfig(Schedule):
    """A schedule, and what it looks at: sensitivities on images, layers that get more.

    ``budget_unit``: the average is over weights, over MACs, or over the bits that shifts take in storage.
    """

    budget_unit: BudgetUnit = option(BudgetUnit.weights, formerly="price")
    sensitivity: bool = False
    images: int = option(64, counts=lambda own: own.sensitivity)
    probe: int = option(3, counts=lambda own: own.sensitivity)
    depthwise: int | None = None
    first: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("schedule.budget_unit", self.budget_unit, BudgetUnit)
        at_least(1, **named("schedule", self, "images", "probe", "depthwise", "first"))

    @property
    def label(self) -> str:
        """The name of the policy in tables; "network" is the optimal one over layers by sensitivity."""
        if self.scope == Scope.layer:
            return str(self.policy)
        if self.policy == Policy.optimal and self.sensitivity:
            return "network"
        return f"{self.policy} over layers"
