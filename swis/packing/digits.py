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


def pack_digits(codes: np.ndarray, sets: np.ndarray, fmt: WeightFormat) -> np.ndarray:
    """Return the bits of groups, uint8 [groups, bits].

    ``codes`` [groups, M] are levels of the groups' ``sets`` [groups], which are indices of candidate sets.
    Raises ``ValueError`` for codes that are no levels of their sets.
    """
    trits = digits_of(codes, sets, fmt).reshape(len(codes), fmt.group_size * fmt.shifts) + 1
    fields = [_bits(values, width) for values, width in _fields(trits)]
    return np.concatenate([_bits(sets, fmt.set_ranks()[1]), *fields], axis=1)


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


def unpack_digits(bits: np.ndarray, fmt: WeightFormat) -> tuple[np.ndarray, np.ndarray]:
    """Undo ``pack_digits``: return codes, int64 [groups, M], and indices of sets [groups].

    Raises ``InputError`` for bits that stand for no set, no digits or no code.
    """
    exponents = fmt.digit_exponents()
    set_bits = fmt.set_ranks()[1]
    sets = _number(bits[:, :set_bits])
    trits, at = [], set_bits
    for digits, width in digit_fields(fmt.group_size * fmt.shifts):
        values = _number(bits[:, at : at + width])
        at += width
        if (values >= 3**digits).any():
            raise InputError("a packed layer is damaged: bits that stand for no digits")
        trits.append(values[:, None] // 3 ** np.arange(digits) % 3)
    if (sets >= len(exponents)).any():
        raise InputError("a packed layer is damaged: a number that is of no shift set")
    signed = np.concatenate(trits, axis=1).reshape(len(bits), fmt.group_size, fmt.shifts) - 1
    codes = (signed << exponents[sets][:, None]).sum(2)
    if (abs(codes) >= 2**fmt.code_bits).any():
        raise InputError("a packed layer is damaged: digits of a weight that is too large")
    return codes, sets


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
