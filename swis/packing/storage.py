"""Bits per weight, by formula and as packed, and the share of groups that are represented without loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from swis.coding.bitstream import CODINGS, Layout, pack
from swis.encoding.cost import compression
from swis.encoding.decompose import decompose
from swis.encoding.encode import Encoded, encode
from swis.encoding.metrics import sqnr_db
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.swis_signed import SwisSigned
from swis.formats.uniform import Uniform
from swis.formats.uniform_group import UniformGroup
from swis.formats.weight_format import FLOAT_BITS, WeightFormat
from swis.runtime.progress import tqdm

_MOST_DIGITS = 4  # signed digits of more shifts have hundreds of levels
_SCALE_GROUPS = (32, 64)  # the usual groups that share a scale
GROUP_SIZES = (1, 2, 4, 8, 16, 32, 64)
SHIFTS = (1, 2, 3, 4, 5, 6)


def storage_table(
    layers: dict[str, Tensor],
    magnitude_bits: int = 7,
    group_sizes: Sequence[int] = GROUP_SIZES,
    shifts: Sequence[int] = SHIFTS,
    *,
    float_weights: int = 0,
) -> pd.DataFrame:
    """Measure the storage of layers' codes [filters, weights] for every method, group size and shifts.

    The result has a row per ``method``, ``group_size``, ``bits`` (shifts; null for "dpred") and ``coding``:

    * ``formula_bits``, ``weight_bits``: bits per weight by the formula, and as packed.
    * ``sign_bits``, ``mask_bits``, ``shift_bits``, ``metadata_bits``: the parts of ``weight_bits``.
    * ``compression_vs_int8``, ``compression_vs_float32``: the size of weights in these formats divided by
      their packed size.
    * ``float_bits``: the bits of ``float_weights`` further weights of the network, 32 bits each, which belong
      to no layer; they are part of the bits per weight.
    * ``sqnr_db``: that of the approximated codes (alpha = 1).
    * ``lossless``: the fraction of groups that keep every code; null for the formats it is not defined for.

    The methods and their lossless groups:

    * "swis": the magnitudes of a group use at most N bit positions;
    * "swis_c": they use bit positions within N consecutive ones;
    * "swis_signed": signed digits, up to 4 shifts;
    * "uniform" (at group size 1) and "uniform_group" (at 32 and 64): N bits and a sign, in a scale for each
      filter or for each group;
    * "layer": all groups of a layer have the same set of N bit positions, the one that fits most groups (only
      ``lossless`` is given);
    * "dpred": a group stores its magnitudes with as many bits as its largest one needs, and the number of
      these bits, without masks, so that all groups are lossless (only the formula is given; after DPRed).
    """
    rows: list[dict[str, Any]] = []
    for group_size in tqdm(group_sizes, desc="storage", leave=False):
        unions = {name: group_unions(codes, group_size) for name, codes in layers.items()}
        bits = _dpred_bits(layers, unions, group_size, magnitude_bits)
        rows.append({"method": "dpred", "group_size": group_size, "lossless": 1.0, **bits})
        for count in (n for n in shifts if n <= magnitude_bits):
            point = {"group_size": group_size, "bits": count}
            for kind, fits in ((Swis, _bits_fit), (SwisC, _places_fit)):
                fmt = kind(count, group_size, magnitude_bits=magnitude_bits)
                lossless = _fraction(fits(used, count) for used in unions.values())
                rows += [{**row, **point, "lossless": lossless} for row in _packed_bits(layers, fmt)]
            for fmt in _other_formats(count, group_size, magnitude_bits):
                rows += [{**row, **point} for row in _packed_bits(layers, fmt)]
            common = _fraction(_best_common_set(used, count, magnitude_bits) for used in unions.values())
            rows.append({"method": "layer", "lossless": common, **point})
    table = pd.DataFrame(rows)
    if not float_weights:
        return table
    share = float_weights / (float_weights + sum(codes.numel() for codes in layers.values()))
    return _with_floats(table, share)


def _with_floats(table: pd.DataFrame, share: float) -> pd.DataFrame:
    """Return the table for a network in which a ``share`` of all weights stays float."""
    sums = ["formula_bits", "weight_bits"]
    parts = [name for name in table if name.endswith("_bits")]
    table[parts] *= 1 - share
    table["float_bits"] = FLOAT_BITS * share
    table[sums] += FLOAT_BITS * share
    bits = table["weight_bits"].fillna(table["formula_bits"])
    return table.assign(**compression(bits))


def group_unions(codes: Tensor, group_size: int) -> np.ndarray:
    """Return the bit positions that the magnitudes of each group use, as bit fields [groups].

    >>> group_unions(torch.tensor([[1, -4, 2]]), 2).tolist()
    [5, 2]
    """
    padded = torch.nn.functional.pad(codes, (0, -codes.shape[1] % group_size)).numpy()
    return np.bitwise_or.reduce(np.abs(padded.astype(np.int16)).reshape(-1, group_size), axis=1)


def _bits_fit(used: np.ndarray, shifts: int) -> np.ndarray:
    return np.bitwise_count(used) <= shifts


def _places_fit(used: np.ndarray, shifts: int) -> np.ndarray:
    lowest = used & -used
    return used < (lowest.astype(np.int64) << shifts) + (used == 0)


def _best_common_set(used: np.ndarray, shifts: int, magnitude_bits: int) -> np.ndarray:
    sets = [s for s in range(1 << magnitude_bits) if s.bit_count() == shifts]
    return max((used & ~s == 0 for s in sets), key=np.count_nonzero)


def _fraction(flags: Iterable[np.ndarray]) -> float:
    return float(np.concatenate(list(flags)).mean())


def _other_formats(shifts: int, group_size: int, magnitude_bits: int) -> Iterator[WeightFormat]:
    """Return the formats beside SWIS and SWIS-C that a table has for this number of shifts and group size."""
    if shifts <= _MOST_DIGITS:
        yield SwisSigned(shifts, group_size, magnitude_bits=magnitude_bits)
    if group_size == 1:
        yield Uniform(shifts, magnitude_bits=magnitude_bits)
    if group_size in _SCALE_GROUPS:
        yield UniformGroup(shifts, magnitude_bits=magnitude_bits, scale_group=group_size)


def _encoded(codes: Tensor, fmt: WeightFormat) -> Encoded:
    """Return codes in a format, in steps of the codes."""
    if not fmt.on_codes:
        return encode(codes.float(), fmt)
    result = decompose(codes, fmt)
    return Encoded(fmt, result.codes, result.shift_sets, torch.ones(1), codes.shape)


def _packed_bits(layers: dict[str, Tensor], fmt: WeightFormat) -> Iterator[dict[str, Any]]:
    """Return a row for each coding of the layers in a format."""
    found = {name: _encoded(codes, fmt) for name, codes in layers.items()}
    whole = torch.cat([codes.flatten() for codes in layers.values()])
    error = sqnr_db(whole, torch.cat([result.weight().flatten() for result in found.values()]))
    for coding in CODINGS:
        totals = {"sign": 0, "mask": 0, "shift": 0, "metadata": 0}
        formula = weights = 0
        for result in found.values():
            filters, filter_weights = result.codes.shape
            layout = Layout(fmt, filters, filter_weights, coding)
            sets = result.shift_sets.numpy() if fmt.grouped else None
            _, bits = pack(result.codes.numpy(), sets, layout)
            totals = {part: totals[part] + bits[part] for part in totals}
            formula += fmt.stored_bits(filters, filter_weights)
            weights += result.codes.numel()
        parts = {f"{part}_bits": count / weights for part, count in totals.items()}
        measured = sum(parts.values())
        yield {
            "method": fmt.name,
            "coding": coding,
            "formula_bits": formula / weights,
            "weight_bits": measured,
            "sqnr_db": error,
            **parts,
            **compression(measured),
        }


def _dpred_bits(
    layers: dict[str, Tensor], unions: dict[str, np.ndarray], group_size: int, magnitude_bits: int
) -> dict[str, float]:
    width = magnitude_bits.bit_length()  # bits that hold the number of bits, 0 to B
    needed = np.concatenate([np.ceil(np.log2(used + 1.0)) for used in unions.values()])
    total = (group_size * (1 + needed) * (needed > 0) + width).sum()  # a group of zeros has only the number
    bits = total / sum(codes.numel() for codes in layers.values())
    return {"formula_bits": bits, **compression(bits)}
