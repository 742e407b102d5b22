"""The columns of rows: what each of them says, in which unit, its type and the values that it may have."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow
import pyarrow.compute as pc


@dataclass(frozen=True)
class Column:
    """A column: its type in pandas, what it says and in which unit, whether it may be null, its values.

    ``unit`` is empty where there is none: of texts, of truth values and of pure numbers.
    """

    kind: str
    meaning: str
    unit: str = ""
    nullable: bool = True
    low: float | None = None
    high: float | None = None
    above: float | None = None
    among: tuple[str, ...] | None = None

    def wrong(self, values: pyarrow.ChunkedArray) -> list[Any]:
        """Return the values that are out of limits; null is in them."""
        outside = []
        if self.low is not None:
            outside.append(pc.less(values, self.low))
        if self.high is not None:
            outside.append(pc.greater(values, self.high))
        if self.above is not None:
            outside.append(pc.less_equal(values, self.above))
        if self.among is not None:
            outside.append(pc.invert(pc.is_in(values, pyarrow.array(self.among, values.type))))
        return [value for each in outside for value in values.filter(each).to_pylist()]

    def __str__(self) -> str:
        if self.among is not None:
            return f"one of {', '.join(self.among)}"
        if self.high is not None:
            return f"in {self.low:g}..{self.high:g}"
        return f"above {self.above:g}" if self.above is not None else f"at least {self.low:g}"


number, count = partial(Column, "float64"), partial(Column, "Int64")
percent = partial(number, unit="%", low=0, high=100)
text, note = partial(Column, "str", nullable=False), partial(Column, "str")
flag = partial(Column, "boolean")

# What was measured, and how its weights were made.
SETTINGS = {
    "model": text("name of the network"),
    "weights": text("where its float weights are from"),
    "data": text("data set that is measured on"),
    "method": text("weight format; float: not quantized, int8: the 8-bit reference"),
    "bits": number("shifts per weight that were asked for (N): the option bits", "shifts", low=1),
    "shifts": number("the same as bits, by the name that the field has for it", "shifts", low=1),
    "group_size": count("weights that share a shift set (M)", "weights", low=1),
    "calibrate": note("calibration of the quantized weights, without training"),
    "schedule": note("policy that gives filters their shifts; uniform: spread evenly"),
    "retrain": note("settings of the retraining, as JSON; null: not retrained"),
    "seed": count("seed of the images drawn, and of the order of training", low=0),
    "selection": note("how a group's levels are chosen: nearest, or joint for the least MSE++"),
    "alpha": number("weight of the squared sum of a group's errors in MSE++; 0: plain MSE", low=0),
    "magnitude_bits": count("bits of a quantized weight beside its sign (B)", "bits", low=1),
    "granularity": note("what shares a scale: an output channel, or the whole tensor"),
    "clip": note("how the range of the weight quantizer is chosen: absmax, or mse"),
    "skip": note("layers that stay at 8 bits, by names with wildcards"),
    "fold_bn": Column(
        "bool", "whether batch normalisation was folded into weights before quantizing", nullable=False
    ),
    "rewrites": note("rewrites of the folded network that keep its function: equalize, permute"),
    "activation_bits": count("bits of activations; null: they stay float", "bits", low=1),
    "activation_range": note("how ranges of activations are chosen: minmax, or percentile"),
    "schedule_budget_unit": note("what the schedule's average of shifts is over: weights, macs, or storage"),
    "filters_per_tile": count("filters that run side by side, as slow as the slowest", "filters", low=1),
    "shift_multiple": count("filters get multiples of so many shifts", "shifts", low=1),
    "coding": note("coding of a packed file, plain or compact; null: not of a packed file"),
    "calibration_on_test": flag("whether it was calibrated on images that are measured on"),
    "split": text("part of the data set that is measured on"),
    "images": count("images that are measured on", "images", low=1),
}

# What was measured and counted.
RESULTS = {
    "top1": percent("top-1 accuracy"),
    "top1_low": percent("lower end of Wilson's 95 % interval of top-1"),
    "top1_high": percent("upper end of Wilson's 95 % interval of top-1"),
    "top5": percent("top-5 accuracy"),
    "agreement": percent("images with the same top-1 class as in the float network"),
    "logit_sqnr_db": number("signal-to-quantization-noise ratio of the logits, to the float network's", "dB"),
    "weight_bits": number("bits stored per weight, shift sets and padding included", "bits/weight", above=0),
    "compression_vs_int8": number("how many times smaller weights are than in 8 bits", "x", above=0),
    "compression_vs_float32": number("how many times smaller weights are than in float32", "x", above=0),
    "cycles_per_weight": number(
        "cycles of a bit-serial lane per weight, with waits in a tile", "cycles/weight", low=0
    ),
    "shifts_per_weight": number("shifts per weight, mean over the network's weights", "shifts/weight", low=0),
    "cycles_per_mac": number("cycles of a bit-serial lane per multiply-accumulate", "cycles/MAC", low=0),
    "ideal_cycles": number("lane-cycles of an image's MACs at full utilization", "cycles", low=0),
    "mse_plus_plus": number("mean MSE++ of weights, in steps of the 8-bit quantizer", "steps^2", low=0),
    "float_weights": number("share of all weights that stay float", low=0, high=1),
    "float_macs": number("share of all multiply-accumulates whose weights stay float", low=0, high=1),
    "status": text("whether the row was computed: ok, or failed", among=("ok", "failed")),
}

# What a schedule of shifts made of its budget.
SCHEDULE_RESULTS = {
    "schedule_spent": number("average of what the schedule spends, of the shifts asked for", "shifts", low=0),
    "schedule_loss": number("loss that the schedule has, summed over filters", low=0),
    "schedule_bound": number("loss that no schedule of these tiles is below", low=0),
    "cycles_per_weight_unordered": number(
        "cycles_per_weight if filters kept their places", "cycles/weight", low=0
    ),
}

# What says how a row was made, and belongs to it beside what is plotted.
PROVENANCE = {
    "key": text("name of the row: a hash of all that its numbers depend on"),
    "training": note("name of the retraining, and of its learning curve"),
    "damaged_images": count("images left out because they are damaged", "images", low=0),
    "correct": note("which images were told right, a bit per image in base64"),
    "images_per_second": number("speed of the measurement", "images/s"),
    "seconds": number("time that the measurement took", "s", low=0),
    "error": note("traceback of a row that failed"),
    "config": text("all settings that the row can depend on, as JSON"),
    "schema_version": count("version of the columns' meaning", low=1),
    "git_commit": note("commit of the code that computed the row"),
    "git_dirty": flag("whether the code had changes that are not committed"),
    "packages": text("versions of packages, as JSON"),
    "machine": text("processor, cores, system and GPU"),
    "created": text("when the row was computed, in UTC"),
}

# All columns of rows, in this order.
COLUMNS = SETTINGS | RESULTS | SCHEDULE_RESULTS | PROVENANCE
