"""The options of a schedule, which gives each filter a number of shifts within a budget."""

from __future__ import annotations

from dataclasses import dataclass

from swis.options.choices import BudgetUnit, Policy, Scope
from swis.options.names import require_known
from swis.options.option import option
from swis.options.ranges import at_least, named, require


@dataclass
class Schedule:
    """Options of the allocation.

    ``policy``: "uniform" spreads the shifts evenly over the filters, "greedy" gives them one by one where
    they lower the loss most (reconstructed), "optimal" finds the least total loss. ``scope``: each "layer"
    keeps the budget, or only the "network" as a whole. A tile is ``filters_per_tile`` filters that run in
    lockstep; its shifts are a multiple of ``multiple`` (2 for a double-shift PE) in ``min``..``max`` (None:
    all magnitude bits). ``reorder``: filters may change places to share a tile. Raises ``InputError`` for a
    value out of range.
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
            f"schedule.min={self.min} must not be above schedule.max={self.max}",
        )


@dataclass
class ScheduleConfig(Schedule):
    """A schedule, with the unit of its budget, layer sensitivities, and minimum shifts for some layers.

    ``budget_unit``: the average number of shifts is weighted by weights, by MACs, or by bits in storage.
    ``sensitivity``: each layer's loss is weighted by its effect on the logits, measured on at most ``images``
    calibration images with ``probe`` shifts in that layer alone. ``depthwise``, ``first``: the fewest shifts
    of a filter in depthwise layers and in the first layer. Raises ``InputError`` for a value out of range.
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
        """The name in tables; "network" is the optimal policy over all layers with sensitivities."""
        if self.scope == Scope.layer:
            return str(self.policy)
        if self.policy == Policy.optimal and self.sensitivity:
            return "network"
        return f"{self.policy} over layers"
