"""The options of a schedule, which gives each filter a number of shifts within a budget."""

from __future__ import annotations

from dataclasses import dataclass

from swis.options.choices import BudgetUnit, Losses, Policy, Scope
from swis.options.names import require_known
from swis.options.option import option
from swis.options.ranges import above_zero, at_least, named, require


@dataclass
class Schedule:
    """Options of the allocation.

    ``policy``: "uniform" spreads the shifts evenly over the filters, "greedy" gives them one by one where
    they lower the loss most (reconstructed), "optimal" finds the least total loss. ``scope``: each "layer"
    keeps the budget, or only the "network" as a whole. A tile is ``filters_per_tile`` filters that run in
    lockstep; its shifts are a multiple of ``multiple`` (2 for a double-shift PE) in ``min``..``max`` (None:
    all magnitude bits). ``reorder``: filters may change places to share a tile. ``storage_bits``: the most
    bits per weight of the scheduled layers in plain coding, a second budget that only "optimal" can keep.
    Raises ``InputError`` for a value out of range.

    >>> Schedule(Policy.greedy, storage_bits=4.0)
    Traceback (most recent call last):
    swis.errors.InputError: schedule.storage_bits needs schedule.policy=optimal, not greedy
    """

    policy: Policy = Policy.uniform
    scope: Scope = Scope.layer
    multiple: int = 1
    filters_per_tile: int = 1
    reorder: bool = True
    min: int = 1
    max: int | None = None
    storage_bits: float | None = option(None, younger=True)

    def __post_init__(self) -> None:
        require_known("schedule.policy", self.policy, Policy)
        require_known("schedule.scope", self.scope, Scope)
        at_least(1, **named("schedule", self, "multiple", "filters_per_tile", "min", "max"))
        require(
            self.max is None or self.min <= self.max,
            f"schedule.min={self.min} must not be above schedule.max={self.max}",
        )
        above_zero(**named("schedule", self, "storage_bits"))
        require(
            self.storage_bits is None or self.policy == Policy.optimal,
            f"schedule.storage_bits needs schedule.policy={Policy.optimal}, not {self.policy}",
        )

    @property
    def over_layers(self) -> bool:
        """Whether all layers share the budget."""
        return self.scope == Scope.network


@dataclass
class ScheduleConfig(Schedule):
    """A schedule, with the unit of its budget, layer sensitivities, and minimum shifts for some layers.

    ``budget_unit``: the average number of shifts is weighted by weights, by MACs, or by bits in storage.
    ``losses``: a filter's loss is the error of its "weights" before calibration, or what it does to the
    "logits" after output-aware calibration. ``sensitivity``: each layer's loss is weighted by its effect on
    the logits, with ``probe`` shifts in that layer alone; losses at the logits need no such weights. Both are
    measured on at most ``images`` calibration images. ``depthwise``, ``first``: the fewest shifts of a filter
    in depthwise layers and in the first layer. Raises ``InputError`` for a value out of range.

    >>> ScheduleConfig(losses=Losses.logits, sensitivity=True)
    Traceback (most recent call last):
    swis.errors.InputError: schedule.losses=logits has the effect on the logits already: leave out sensitivity
    """

    budget_unit: BudgetUnit = option(BudgetUnit.weights, formerly="price")
    sensitivity: bool = False
    losses: Losses = option(Losses.weights, younger=True)
    images: int = option(64, counts=lambda own: own.looks_at_images)
    probe: int = option(3, counts=lambda own: own.sensitivity)
    depthwise: int | None = None
    first: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_known("schedule.budget_unit", self.budget_unit, BudgetUnit)
        require_known("schedule.losses", self.losses, Losses)
        at_least(1, **named("schedule", self, "images", "probe", "depthwise", "first"))
        require(
            not (self.sensitivity and self.losses == Losses.logits),
            f"schedule.losses={self.losses} has the effect on the logits already: leave out sensitivity",
        )
        require(
            not (self.policy == Policy.uniform and self.losses == Losses.logits),
            f"schedule.losses={self.losses} has no effect with schedule.policy={self.policy}",
        )

    @property
    def looks_at_images(self) -> bool:
        """Whether the schedule depends on calibration images."""
        return self.sensitivity or self.losses == Losses.logits

    @property
    def label(self) -> str:
        """The name in tables: of a preset over all layers if there is one, or the policy with its scope.

        >>> ScheduleConfig(Policy.optimal, Scope.network, losses=Losses.logits).label
        'calibrated'
        """
        if self.over_layers and self.policy == Policy.optimal and self.losses == Losses.logits:
            return "calibrated"
        if self.over_layers and self.policy == Policy.optimal and self.sensitivity:
            return "network"
        found = f"{self.policy} over layers" if self.over_layers else str(self.policy)
        return f"{found}, logits" if self.losses == Losses.logits else found
