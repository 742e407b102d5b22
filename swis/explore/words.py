"""What the explorer calls formats, designs, networks and columns of results."""

from __future__ import annotations

from functools import cache

from swis.encoding.encode import Encoded
from swis.formats.registry import formats
from swis.formats.weight_format import WeightFormat
from swis.plots.names import design_name, images_name, label_of, network_name
from swis.results.dictionary import columns

COLUMNS = {
    "top1": "top-1 accuracy [%]",
    "top1_low": "top-1 accuracy, lower end [%]",
    "top1_high": "top-1 accuracy, upper end [%]",
    "top5": "top-5 accuracy [%]",
    "agreement": "same class as the float network [%]",
    "kl": "KL divergence from the float network [nats]",
    "held_out_agreement": "same class as the float network, held-out images too [%]",
    "held_out_kl": "KL divergence, held-out images too [nats]",
    "logit_sqnr_db": "SQNR of the logits [dB]",
    "weight_bits": "stored bits per weight",
    "shifts_per_weight": "shifts per weight",
    "cycles_per_weight": "cycles per weight",
    "cycles_per_mac": "cycles per multiply-accumulate",
    "ideal_cycles": "cycles of one lane for an image",
    "mse_plus_plus": "MSE++ [steps²]",
    "compression_vs_int8": "compression, to 8 bits [times]",
    "compression_vs_float32": "compression, to float [times]",
    "schedule_loss": "loss of the schedule",
    "bits": "shifts asked for (bits)",
    "images_per_second": "images per second, measured",
    "frames_per_s": "images per second",
    "frames_per_j": "images per joule",
    "model": "network",
    "data": "data set",
    "method": "format",
    "calibrate": "calibration",
    "group_size": "weights per group",
    "granularity": "one scale per",
    "clip": "clip of the quantizer",
    "selection": "choice of levels",
    "retrain": "retraining",
    "array_mm2": "area of the array [mm²]",
    "area_mm2": "area [mm²]",
}
_NAMES = {
    "model": network_name,
    "network": network_name,
    "data": images_name,
    "method": label_of,
    "format": label_of,
    "accelerator": design_name,
}


def described(given: WeightFormat | Encoded) -> str:
    """Return what a format with its settings, or some weights in one, are called, briefly.

    >>> from swis.formats.int8 import Int8
    >>> from swis.formats.swis import Swis
    >>> described(Swis(shifts=2)), described(Int8())
    ('SWIS, 2 of 7 shifts', '8-bit')
    """
    fmt = given.fmt if isinstance(given, Encoded) else given
    if not fmt.has_shifts:
        return fmt.label
    scheduled = isinstance(given, Encoded) and given.schedule is not None
    shifts = given.schedule.shifts.mean() if scheduled else fmt.shifts
    return f"{fmt.label}, {shifts:.3g} of {fmt.magnitude_bits} shifts"


def layer_words(name: str) -> str:
    """Return what a layer is called, which has no name where it is the whole network.

    >>> layer_words("fc"), layer_words("")
    ('fc', '(the network)')
    """
    return name or "(the network)"


def column_words(name: str) -> str:
    """Return what a column of results is called, with its unit.

    >>> column_words("top1"), column_words("dram_energy_pj"), column_words("my_column")
    ('top-1 accuracy [%]', 'dram energy [pJ]', 'my column')
    """
    if name in COLUMNS:
        return COLUMNS[name]
    unit = _units().get(name, "")
    words = name.removesuffix(f"_{unit.lower()}").replace("_", " ")
    return f"{words} [{unit}]" if unit and unit not in words else words


@cache
def _units() -> dict[str, str]:
    return columns()["unit"].to_dict()


def value_words(column: str, value: str) -> str:
    """Return what a value of a column of results is called.

    >>> value_words("method", "swis"), value_words("model", "resnet18"), value_words("clip", "mse")
    ('SWIS', 'ResNet-18', 'mse')
    """
    return _NAMES.get(column, str)(value)


def quantized_formats() -> list[str]:
    """Return the formats of few bits, by name.

    >>> quantized_formats()[:2]
    ['int8', 'swis']
    """
    return [name for name, kind in formats().items() if kind.quantized]
