"""Entropy coding of a layer: frequent sets and levels take fewer bits.

The coder is rANS (J. Duda, 2013) with one state of 32 bits and static tables per layer, so that a decoder
reads group after group: the set, then of each weight its level and, unless that is zero, its sign. Padding of
the last group is not stored. The probability of a symbol is a frequency out of 4096; a sign takes one bit.

A layer starts with its tables, lowest bits first: one bit that says whether all sets share one table of
levels; the table of sets, if there are several; then the shared table, or a table for each set that occurs.
A table has a bit for every symbol, which says whether it occurs, and 12 bits for the frequency minus one of
each that does, without the last. The state follows in 32 bits, at a whole byte, and then words of 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from swis.errors import InputError
from swis.formats.weight_format import WeightFormat
from swis.runtime.compiled import njit

_BITS = 12  # of a frequency
_WHOLE = 1 << _BITS
_DAMAGED = "a packed layer is damaged: "


@dataclass(frozen=True)
class Counts:
    """How often symbols occur: ``sets`` int64 [sets], ``levels`` int64 [sets, levels]."""

    sets: np.ndarray
    levels: np.ndarray


@dataclass(frozen=True)
class Tables:
    """The frequencies of symbols out of 4096: ``sets`` int64 [sets], ``levels`` int64 [sets, levels].

    A symbol with frequency 0 does not occur. ``shared``: all sets have the same row of ``levels``.
    """

    sets: np.ndarray
    levels: np.ndarray
    shared: bool

    @classmethod
    def of(cls, counts: Counts) -> Tables:
        """Return the tables that take the fewest bits, with those of the tables themselves.

        >>> Tables.of(Counts(np.array([3, 1]), np.array([[9, 3], [4, 0]]))).sets.tolist()
        [3072, 1024]
        """
        together = np.broadcast_to(counts.levels.sum(0), counts.levels.shape)
        sets = _frequencies(counts.sets[None])[0]
        both = [
            cls(sets, _frequencies(levels), shared)
            for levels, shared in ((counts.levels, False), (together, True))
        ]
        return min(both, key=lambda tables: len(tables.header()) + tables._payload(counts))

    def bits(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the bits of every set [sets], and of its levels with their signs [sets, levels], float32.

        A symbol that does not occur has as many bits as one of half the smallest frequency.
        """
        sets, levels = (_BITS - np.log2(np.maximum(table, 0.5)) for table in (self.sets, self.levels))
        levels[:, 1:] += 1
        return sets.astype(np.float32), levels.astype(np.float32)

    def header(self) -> np.ndarray:
        """Return the tables as bits, uint8."""
        parts = [np.array([self.shared], np.uint8)]
        if len(self.sets) > 1:
            parts.append(_table_bits(self.sets))
        parts += [_table_bits(self.levels[place]) for place in self._stored()]
        return np.concatenate(parts)

    def _stored(self) -> list[int]:
        """Return the sets whose table of levels is stored."""
        occurring = np.flatnonzero(self.sets).tolist()
        return occurring[:1] if self.shared else occurring

    def _payload(self, counts: Counts) -> float:
        sets, levels = self.bits()
        return float((sets * counts.sets).sum() + (levels * counts.levels).sum())


def pack_layer(codes: np.ndarray, places: np.ndarray, fmt: WeightFormat) -> tuple[np.ndarray, dict[str, int]]:
    """Return a layer as bytes, and its bits by part, like ``swis.coding.bitstream.pack``.

    ``codes`` [filters, weights]; ``places`` [filters, groups] are the indices of the groups' sets among the
    candidate sets. Raises ``ValueError`` for codes that are no levels of their sets. The parts "mask" and
    "shift" are what levels and sets take by their probabilities, rounded; "metadata" are the tables and all
    that is left.

    >>> from swis.formats.uniform import Uniform
    >>> payload, bits = pack_layer(np.array([[0, 0, 0, 1]]), np.zeros((1, 4), int), Uniform(1))
    >>> unpack_layer(payload, Uniform(1), 1, 4)[0].tolist()
    [[0, 0, 0, 1]]
    """
    counts = count(codes, places, fmt)
    tables = Tables.of(counts)
    of_sets, of_levels = (_starts(table) for table in (tables.sets, tables.levels))
    header = np.packbits(tables.header(), bitorder="little")
    words = np.empty(codes.size * 2 + places.size + 4, np.uint16)
    start, state = _encode(
        *(codes.reshape(-1), codes.shape[1], fmt.weights_per_group, places.reshape(-1), level_indices(fmt)),
        *(tables.sets, of_sets, tables.levels, of_levels, words),
    )
    payload = np.concatenate([header, np.array([state], "<u4").view(np.uint8), words[start:].view(np.uint8)])
    sets, levels = tables.bits()
    signs = int(counts.levels[:, 1:].sum())
    parts = {
        "sign": signs,
        "mask": round(float((levels * counts.levels).sum(dtype=np.float64))) - signs,
        "shift": round(float((sets * counts.sets).sum(dtype=np.float64))),
    }
    return payload, parts | {"metadata": 8 * len(payload) - sum(parts.values())}


def unpack_layer(
    payload: np.ndarray, fmt: WeightFormat, filters: int, weights: int
) -> tuple[np.ndarray, np.ndarray]:
    """Undo ``pack_layer``: return codes [filters, weights] and indices of sets [filters, groups].

    Raises ``InputError`` for bytes that are no such layer.
    """
    try:  # zeros alone take no bits, so the bytes say nothing of the shape
        codes = np.zeros((filters, weights), np.int8 if fmt.code_bits <= 7 else np.int16)
        places = np.zeros((filters, -(-weights // fmt.weights_per_group)), np.int64)
    except (MemoryError, ValueError) as error:
        raise InputError(f"{_DAMAGED}its shape {filters} x {weights} is too large") from error
    tables, end = _read_tables(np.unpackbits(payload, bitorder="little"), fmt)
    body = payload[-(-end // 8) :]
    if len(body) < 4 or len(body) % 2:
        raise InputError(f"{_DAMAGED}its bytes end within its state")
    state, words = int(body[:4].copy().view("<u4")[0]), body[4:].copy().view("<u2")
    of_sets = (_symbols(tables.sets[None])[0], tables.sets, _starts(tables.sets))
    of_levels = (_symbols(tables.levels), tables.levels, _starts(tables.levels))
    values = padded_levels(fmt)
    if not _decode(
        *(state, words, weights, fmt.weights_per_group, of_sets, of_levels, values),
        *(codes.reshape(-1), places.reshape(-1)),
    ):
        raise InputError(f"{_DAMAGED}its bits do not end with its weights")
    return codes, places


def count(codes: np.ndarray, places: np.ndarray, fmt: WeightFormat) -> Counts:
    """Return how often sets and levels occur; see ``pack_layer``."""
    indices = level_indices(fmt)
    sets, levels = np.zeros(len(indices), np.int64), np.zeros(padded_levels(fmt).shape, np.int64)
    flat = codes.reshape(-1), codes.shape[1], fmt.weights_per_group, places.reshape(-1)
    if not _count(*flat, indices, sets, levels):
        raise ValueError("a code is none of the levels of its set")
    return Counts(sets, levels)


def level_indices(fmt: WeightFormat) -> np.ndarray:
    """Return the index of every magnitude among the levels of each set [sets, magnitudes]; -1 for none."""
    table = np.full((len(fmt.level_sets()), 1 << fmt.code_bits), -1, np.int16)
    for row, levels in zip(table, fmt.level_sets(), strict=True):
        row[list(levels)] = range(len(levels))
    return table


def padded_levels(fmt: WeightFormat) -> np.ndarray:
    """Return the levels of each set, int64 [sets, levels]; -1 after the last one."""
    sets = fmt.level_sets()
    table = np.full((len(sets), max(map(len, sets))), -1, np.int64)
    for row, levels in zip(table, sets, strict=True):
        row[: len(levels)] = levels
    return table


def _frequencies(counts: np.ndarray) -> np.ndarray:
    """Return frequencies with the sum 4096 for every row of counts, at least 1 for a symbol that occurs."""
    totals = counts.sum(1, keepdims=True)
    shares = counts * _WHOLE // np.maximum(totals, 1)
    found = np.where(counts > 0, np.maximum(shares, 1), 0)
    for row in np.flatnonzero(totals):
        while missing := _WHOLE - int(found[row].sum()):
            largest = int(found[row].argmax())  # whose share changes least
            found[row, largest] += max(missing, -int(found[row, largest]) // 2)
    return found


def _starts(frequencies: np.ndarray) -> np.ndarray:
    return frequencies.cumsum(-1) - frequencies


def _symbols(frequencies: np.ndarray) -> np.ndarray:
    """Return the symbol of each of the 4096 slots, for every row of frequencies [rows, 4096]."""
    found = np.zeros((len(frequencies), _WHOLE), np.int16)
    for row, each in zip(found, frequencies, strict=True):
        if each.any():
            row[:] = np.repeat(np.arange(len(each)), each)
    return found


def _table_bits(frequencies: np.ndarray) -> np.ndarray:
    occurring = frequencies > 0
    stored = frequencies[occurring][:-1] - 1
    return np.concatenate([occurring, (stored[:, None] >> np.arange(_BITS) & 1).ravel()]).astype(np.uint8)


def _read_tables(bits: np.ndarray, fmt: WeightFormat) -> tuple[Tables, int]:
    """Return the tables at the start of a layer, and the number of bits that they take."""
    sizes = [len(levels) for levels in fmt.level_sets()]
    levels = np.zeros((len(sizes), max(sizes)), np.int64)
    at = 1
    if not len(bits):
        raise InputError(f"{_DAMAGED}it has no bits")

    def table(size: int, allowed: Iterable[int]) -> np.ndarray:
        nonlocal at
        occurring = np.flatnonzero(bits[at : at + size])
        end = at + size + _BITS * max(len(occurring) - 1, 0)
        if end > len(bits) or not set(occurring.tolist()) <= set(allowed):
            raise InputError(f"{_DAMAGED}its tables have impossible symbols")
        fields = bits[at + size : end].reshape(-1, _BITS).astype(np.int64) @ (1 << np.arange(_BITS)) + 1
        rest = _WHOLE - int(fields.sum())
        if len(occurring) and rest < 1:
            raise InputError(f"{_DAMAGED}its tables have impossible frequencies")
        found = np.zeros(size, np.int64)
        found[occurring] = [*fields, rest][: len(occurring)]
        at = end
        return found

    shared = bool(bits[0])
    sets = table(len(sizes), range(len(sizes))) if len(sizes) > 1 else np.array([_WHOLE])
    occurring = np.flatnonzero(sets).tolist()
    if shared and occurring:
        levels[:] = table(levels.shape[1], range(levels.shape[1]))
    else:
        for place in occurring:
            levels[place] = table(levels.shape[1], range(sizes[place]))
    if bits[at : -(-at // 8) * 8].any():
        raise InputError(f"{_DAMAGED}its tables do not end with a byte")
    return Tables(sets, levels, shared), at


@njit(nogil=True)
def _count(codes, weights, per_group, places, indices, sets, levels):
    groups = -(-weights // per_group)
    for group in range(len(places)):
        row, number, place = group // groups, group % groups, places[group]
        sets[place] += 1
        first = row * weights + number * per_group
        for i in range(first, min(first + per_group, (row + 1) * weights)):
            index = indices[place, abs(np.int64(codes[i]))]
            if index < 0:
                return False
            levels[place, index] += 1
    return True


@njit(nogil=True)
def _push(state, frequency, start, words, at):
    """Add a symbol to the state; return the new state and the position of the last word."""
    frequency, start = np.uint64(frequency), np.uint64(start)
    if state >= frequency << np.uint64(20):  # 32 bits of state without the 12 of a frequency
        at -= 1
        words[at] = np.uint16(state & np.uint64(0xFFFF))
        state >>= np.uint64(16)
    return (state // frequency << np.uint64(12)) + state % frequency + start, at


@njit(nogil=True)
def _encode(codes, weights, per_group, places, indices, sets, set_starts, levels, level_starts, words):
    """Fill ``words`` from the end; return the position of the first word and the state."""
    groups, at, state = -(-weights // per_group), len(words), np.uint64(1 << 16)
    for group in range(len(places) - 1, -1, -1):  # the decoder gets the last symbol first
        row, number, place = group // groups, group % groups, places[group]
        first = row * weights + number * per_group
        for i in range(min(first + per_group, (row + 1) * weights) - 1, first - 1, -1):
            code = np.int64(codes[i])
            index = indices[place, abs(code)]
            if index > 0:
                state, at = _push(state, 2048, 2048 * (code < 0), words, at)
            state, at = _push(state, levels[place, index], level_starts[place, index], words, at)
        state, at = _push(state, sets[place], set_starts[place], words, at)
    return at, state


@njit(nogil=True)
def _pop(state, frequency, start, words, at):
    """Take a symbol from the state; return the new state and the position of the next word, -1 if none."""
    slot = state & np.uint64(4095)
    state = np.uint64(frequency) * (state >> np.uint64(12)) + slot - np.uint64(start)
    if state < np.uint64(1 << 16):
        if at >= len(words):
            return state, -1
        state = state << np.uint64(16) | np.uint64(words[at])
        at += 1
    return state, at


@njit(nogil=True)
def _decode(state, words, weights, per_group, of_sets, of_levels, values, codes, places):
    """Decode all groups; return whether the bits end with them. A table is slots, frequencies and starts."""
    set_of, sets, set_starts = of_sets
    level_of, levels, level_starts = of_levels
    groups, at, state = -(-weights // per_group), 0, np.uint64(state)
    for group in range(len(places)):
        row, number = group // groups, group % groups
        place = np.int64(set_of[state & np.uint64(4095)])
        state, at = _pop(state, sets[place], set_starts[place], words, at)
        if at < 0:
            return False
        places[group] = place
        first = row * weights + number * per_group
        for i in range(first, min(first + per_group, (row + 1) * weights)):
            index = np.int64(level_of[place, state & np.uint64(4095)])
            value = values[place, index]
            state, at = _pop(state, levels[place, index], level_starts[place, index], words, at)
            if at < 0 or value < 0:
                return False
            if index > 0:
                if state & np.uint64(4095) >= np.uint64(2048):
                    value = -value
                state, at = _pop(state, 2048, 2048 * (value < 0), words, at)
                if at < 0:
                    return False
            codes[i] = value
    return at == len(words) and state == np.uint64(1 << 16)
