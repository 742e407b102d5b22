"""Packed bits are compared with an encoder of strings; also round trips, and damaged payloads."""

from math import ceil, comb, log2

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.coding.bitstream import CODINGS, Layout, _huffman_lengths, pack, unpack
from swis.encoding.cost import layer_cost
from swis.encoding.decompose import decompose
from swis.errors import InputError
from swis.formats.registry import weight_format

METHODS = ("swis", "swis_c", "truncate", "round")


@st.composite
def layers(draw):
    bits = draw(st.integers(4, 8))
    method = draw(st.sampled_from([*METHODS, "int8"]))
    layout = Layout(
        weight_format(method, draw(st.integers(1, bits)), draw(st.integers(1, 6)), magnitude_bits=bits),
        draw(st.integers(1, 4)),
        draw(st.integers(1, 20)),
        draw(st.sampled_from(CODINGS)),
    )
    spread = draw(st.sampled_from([0, 1, 2 ** (bits - 2), 2**bits]))
    return layout, *encoded(layout, draw(st.integers(0, 99)), spread)


def encoded(layout: Layout, seed: int, spread: float) -> tuple[np.ndarray, np.ndarray | None]:
    top = 2**layout.fmt.magnitude_bits - 1
    noise = torch.randn(layout.filters, layout.weights, generator=torch.Generator().manual_seed(seed))
    codes = (noise * spread).round().clamp(-top, top).to(torch.int16)
    if not layout.fmt.on_codes:
        return codes.numpy(), None
    found = decompose(codes, layout.fmt)
    return found.codes.numpy(), found.shift_sets.numpy() if layout.fmt.grouped else None


def number(value: int, width: int) -> str:
    """Return the bits of a field in the order in which they are written: the lowest first."""
    return f"{value:0{width}b}"[::-1] if width else ""


def plain_bits(layout: Layout, codes: np.ndarray, fields: np.ndarray | None) -> str:
    """Return the plain coding of a layer, written after its description, as a string of 0 and 1."""
    position, size = ceil(log2(layout.fmt.magnitude_bits)), layout.fmt.weights_per_group
    text = ""
    for row, filter_codes in enumerate(codes.tolist()):
        for start in range(0, layout.weights, size):
            group = (filter_codes[start : start + size] + [0] * size)[:size]
            if fields is None:
                chosen = layout.fmt.shift_sets()[0]
            else:
                chosen = [s for s in range(8) if fields[row, start // size] >> s & 1]
                text += "".join(
                    number(s, position) for s in chosen[: None if layout.fmt.name == "swis" else 1]
                )
            for code in group:
                text += "1" if code < 0 else "0"
                text += "".join("1" if abs(code) >> s & 1 else "0" for s in chosen)
    return text


@settings(max_examples=300, deadline=None)
@given(layers())
def test_unpack_returns_the_packed_codes(layer):
    layout, codes, fields = layer
    payload, bits = pack(codes, fields, layout)
    assert sum(bits.values()) == 8 * len(payload)
    back, back_fields = unpack(payload, layout)
    assert np.array_equal(back, codes)
    if fields is not None:
        assert np.array_equal(back_fields, fields)


@settings(max_examples=200, deadline=None)
@given(layers())
def test_plain_bits_follow_the_description(layer):
    layout, codes, fields = layer
    layout = Layout(**{**vars(layout), "coding": "plain"})
    expected = plain_bits(layout, codes, fields)
    payload, bits = pack(codes, fields, layout)
    found = "".join(number(byte, 8) for byte in payload.tolist())
    assert found == expected + "0" * (len(found) - len(expected))
    assert len(found) - len(expected) == bits["metadata"] < 8


@pytest.mark.parametrize("method", [*METHODS, "int8"])
@pytest.mark.parametrize(("shifts", "group_size"), [(1, 16), (2, 4), (4, 5)])
def test_plain_codings_have_the_bits_of_the_formula(method, shifts, group_size):
    layout = Layout(weight_format(method, shifts, group_size), 5, 37, "plain")
    _, bits = pack(*encoded(layout, 0, 32), layout)
    formula = layer_cost(weight_format(method, shifts, group_size), 5, 37, 0).stored_bits
    assert bits["sign"] + bits["mask"] + bits["shift"] == formula


def test_the_compact_coding_saves_bits_of_every_part():
    layout = Layout(weight_format("swis", 3, 4), 64, 512, "compact")
    codes, fields = encoded(layout, 0, 32)
    payload, bits = pack(codes, fields, layout)
    assert bits["shift"] == 64 * 128 * 6  # 6 bits for 35 sets, not three times three bits
    assert comb(7, 3) == len(weight_format("swis", 3).shift_sets()) == 35
    assert bits["sign"] == np.count_nonzero(codes)
    assert bits["mask"] <= 3 * codes.size
    assert len(payload) < len(pack(codes, fields, Layout(weight_format("swis", 3, 4), 64, 512, "plain"))[0])


def test_masks_are_huffman_coded_if_it_saves_bits():
    counts = np.array([900, 50, 30, 20])
    assert _huffman_lengths(counts, 2).tolist() == [1, 2, 3, 3]
    assert _huffman_lengths(np.array([1, 1, 1, 1]), 2).tolist() == [0, 0, 0, 0]  # two bits each are enough


def test_huffman_lengths_fit_four_bits():
    fibonacci = [1, 1]
    while len(fibonacci) < 32:
        fibonacci.append(sum(fibonacci[-2:]))  # these counts give the deepest trees
    lengths = _huffman_lengths(np.array(fibonacci), 5)
    assert 5 < lengths.max() <= 15
    assert sum(2.0**-length for length in lengths) == 1


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("damage", [lambda p: p[:-9], lambda p: np.append(p, p[:9]), lambda p: p[:1]])
def test_a_payload_of_another_length_is_refused(coding, damage):
    layout = Layout(weight_format("swis", 3, 4), 8, 64, coding)
    payload, _ = pack(*encoded(layout, 0, 32), layout)
    with pytest.raises(InputError, match="packed layer"):
        unpack(damage(payload), layout)


def test_unused_bits_of_the_last_byte_must_be_zero():
    layout = Layout(weight_format("swis", 2, 3), 1, 3, "plain")  # 15 bits
    payload, _ = pack(*encoded(layout, 0, 32), layout)
    payload[-1] |= 0x80
    with pytest.raises(InputError, match="is damaged"):
        unpack(payload, layout)


def test_a_layer_larger_than_its_payload_is_refused_before_memory_is_allocated():
    with pytest.raises(InputError, match="too few for its shape"):
        unpack(
            np.zeros(3, np.uint8),
            Layout(weight_format("swis", 2, 4), 10**9, 10**9, "plain"),
        )


@pytest.mark.parametrize(
    ("codes", "fields", "message"),
    [
        ([[5, 7, -127, 1]], [[3]], "not a level of its set"),
        ([[1, 2, 3, 0]], [[7]], "not one of the candidate sets"),
        ([[1, 2, 300, 0]], [[3]], "do not fit 7"),
        ([[1, 2, 3]], [[3]], "do not have the shapes"),
        ([[1, 2, 3, 0]], [[3, 3]], "do not have the shapes"),
    ],
)
def test_codes_that_the_layout_cannot_hold_are_refused(codes, fields, message):
    with pytest.raises(ValueError, match=message):
        pack(
            np.array(codes),
            np.array(fields, np.uint8),
            Layout(weight_format("swis", 2, 4), 1, 4, "plain"),
        )


@settings(max_examples=100, deadline=None)
@given(layers())
def test_compact_is_at_most_a_bit_longer_than_plain(layer):
    layout, codes, fields = layer
    plain, compact = (
        sum(pack(codes, fields, Layout(**{**vars(layout), "coding": coding}))[1].values())
        for coding in ("plain", "compact")
    )
    assert compact <= plain + 8  # the one bit can start a new byte


def test_a_shift_set_with_equal_shifts_is_refused():
    layout = Layout(weight_format("swis", 2, 4), 1, 4, "plain")
    with pytest.raises(InputError, match="is damaged"):
        unpack(np.zeros(3, np.uint8), layout)  # the shifts 0 and 0
