"""Shift sets, masks and signs as bits: what the hardware would read, and how many bits that is.

Bits fill bytes from the least significant one on; every field's lowest bit comes first. A layer is the
sequence of its groups, filter by filter:

* plain: the set of levels, as the format writes it (SWIS: N exponents, ascending, of p = ceil(log2 B) bits
  each; SWIS-C: the lowest one), then for each of M weights its sign (1 is negative) and its mask, the place
  of its level in the set (for sums of powers of two: N bits, lowest exponent first). Every group has the same
  length (SWIS: M (1 + N) + N p bits; SWIS-C: M (1 + N) + p); a filter's last one is padded with zeros.
* compact: first a bit that says whether masks are Huffman coded and, if they are, 4 bits for each mask, the
  lengths of a canonical code (otherwise masks are written as in plain coding); then every group: its set's
  rank among the candidate sets, and for each weight, padding left out, its mask and, unless its level is
  zero, its sign. Groups differ in length, so they are decoded in order.

Where groups do not choose a set (truncate, round, uniform, 8 bits) they are groups of one weight without a
set; the mask is the magnitude, bits that are always zero left out.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from swis.errors import InputError
from swis.formats.weight_format import WeightFormat
from swis.options.names import require_known
from swis.options.ranges import at_least
from swis.runtime.compiled import njit

CODINGS = ("plain", "compact")

_LONGEST = 15  # bits of a Huffman code, so that its length fits four


@dataclass(frozen=True)
class Layout:
    """What a decoder knows of a layer beside its bits: the format, [filters, weights], and the coding."""

    fmt: WeightFormat
    filters: int
    weights: int
    coding: str

    def __post_init__(self) -> None:
        self.fmt.check()
        require_known("coding", self.coding, CODINGS)
        at_least(0, filters=self.filters, weights=self.weights)

    def set_codes(self) -> tuple[list[int], int]:
        """Return every candidate set's bits, and how many they are."""
        if self.coding == "plain" and self.fmt.grouped:
            return self.fmt.set_codes()
        return self.fmt.set_ranks()


def pack(codes: np.ndarray, fields: np.ndarray | None, layout: Layout) -> tuple[np.ndarray, dict[str, int]]:
    """Pack a layer; return its payload, uint8 [bytes], and the bits of its parts.

    ``codes`` [filters, weights] are what ``decompose`` gave, ``fields`` uint8 [filters, groups] its shift
    sets (None for codes without). The parts are sign, mask, shift and metadata (the lengths of
    the Huffman code, and what fills the last byte); together they are 8 bits for each byte. Raises
    ``ValueError`` for codes of another shape, or that are no levels of their sets.
    """
    fmt, masks = layout.fmt, layout.fmt.mask_bits
    groups = -(-layout.weights // fmt.weights_per_group)
    if codes.shape != (layout.filters, layout.weights) or (
        fields is not None and fields.shape != (layout.filters, groups)
    ):
        raise ValueError(f"codes or shift sets have other shapes than {layout} says")
    if codes.size and max(-int(codes.min()), int(codes.max())) >= 1 << fmt.code_bits:
        raise ValueError(f"codes do not fit {fmt.code_bits} magnitude bits")
    sets = list(fmt.set_ids())
    if fields is None:
        fields = np.full((layout.filters, groups), sets[0], np.uint8)
    if not np.isin(fields, sets).all():
        raise ValueError("a shift set is none of the candidates")
    compact = layout.coding == "compact"
    mask_of = _mask_table(fmt)
    set_codes, set_bits = layout.set_codes()
    code_of_field = np.zeros(256, np.uint32)
    code_of_field[sets] = set_codes
    lengths = np.zeros(1 << masks, np.int64)
    if compact:
        counts = np.zeros(1 << masks, np.int64)
        flat = codes.reshape(-1), layout.weights, fmt.weights_per_group, fields.reshape(-1)
        _count(*flat, mask_of, counts)
        lengths = _huffman_lengths(counts, masks)
    words, used = _huffman_codes(lengths, masks)
    coded = bool(lengths.any())
    header = int(compact) + 4 * len(lengths) * coded
    largest = header + fields.size * (set_bits + fmt.weights_per_group * (1 + int(used.max())))
    out = np.zeros(largest // 32 + 2, np.uint32)
    if coded:
        at = _put(out, 0, 1, 1)
        for length in lengths:
            at = _put(out, at, length, 4)
    end, signs, mask_total = _pack(
        *(codes.reshape(-1), layout.weights, fmt.weights_per_group, fields.reshape(-1), mask_of),
        *(code_of_field, set_bits, words, used, compact, out, header),
    )
    if end < 0:
        raise ValueError("a code is none of the levels of its set")
    payload = out.view(np.uint8)[: -(-end // 8)].copy()
    bits = {"sign": int(signs), "mask": int(mask_total), "shift": fields.size * set_bits}
    return payload, bits | {"metadata": 8 * len(payload) - sum(bits.values())}


def unpack(payload: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Undo ``pack``: return codes (int8, int16 for 8 magnitude bits) and fields as it was given them.

    Raises ``InputError`` if the payload does not end where the layer does or holds what no layer can.
    """
    fmt, masks = layout.fmt, layout.fmt.mask_bits
    compact = layout.coding == "compact"
    if layout.filters * layout.weights > 8 * len(payload):  # before memory is taken for them
        raise InputError(f"a packed layer has {len(payload)} bytes, too few for what it declares")
    words = np.zeros(len(payload) // 4 + 4, np.uint32)
    words.view(np.uint8)[: len(payload)] = payload
    lengths = np.zeros(1 << masks, np.int64)
    header = int(compact)
    if compact and words[0] & 1:
        header += 4 * len(lengths)
        if 8 * len(payload) < header:
            raise InputError("a packed layer is shorter than its own header")
        lengths = np.array([_peek(words, 1 + 4 * mask, 4) for mask in range(len(lengths))])
    set_codes, set_bits = layout.set_codes()
    order = np.argsort(set_codes)
    groups = -(-layout.weights // fmt.weights_per_group)
    codes = np.empty((layout.filters, layout.weights), np.int8 if fmt.code_bits <= 7 else np.int16)
    fields = np.empty((layout.filters, groups), np.uint8)
    end = _unpack(
        *(words, 8 * len(payload), header, layout.weights, fmt.weights_per_group),
        *(np.array(set_codes, np.uint32)[order], np.array(fmt.set_ids(), np.uint8)[order], set_bits),
        *(*_decoder(lengths, masks), masks, compact),
        *(_level_table(fmt), codes.reshape(-1), fields.reshape(-1)),
    )
    if end < 0 or -(-end // 8) != len(payload) or int(payload[-1:].sum()) >> (end - 1) % 8 + 1:
        raise InputError("a packed layer is not whole: its bits do not end where its weights do")
    return codes, fields


def _mask_table(fmt: WeightFormat) -> np.ndarray:
    """Tabulate the mask of a magnitude in a set, by the set's name; -1 where it is none of its levels."""
    table = np.full((256, 1 << fmt.code_bits), -1, np.int16)
    for name, levels in zip(fmt.set_ids(), fmt.level_sets(), strict=True):
        table[name, list(levels)] = range(len(levels))
    return table


def _level_table(fmt: WeightFormat) -> np.ndarray:
    """Tabulate the magnitude of a mask in a set, by the set's name; -1 for masks that stand for none."""
    table = np.full((256, 1 << fmt.mask_bits), -1, np.int16)
    for name, levels in zip(fmt.set_ids(), fmt.level_sets(), strict=True):
        table[name, : len(levels)] = levels
    return table


def _huffman_lengths(counts: np.ndarray, masks: int) -> np.ndarray:
    """Return the length of every mask's Huffman code, or zeros if N bits each are no more."""
    floor = 0
    while True:
        # a floor under the counts shortens the longest codes until they fit
        weights = [max(int(count), floor) for count in counts]
        heap = [(weight, mask, [mask]) for mask, weight in enumerate(weights) if weight > 0]
        lengths = np.zeros(len(counts), np.int64)
        heapq.heapify(heap)
        if len(heap) == 1:
            lengths[heap[0][2]] = 1
        while len(heap) > 1:
            (a, tie, left), (b, _, right) = heapq.heappop(heap), heapq.heappop(heap)
            lengths[left + right] += 1
            heapq.heappush(heap, (a + b, tie, left + right))
        if lengths.max(initial=0) <= _LONGEST:
            break
        floor = max(1, 2 * floor)
    header = 4 * len(counts)
    pays = int((counts * lengths).sum()) + header < masks * int(counts.sum())
    return lengths if pays else np.zeros_like(lengths)


def _huffman_codes(lengths: np.ndarray, masks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the code of every mask, lowest bit first, and its length; N plain bits for lengths of 0."""
    if not lengths.any():
        return np.arange(1 << masks, dtype=np.uint32), np.full(1 << masks, masks)
    codes = np.zeros(len(lengths), np.uint32)
    code = previous = 0
    for mask in np.lexsort((np.arange(len(lengths)), lengths)):
        length = int(lengths[mask])
        if length == 0:
            continue
        code <<= length - previous
        codes[mask] = int(f"{code:0{length}b}"[::-1], 2)
        code, previous = code + 1, length
    return codes, lengths


def _decoder(lengths: np.ndarray, masks: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Tabulate, for the next bits, which mask they begin with and its length (0: none), and their number."""
    codes, used = _huffman_codes(lengths, masks)
    longest = int(used.max())
    symbols, sizes = np.zeros(1 << longest, np.uint8), np.zeros(1 << longest, np.uint8)
    for mask in np.flatnonzero(used):
        symbols[codes[mask] :: 1 << used[mask]] = mask
        sizes[codes[mask] :: 1 << used[mask]] = used[mask]
    return symbols, sizes, longest


@njit(nogil=True)
def _count(codes, weights, per_group, fields, mask_of, counts):
    groups = -(-weights // per_group)
    for row in range(len(codes) // weights):
        for k in range(weights):
            mask = mask_of[fields[row * groups + k // per_group], abs(np.int64(codes[row * weights + k]))]
            if mask >= 0:  # others are refused where they are packed
                counts[mask] += 1


@njit(nogil=True)
def _put(out, at, value, width):
    """Write up to 32 bits at bit ``at`` of zeroed words; return where the next ones go."""
    word, shift = at >> 5, np.uint64(at & 31)
    both = np.uint64(value) << shift
    out[word] |= np.uint32(both & np.uint64(0xFFFFFFFF))
    out[word + 1] |= np.uint32(both >> np.uint64(32))
    return at + width


@njit(nogil=True)
def _pack(codes, weights, per_group, fields, mask_of, code_of_field, set_bits, words, used, compact, out, at):
    signs = masks = 0
    groups = -(-weights // per_group)
    for group in range(len(fields)):
        row, number = group // groups, group % groups
        field = fields[group]
        at = _put(out, at, code_of_field[field], set_bits)
        start, size = row * weights + number * per_group, min(per_group, weights - number * per_group)
        for i in range(per_group):
            if i >= size:
                if not compact:
                    signs, masks, at = signs + 1, masks + used[0], at + 1 + used[0]
                continue
            code = np.int64(codes[start + i])
            mask = mask_of[field, abs(code)]
            if mask < 0:
                return -1, 0, 0
            negative = np.uint64(code < 0)
            if not compact:
                at = _put(out, at, negative | np.uint64(mask) << np.uint64(1), 1 + used[mask])
                signs, masks = signs + 1, masks + used[mask]
            else:
                at = _put(out, at, words[mask], used[mask])
                masks += used[mask]
                if mask:
                    at = _put(out, at, negative, 1)
                    signs += 1
    return at, signs, masks


@njit(nogil=True)
def _peek(words, at, width):
    word = at >> 5
    both = np.uint64(words[word]) | np.uint64(words[word + 1]) << np.uint64(32)
    return np.int64((both >> np.uint64(at & 31)) & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)))


@njit(nogil=True)
def _unpack(
    words,
    total,
    at,
    weights,
    per_group,
    set_codes,
    set_fields,
    set_bits,
    symbols,
    sizes,
    longest,
    masks,
    compact,
    levels,
    codes,
    fields,
):
    """Decode all groups; return where the bits end, or -1 if they are not those of a layer."""
    groups = -(-weights // per_group)
    for group in range(len(fields)):
        row, number = group // groups, group % groups
        code = _peek(words, at, set_bits)
        at += set_bits
        known = np.searchsorted(set_codes, np.uint32(code))
        if known == len(set_codes) or set_codes[known] != code:
            return -1
        field = set_fields[known]
        fields[group] = field
        start, size = row * weights + number * per_group, min(per_group, weights - number * per_group)
        for i in range(per_group if not compact else size):
            window = _peek(words, at, 32)
            if compact:
                known_bits = window & ((1 << longest) - 1)
                mask, length = np.int64(symbols[known_bits]), np.int64(sizes[known_bits])
                if length == 0:
                    return -1
                negative = mask != 0 and (window >> length) & 1 == 1
                at += length + (mask != 0)
            else:
                negative = window & 1 == 1
                mask = (window >> 1) & ((1 << masks) - 1)
                at += 1 + masks
            if i < size:
                magnitude = levels[field, mask]
                if magnitude < 0:
                    return -1
                codes[start + i] = -magnitude if negative else magnitude
            if at > total:
                return -1
    return at
