"""What the explorer calls formats, designs and columns: in words, the name in code in brackets."""

from __future__ import annotations

from swis.formats.int8 import Int8
from swis.formats.registry import formats
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.formats.weight_format import WeightFormat

_FORMATS = {
    Swis.name: "SWIS, any shifts",
    SwisC.name: "SWIS-C, consecutive shifts",
    Truncate.name: "Truncation to the top bits",
    Round.name: "Rounding to the top bits",
    Uniform.name: "Uniform steps",
    Int8.name: "8 bits",
}

_DESIGNS = {
    "swis_ss": "SWIS, a shift a cycle",
    "swis_ds": "SWIS, two shifts a cycle",
    "swis_c": "SWIS-C, consecutive shifts",
    "truncation": "SWIS array without shift sets",
    "stripes": "Stripes, weights bit by bit",
    "stripes_activations": "Stripes, activations bit by bit",
    "loom": "Loom, both bit by bit",
    "systolic_os": "Systolic, output stationary",
    "systolic_ws": "Systolic, weight stationary",
}

COLUMNS = {
    "top1": "top-1 accuracy [%]",
    "top5": "top-5 accuracy [%]",
    "agreement": "same class as the float network [%]",
    "logit_sqnr_db": "SQNR of the logits [dB]",
    "weight_bits": "stored bits per weight",
    "shifts_per_weight": "shifts per weight",
    "cycles_per_weight": "cycles per weight",
    "cycles_per_mac": "cycles per multiply-accumulate",
    "ideal_cycles": "cycles of one lane per image",
    "mse_plus_plus": "error MSE++ [squared steps]",
    "compression_vs_int8": "times smaller than 8 bits",
    "compression_vs_float32": "times smaller than float",
    "schedule_loss": "loss that the schedule expects",
    "bits": "shifts (bits)",
    "shifts": "shifts",
    "latency_ms": "latency [ms]",
    "energy_pj": "energy [pJ]",
    "latency_cycles": "latency [cycles]",
    "dram_bytes": "DRAM traffic [bytes]",
    "images_per_second": "images per second while measured",
    "model": "network",
    "data": "data set",
    "method": "format",
    "calibrate": "calibration",
    "group_size": "weights per group",
    "granularity": "scale per",
    "clip": "clip of the quantizer",
    "schedule": "schedule of shifts",
    "selection": "choice of levels",
    "retrain": "retraining",
    "accelerator": "accelerator",
    "seed": "seed",
}


def format_words(name: str) -> str:
    """Return what a format is called.

    >>> format_words("swis")
    'SWIS, any shifts (swis)'
    """
    return _named(_FORMATS, name)


def described(fmt: WeightFormat) -> str:
    """Return what a format with its settings is called, briefly.

    >>> described(Swis(shifts=2)), described(Int8())
    ('SWIS, any shifts: 2 of 7', '8 bits')
    """
    name = _FORMATS.get(fmt.name, fmt.label)
    return f"{name}: {fmt.shifts:g} of {fmt.magnitude_bits}" if fmt.has_shifts else name


def design_words(name: str) -> str:
    """Return what a design of an accelerator is called.

    >>> design_words("stripes")
    'Stripes, weights bit by bit (stripes)'
    """
    return _named(_DESIGNS, name)


def column_words(name: str) -> str:
    """Return what a column of results is called.

    >>> column_words("top1"), column_words("my_column")
    ('top-1 accuracy [%] (top1)', 'my column (my_column)')
    """
    return _named(COLUMNS, name)


def value_words(column: str, value: str) -> str:
    """Return what a value of a column of results is called.

    >>> value_words("method", "swis"), value_words("model", "resnet18")
    ('SWIS, any shifts', 'resnet18')
    """
    return _FORMATS.get(value, value) if COLUMNS.get(column) == "format" else value


def quantized_formats() -> list[str]:
    """Return the formats of few bits, by name.

    >>> quantized_formats()[:2]
    ['int8', 'swis']
    """
    return [name for name, kind in formats().items() if kind.quantized]


def _named(known: dict[str, str], name: str) -> str:
    return f"{known.get(name, name.replace('_', ' '))} ({name})"
