"""The columns of rows of results: the meaning, unit, type and allowed values of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow
import pyarrow.compute as pc


@dataclass(frozen=True)
class Column:
    """A column: its pandas type, its meaning, its unit, whether it may be null, and its allowed values.

    ``unit`` is empty for texts, truth values and pure numbers. Allowed values are at least ``low``, at most
    ``high``, greater than ``above``, and one of ``among``; None sets no limit.

    >>> column = Column("Int64", "number of images", "images", low=1)
    >>> str(column), column.wrong(pyarrow.chunked_array([[0, 1, None]]))
    ('at least 1', [0])
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
        """Return the values that are not allowed; null is always allowed."""
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

# What was measured, and how the weights were made.
SETTINGS = {
    "model": text("name of the network"),
    "weights": text("source of the network's float weights"),
    "data": text("data set of the measured images"),
    "method": text("weight format; float is not quantized, int8 is the 8-bit reference"),
    "bits": number("requested shifts per weight (N): the option bits", "shifts", low=1),
    "shifts": number("same value as bits, under the field's name", "shifts", low=1),
    "group_size": count("weights that share a shift set (M)", "weights", low=1),
    "calibrate": note("post-training calibration method; none means not calibrated"),
    "schedule": note("policy that assigns shifts to filters; uniform spreads them evenly"),
    "retrain": note("retraining settings, as JSON; null means not retrained"),
    "seed": count("random seed of the calibration set and of the training order", low=0),
    "selection": note("how a group's levels are chosen: nearest, or joint for the least MSE++"),
    "alpha": number("factor of a group's squared error sum in MSE++; 0 gives plain MSE", low=0),
    "magnitude_bits": count("bits of a quantized weight without its sign (B)", "bits", low=1),
    "granularity": note("which weights share a scale: channel (a filter) or tensor (a layer)"),
    "clip": note("how the weight quantizer's range is chosen: absmax, or mse for the least error"),
    "skip": note("layers that stay at 8 bits, as names with wildcards"),
    "fold_bn": Column(
        "bool", "whether batch normalisation was folded into the weights before quantizing", nullable=False
    ),
    "rewrites": note("changes to the network that keep its function: equalize, permute"),
    "activation_bits": count("bits of the activations; null means float activations", "bits", low=1),
    "activation_range": note("how activation ranges are chosen: minmax, or percentile"),
    "schedule_budget_unit": note("what the schedule averages shifts over: weights, macs, or storage"),
    "filters_per_tile": count("filters of a tile; the slowest one sets the tile's cycles", "filters", low=1),
    "shift_multiple": count("every filter's shifts are a multiple of this number", "shifts", low=1),
    "coding": note("how weights are stored: plain, compact, codebook, or entropy; null means plain"),
    "rate": number("price of a bit per weight, a share of the power of outputs or of logits", low=0),
    "calibration_on_test": flag("whether the calibration set may contain measured images"),
    "split": text("part of the data set that the measured images are from"),
    "images": count("number of measured images", "images", low=1),
}

# What was measured and counted.
RESULTS = {
    "top1": percent("top-1 accuracy"),
    "top1_low": percent("lower end of the 95 % Wilson interval of top-1 accuracy"),
    "top1_high": percent("upper end of the 95 % Wilson interval of top-1 accuracy"),
    "top5": percent("top-5 accuracy"),
    "agreement": percent("share of images with the same top-1 class as in the float network"),
    "kl": number("mean KL divergence of the softmax from the float network's", "nats", low=0),
    "logit_sqnr_db": number("signal-to-quantization-noise ratio of the logits against the float ones", "dB"),
    "weight_bits": number("stored bits per weight, with shift sets and padding", "bits/weight", above=0),
    "compression_vs_int8": number("size of 8-bit weights divided by the size of these weights", "x", above=0),
    "compression_vs_float32": number(
        "size of float32 weights divided by the size of these weights", "x", above=0
    ),
    "cycles_per_weight": number(
        "cycles that a bit-serial lane spends per weight, with waits in a tile", "cycles/weight", low=0
    ),
    "shifts_per_weight": number("mean shifts per weight over the whole network", "shifts/weight", low=0),
    "cycles_per_mac": number("cycles of a bit-serial lane per multiply-accumulate", "cycles/MAC", low=0),
    "ideal_cycles": number("cycles per image of a single lane that is always busy", "cycles", low=0),
    "mse_plus_plus": number("mean MSE++ of the weights, in steps of the 8-bit quantizer", "steps^2", low=0),
    "float_weights": number("share of all weights that stay float", low=0, high=1),
    "float_macs": number("share of all multiply-accumulates whose weights stay float", low=0, high=1),
    "status": text("whether the row was computed: ok, or failed", among=("ok", "failed")),
}

# How a schedule of shifts used its budget.
SCHEDULE_RESULTS = {
    "schedule_spent": number("average shifts that the schedule spends; at most bits", "shifts", low=0),
    "schedule_loss": number("loss of the schedule, summed over the filters", low=0),
    "schedule_bound": number("lower bound on the loss of every schedule with these tiles", low=0),
    "cycles_per_weight_unordered": number(
        "cycles_per_weight if the filters were not reordered", "cycles/weight", low=0
    ),
}

# How close a network is to the float one on the measured and the held-out images together.
HELD_OUT_RESULTS = {
    "held_out_images": count("number of measured and held-out images together", "images", low=1),
    "held_out_agreement": percent("agreement on the measured and held-out images together"),
    "held_out_kl": number("kl on the measured and held-out images together", "nats", low=0),
}

# How and where a row was computed.
PROVENANCE = {
    "key": text("name of the row: a hash of everything that its numbers depend on"),
    "training": note("key of the retraining and of its learning curve"),
    "damaged_images": count("images left out because their files are damaged", "images", low=0),
    "correct": note("which images were classified correctly, one bit per image, in base64"),
    "images_per_second": number("speed of the measurement", "images/s"),
    "seconds": number("duration of the measurement", "s", low=0),
    "error": note("traceback of a failed row"),
    "config": text("all settings that the row can depend on, as JSON"),
    "schema_version": count("version of the columns' meanings", low=1),
    "git_commit": note("commit of the code that computed the row"),
    "git_dirty": flag("whether the code had uncommitted changes"),
    "packages": text("versions of the packages, as JSON"),
    "machine": text("processor, number of cores, operating system and GPU"),
    "created": text("time when the row was computed, in UTC"),
}

# All columns of a row, in this order.
COLUMNS = SETTINGS | RESULTS | SCHEDULE_RESULTS | HELD_OUT_RESULTS | PROVENANCE
