"""A packed layer: bits and a description, also for filters with different numbers of shifts.

If filters have different numbers of shifts, those with the same number are packed together, the fewest shifts
first. Each of these parts is in the order of the tiles and starts with a whole byte. The schedule has a field
for every filter, tile by tile: its shifts minus one, in ceil(log2 B) bits, and, if filters were reordered,
its index, in ceil(log2 filters) bits; lowest bits come first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from swis.coding.bitstream import Layout, pack, unpack
from swis.encoding.encode import Encoded
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.formats.registry import from_settings
from swis.formats.weight_format import WeightFormat


def pack_layer(layer: Encoded, coding: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a packed layer, uint8 by name, and its description for the decoder.

    The description has the format, the shape, the bits of the parts sign, mask, shift and metadata (their sum
    is that of the arrays) and, for a schedule, its tiles and the bytes of each part.
    """
    about = {"form": layer.fmt.settings(), "shape": list(layer.shape)}
    if layer.schedule is None:
        payload, bits = _pack(layer, layer.fmt, np.arange(len(layer.codes)), coding)
        return {"packed": payload}, about | {"bits": bits}
    schedule, payloads, total = layer.schedule, {}, {}
    for shifts, filters in _kinds(schedule):
        payloads[shifts], bits = _pack(layer, layer.fmt.with_shifts(shifts), filters, coding)
        total = {part: total.get(part, 0) + count for part, count in bits.items()}
    fields = _pack_schedule(schedule, layer.fmt.magnitude_bits)
    total["metadata"] += 8 * len(fields)
    about["tiles"] = {
        "filters_per_tile": schedule.filters_per_tile,
        "multiple": schedule.multiple,
        "reordered": schedule.reordered,
        "bytes": [len(payload) for payload in payloads.values()],
    }
    return {"packed": np.concatenate([*payloads.values()]), "schedule": fields}, about | {"bits": total}


def packed_parts(about: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the arrays of a packed layer."""
    return ("packed", "schedule") if "tiles" in about else ("packed",)


def unpack_layer(parts: dict[str, np.ndarray], about: dict[str, Any], scale: Tensor, coding: str) -> Encoded:
    """Return the layer that ``pack_layer`` packed; raise ``InputError`` for damaged bits."""
    fmt, shape = from_settings(about["form"]), torch.Size(about["shape"])
    filters = shape[0]
    if "tiles" not in about:
        codes, sets = unpack(parts["packed"], Layout(fmt, filters, shape[1:].numel(), coding))
        return Encoded(fmt, torch.from_numpy(codes), _sets(fmt, sets), scale, shape)
    schedule = _unpack_schedule(parts["schedule"], filters, fmt.magnitude_bits, about["tiles"])
    kinds, lengths = _kinds(schedule), about["tiles"]["bytes"]
    if len(kinds) != len(lengths) or sum(lengths) != len(parts["packed"]):
        raise InputError("a packed layer is damaged: its schedule and its bits have different filters")
    payloads = np.split(parts["packed"], np.cumsum(lengths)[:-1])
    codes = np.empty((filters, shape[1:].numel()), np.int8 if fmt.magnitude_bits <= 7 else np.int16)
    sets = np.empty((filters, -(-codes.shape[1] // fmt.weights_per_group)), np.uint8)
    for (shifts, members), payload in zip(kinds, payloads, strict=True):
        layout = Layout(fmt.with_shifts(shifts), len(members), codes.shape[1], coding)
        codes[members], sets[members] = unpack(payload, layout)
    return Encoded(fmt, torch.from_numpy(codes), _sets(fmt, sets), scale, shape, schedule=schedule)


def _sets(fmt: WeightFormat, sets: np.ndarray) -> Tensor | None:
    return torch.from_numpy(sets) if fmt.grouped else None


def _kinds(schedule: LayerSchedule) -> list[tuple[int, np.ndarray]]:
    """Return pairs of a number of shifts and the filters with this number, in the order of the tiles."""
    ordered = schedule.shifts[schedule.order]
    return [(shifts, schedule.order[ordered == shifts]) for shifts in np.unique(ordered).tolist()]


def _pack(
    layer: Encoded, fmt: WeightFormat, filters: np.ndarray, coding: str
) -> tuple[np.ndarray, dict[str, int]]:
    layout = Layout(fmt, len(filters), layer.codes.shape[1], coding)
    fields = None
    if fmt.grouped:  # other formats have the same set for all weights
        fields = layer.shift_sets.numpy()[filters]
    return pack(layer.codes.numpy()[filters], fields, layout)


def _pack_schedule(schedule: LayerSchedule, magnitude_bits: int) -> np.ndarray:
    fields = [_bits(schedule.shifts[schedule.order] - 1, (magnitude_bits - 1).bit_length())]
    if schedule.reordered:
        fields.append(_bits(schedule.order, (len(schedule.order) - 1).bit_length()))
    return np.packbits(np.concatenate(fields, axis=1), bitorder="little")


def _unpack_schedule(
    payload: np.ndarray, filters: int, magnitude_bits: int, tiles: dict[str, Any]
) -> LayerSchedule:
    width = (magnitude_bits - 1).bit_length()
    place = (filters - 1).bit_length() if tiles["reordered"] else 0
    if len(payload) != -(-filters * (width + place) // 8):
        raise InputError("a packed layer is damaged: its schedule does not end with its filters")
    bits = np.unpackbits(payload, count=filters * (width + place), bitorder="little").reshape(filters, -1)
    order = _number(bits[:, width:]) if place else np.arange(filters)
    if not np.array_equal(np.sort(order), np.arange(filters)):
        raise InputError("a packed layer is damaged: its schedule does not have every filter once")
    shifts = np.empty(filters, np.int64)
    shifts[order] = _number(bits[:, :width]) + 1
    if shifts.max() > magnitude_bits:
        raise InputError("a packed layer is damaged: its schedule has more shifts than a magnitude has bits")
    return LayerSchedule(shifts, order, tiles["filters_per_tile"], tiles["multiple"])


def _bits(values: np.ndarray, width: int) -> np.ndarray:
    return (values[:, None] >> np.arange(width) & 1).astype(np.uint8)


def _number(bits: np.ndarray) -> np.ndarray:
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))
