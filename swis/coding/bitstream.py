"""The bit stream of a layer: shift sets, masks and signs, as hardware would read them.

Bits fill bytes from the least significant bit on, and the lowest bit of every field comes first. A layer is
the sequence of its groups, filter by filter.

Plain coding: a group starts with its set of levels. For SWIS these are N ascending exponents of p = ceil(log2
B) bits each, for SWIS-C the lowest exponent, for other formats the index of the set. Then every one of M
weights has a sign (1 is negative) and a mask, the index of its level in the set. For sums of powers of two
the mask has N bits, lowest exponent first. All groups have the same length: M (1 + N) + N p bits for SWIS,
M (1 + N) + p for SWIS-C. The last group of a filter is padded with zeros, unless ``WeightFormat.padded`` is
false. A group with signed digits is the index of its set among the candidate sets, and the digits of
``swis.coding.digits`` instead of signs and masks.

Compact coding: the first bit of a layer says whether masks are Huffman coded. If so, 4 bits per mask follow,
which are the lengths of a canonical code; otherwise all masks have the length that the levels of a set need.
Then every group has the rank of its set among the candidate sets and, for each weight without padding, its
mask and, unless its level is zero, its sign. Groups have different lengths, so they must be decoded in order.

Codebook coding: a bit for every candidate set, which says whether it occurs in the layer, up to a whole byte.
Then the layer in plain coding, with the index of a group's set among the sets that occur.

Entropy coding: see ``swis.coding.entropy``.

In formats without shift sets (truncate, round, uniform, int8) a group is one weight without a set; the mask
is its magnitude without the bits that are always zero.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

import numpy as np

from swis.coding import digits, entropy
from swis.errors import InputError
from swis.formats.weight_format import CODINGS, WeightFormat
from swis.options.names import require_known
from swis.options.ranges import at_least
from swis.runtime.compiled import njit

_LONGEST = 15  # the largest length of a Huffman code, which must fit 4 bits


@dataclass(frozen=True)
class Layout:
    """What a decoder must know besides the bits of a layer: its format, its shape and the coding.

    ``kept``: the indices of the candidate sets that a group may have; None for all of them.
    """

    fmt: WeightFormat
    filters: int
    weights: int
    coding: str
    kept: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self.fmt.check()
        require_known("coding", self.coding, CODINGS)
        at_least(0, filters=self.filters, weights=self.weights)

    @property
    def places(self) -> list[int]:
        """The indices of the candidate sets that a group may have."""
        return list(range(len(self.fmt.set_ids())) if self.kept is None else self.kept)

    @property
    def in_digits(self) -> bool:
        """Whether groups are stored as signed digits."""
        return self.coding in ("plain", "codebook") and self.fmt.digit_exponents() is not None

    def set_codes(self) -> tuple[list[int], int]:
        """Return the codes of the sets at ``places``, and the number of bits of these codes."""
        if self.kept is not None:
            return list(range(len(self.kept))), (len(self.kept) - 1).bit_length()
        if self.coding == "plain" and self.fmt.grouped:
            return self.fmt.set_codes()
        return self.fmt.set_ranks()


def pack(codes: np.ndarray, fields: np.ndarray | None, layout: Layout) -> tuple[np.ndarray, dict[str, int]]:
    """Pack a layer; return its payload, uint8 [bytes], and the number of bits of its parts.

    ``codes`` [filters, weights] and ``fields`` uint8 [filters, groups], the shift sets, are results of
    ``decompose``; ``fields`` is None for formats without shift sets. The parts are sign, mask, shift and
    metadata (the lengths of the Huffman code, and the rest of the last byte); their sum is 8 bits per byte.
    Raises ``ValueError`` for codes of another shape, and for codes that are not levels of their sets.

    >>> from swis.formats.swis import Swis
    >>> layout = Layout(Swis(shifts=1, group_size=2), filters=1, weights=2, coding="plain")
    >>> codes, fields = np.array([[4, -4]], np.int8), np.array([[4]], np.uint8)
    >>> payload, bits = pack(codes, fields, layout)
    >>> bits, unpack(payload, layout)[0].tolist()
    ({'sign': 2, 'mask': 2, 'shift': 3, 'metadata': 1}, [[4, -4]])
    """
    fmt, masks = layout.fmt, layout.fmt.mask_bits
    groups = -(-layout.weights // fmt.weights_per_group)
    if codes.shape != (layout.filters, layout.weights) or (
        fields is not None and fields.shape != (layout.filters, groups)
    ):
        raise ValueError(f"the codes or shift sets do not have the shapes of {layout}")
    if codes.size and max(-int(codes.min()), int(codes.max())) >= 1 << fmt.code_bits:
        raise ValueError(f"codes do not fit {fmt.code_bits} magnitude bits")
    sets = list(fmt.set_ids())
    if fields is None:
        fields = np.full((layout.filters, groups), sets[0], np.uint8)
    if not np.isin(fields, sets).all():
        raise ValueError("a shift set is not one of the candidate sets")
    if layout.coding == "entropy":
        return entropy.pack_layer(codes, fmt.places_of(fields), fmt)
    if layout.coding == "codebook" and layout.kept is None:
        occurring = np.isin(sets, fields)
        header = np.packbits(occurring, bitorder="little")
        body, bits = pack(codes, fields, replace(layout, kept=tuple(np.flatnonzero(occurring).tolist())))
        return np.concatenate([header, body]), bits | {"metadata": bits["metadata"] + 8 * len(header)}
    if layout.in_digits:
        return digits.pack_layer(codes, fmt.places_of(fields), fmt, np.array(layout.places))
    compact = layout.coding == "compact"
    set_codes, set_bits = layout.set_codes()
    code_of_field = np.zeros(256, np.uint32)
    code_of_field[[sets[place] for place in layout.places]] = set_codes
    mask_of = _mask_table(fmt)
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
        *(code_of_field, set_bits, words, used, compact, fmt.padded, out, header),
    )
    if end < 0:
        raise ValueError("a code is not a level of its set")
    payload = out.view(np.uint8)[: -(-end // 8)].copy()
    bits = {"sign": int(signs), "mask": int(mask_total), "shift": fields.size * set_bits}
    return payload, bits | {"metadata": 8 * len(payload) - sum(bits.values())}


def unpack(payload: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes (int8, or int16 for 8 magnitude bits) and shift sets of a payload from ``pack``.

    Raises ``InputError`` if the payload does not end with the layer, or has impossible bits.
    """
    fmt, masks = layout.fmt, layout.fmt.mask_bits
    compact = layout.coding == "compact"
    ids = np.array(fmt.set_ids(), np.uint8)
    if layout.coding == "entropy":
        codes, places = entropy.unpack_layer(payload, fmt, layout.filters, layout.weights)
        return codes, ids[places]
    if layout.filters * layout.weights > 8 * len(payload):  # checked before memory is allocated
        raise InputError(f"a packed layer has only {len(payload)} bytes, too few for its shape")
    if layout.coding == "codebook" and layout.kept is None:
        size = -(-len(ids) // 8)
        occurring = np.flatnonzero(np.unpackbits(payload[:size], bitorder="little"))
        if not len(occurring) or occurring[-1] >= len(ids):
            raise InputError("a packed layer is damaged: its codebook has impossible sets")
        return unpack(payload[size:], replace(layout, kept=tuple(occurring.tolist())))
    if layout.in_digits:
        kept = np.array(layout.places)
        codes, places = digits.unpack_layer(payload, fmt, layout.filters, layout.weights, kept)
        return codes, ids[places]
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
        *(np.array(set_codes, np.uint32)[order], ids[layout.places][order], set_bits),
        *(*_decoder(lengths, masks), masks, compact, fmt.padded),
        *(_level_table(fmt), codes.reshape(-1), fields.reshape(-1)),
    )
    if end < 0 or -(-end // 8) != len(payload) or int(payload[-1:].sum()) >> (end - 1) % 8 + 1:
        raise InputError("a packed layer is damaged: its bits do not end with its weights")
    return codes, fields


def _mask_table(fmt: WeightFormat) -> np.ndarray:
    """Return a table [sets, magnitudes] of masks; -1 for a magnitude that is not a level of the set."""
    table = np.full((256, 1 << fmt.code_bits), -1, np.int16)
    for name, levels in zip(fmt.set_ids(), fmt.level_sets(), strict=True):
        table[name, list(levels)] = range(len(levels))
    return table


def _level_table(fmt: WeightFormat) -> np.ndarray:
    """Return a table [sets, masks] of magnitudes; -1 for a mask without a level."""
    table = np.full((256, 1 << fmt.mask_bits), -1, np.int16)
    for name, levels in zip(fmt.set_ids(), fmt.level_sets(), strict=True):
        table[name, : len(levels)] = levels
    return table


def _huffman_lengths(counts: np.ndarray, masks: int) -> np.ndarray:
    """Return the length of the Huffman code of every mask; zeros if plain masks take no more bits."""
    floor = 0
    while True:
        # raising small counts shortens the longest codes until they fit
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
    """Return the code of every mask, lowest bit first, and its length; plain masks if all lengths are 0."""
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
    """Return, by the next bits, their first mask and its length (0: no mask), and the number of bits."""
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
            if mask >= 0:  # others are refused by _pack
                counts[mask] += 1


@njit(nogil=True)
def _put(out, at, value, width):
    """Write up to 32 bits at bit ``at`` of zeroed words; return the position after them."""
    word, shift = at >> 5, np.uint64(at & 31)
    both = np.uint64(value) << shift
    out[word] |= np.uint32(both & np.uint64(0xFFFFFFFF))
    out[word + 1] |= np.uint32(both >> np.uint64(32))
    return at + width


@njit(nogil=True)
def _pack(
    codes, weights, per_group, fields, mask_of, code_of_field, set_bits, words, used, compact, padded, out, at
):
    signs = masks = 0
    groups = -(-weights // per_group)
    for group in range(len(fields)):
        row, number = group // groups, group % groups
        field = fields[group]
        at = _put(out, at, code_of_field[field], set_bits)
        start, size = row * weights + number * per_group, min(per_group, weights - number * per_group)
        for i in range(per_group):
            if i >= size:
                if padded and not compact:
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
    padded,
    levels,
    codes,
    fields,
):
    """Decode all groups; return the position after the last bit, or -1 for impossible bits."""
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
        for i in range(per_group if padded and not compact else size):
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
