"""Signed digits as bits: the plain coding of formats whose weights have a digit -1, 0 or 1 per exponent.

A group is the number of its set, then the digits of its M weights, the lowest exponent of the first weight
first. Three digits d are one field of 5 bits, (d0 + 1) + 3 (d1 + 1) + 9 (d2 + 1); two that are left take 4
bits, one takes 2. Where several choices of digits make the same weight, the one with the fewest nonzero
digits is written; of those the first, in the order 0, 1, -1 of digits, the lowest exponent first.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np

from swis.errors import InputError
from swis.formats.swis_signed import digit_fields
from swis.formats.weight_format import WeightFormat

# Groups that are packed at once; a multiple of 8, so that they end with a byte.
_AT_ONCE = 1 << 16


def pack_layer(
    codes: np.ndarray, places: np.ndarray, fmt: WeightFormat, kept: np.ndarray
) -> tuple[np.ndarray, dict[str, int]]:
    """Return a layer as bytes, and its bits by part, like ``swis.coding.bitstream.pack``.

    ``codes`` [filters, weights]; ``places`` [filters, groups] are the indices of the groups' sets among the
    candidate sets, all of them in ``kept``; a group stores its index there. Digits count as "mask". Raises
    ``ValueError`` for codes that are no levels of their sets.
    """
    weights, size = codes.shape[1], fmt.group_size
    groups = np.pad(codes, ((0, 0), (0, -weights % size))).reshape(-1, size)
    total = len(groups) * _group_bits(fmt, kept)
    payload, end = np.zeros(-(-total // 8), np.uint8), 0
    for start in range(0, len(groups), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        packed = np.packbits(
            pack_digits(groups[some], places.reshape(-1)[some], fmt, kept), bitorder="little"
        )
        payload[end : end + len(packed)] = packed
        end += len(packed)
    sets = len(groups) * _set_bits(kept)
    return payload, {"sign": 0, "mask": total - sets, "shift": sets, "metadata": 8 * len(payload) - total}


def unpack_layer(
    payload: np.ndarray, fmt: WeightFormat, filters: int, weights: int, kept: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Undo ``pack_layer``: return codes [filters, weights] and indices of sets [filters, groups].

    Raises ``InputError`` for bytes that are no such layer.
    """
    bits = _group_bits(fmt, kept)
    total = filters * -(-weights // fmt.group_size) * bits
    if len(payload) != -(-total // 8) or (total % 8 and payload[-1] >> total % 8):
        raise InputError("a packed layer is damaged: its bits do not end with its weights")
    groups = total // bits
    codes = np.zeros((groups, fmt.group_size), np.int8 if fmt.code_bits <= 7 else np.int16)
    places = np.zeros(groups, np.int64)
    for start in range(0, groups, _AT_ONCE):
        some = slice(start, min(start + _AT_ONCE, groups))
        part = payload[start * bits // 8 : -(-some.stop * bits // 8)]
        found = np.unpackbits(part, bitorder="little")[: (some.stop - start) * bits]
        codes[some], places[some] = unpack_digits(found.reshape(-1, bits), fmt, kept)
    return codes.reshape(filters, -1)[:, :weights], places.reshape(filters, -1)


def pack_digits(codes: np.ndarray, sets: np.ndarray, fmt: WeightFormat, kept: np.ndarray) -> np.ndarray:
    """Return the bits of groups, uint8 [groups, bits].

    ``codes`` [groups, M] are levels of the groups' ``sets`` [groups], which are indices of candidate sets in
    ``kept``. Raises ``ValueError`` for codes that are no levels of their sets.
    """
    trits = digits_of(codes, sets, fmt).reshape(len(codes), fmt.group_size * fmt.shifts) + 1
    fields = [_bits(values, width) for values, width in _fields(trits)]
    return np.concatenate([_bits(np.searchsorted(kept, sets), _set_bits(kept)), *fields], axis=1)


def digits_of(codes: np.ndarray, sets: np.ndarray, fmt: WeightFormat) -> np.ndarray:
    """Return the digits of weights, int8 [groups, M, N], lowest exponent first; see ``pack_digits``.

    >>> from swis.formats.swis_signed import SwisSigned
    >>> fmt = SwisSigned(shifts=2, magnitude_bits=3)  # its set 2 has the exponents 0 and 3
    >>> digits_of(np.array([[7, -8 + 1]]), np.array([2]), fmt).tolist()
    [[[-1, 1], [1, -1]]]
    """
    digits = _digits_of_codes(fmt)[sets[:, None], codes.astype(np.int64) + 2**fmt.code_bits - 1]
    if (digits == _NONE).any():
        raise ValueError("a code is none of the levels of its set")
    return digits


def unpack_digits(bits: np.ndarray, fmt: WeightFormat, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Undo ``pack_digits``: return codes, int64 [groups, M], and indices of sets [groups].

    Raises ``InputError`` for bits that stand for no set, no digits or no code.
    """
    exponents = fmt.digit_exponents()
    set_bits = _set_bits(kept)
    sets = _number(bits[:, :set_bits])
    trits, at = [], set_bits
    for digits, width in digit_fields(fmt.group_size * fmt.shifts):
        values = _number(bits[:, at : at + width])
        at += width
        if (values >= 3**digits).any():
            raise InputError("a packed layer is damaged: bits that stand for no digits")
        trits.append(values[:, None] // 3 ** np.arange(digits) % 3)
    if (sets >= len(kept)).any():
        raise InputError("a packed layer is damaged: a number that is of no shift set")
    sets = kept[sets]
    signed = np.concatenate(trits, axis=1).reshape(len(bits), fmt.group_size, fmt.shifts) - 1
    codes = (signed << exponents[sets][:, None]).sum(2)
    if (abs(codes) >= 2**fmt.code_bits).any():
        raise InputError("a packed layer is damaged: digits of a weight that is too large")
    return codes, sets


def _set_bits(kept: np.ndarray) -> int:
    return (len(kept) - 1).bit_length()


def _group_bits(fmt: WeightFormat, kept: np.ndarray) -> int:
    return sum(bits for _, bits in digit_fields(fmt.group_size * fmt.shifts)) + _set_bits(kept)


_NONE = 9  # no digit


@cache
def _digits_of_codes(fmt: WeightFormat) -> np.ndarray:
    """Tabulate the digits of every code in each set, int8 [sets, codes from the most negative, digits]."""
    exponents, top = fmt.digit_exponents(), 2**fmt.code_bits - 1
    # from the fewest nonzero digits on; sorting keeps the order of equals
    every = sorted(product((0, 1, -1), repeat=exponents.shape[1]), key=np.count_nonzero)
    every = np.array(every, np.int64).reshape(len(every), -1)
    table = np.full((len(exponents), 2 * top + 1, exponents.shape[1]), _NONE, np.int8)
    for place, chosen in enumerate(exponents):
        codes, first = np.unique((every << chosen).sum(1), return_index=True)  # the first choice of each code
        fits = abs(codes) <= top
        table[place, codes[fits] + top] = every[first[fits]]
    return table


def _fields(trits: np.ndarray) -> list[tuple[np.ndarray, int]]:
    fields, at = [], 0
    for digits, width in digit_fields(trits.shape[1]):
        fields.append((trits[:, at : at + digits] @ 3 ** np.arange(digits), width))
        at += digits
    return fields


def _bits(values: np.ndarray, width: int) -> np.ndarray:
    return (values[:, None] >> np.arange(width) & 1).astype(np.uint8)


def _number(bits: np.ndarray) -> np.ndarray:
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))
