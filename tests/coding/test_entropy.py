"""Entropy coding: against a decoder in whole numbers, its size against Shannon's entropy, and damage."""

from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.coding.bitstream import Layout, pack, unpack
from swis.coding.entropy import Counts, Tables, count
from swis.encoding.encode import encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.formats.registry import weight_format
from swis.formats.swis import Swis
from swis.formats.uniform import Uniform

FORMATS = [("swis", 2), ("swis", 3), ("swis_c", 2), ("swis_signed", 2), ("uniform", 3), ("truncate", 2)]


def layer(method="swis", shifts=2, filters=6, weights=50, seed=0, group_size=4):
    noise = torch.randn(filters, weights, generator=torch.Generator().manual_seed(seed))
    fmt = weight_format(method, shifts, group_size, coding="entropy")
    found = encode(noise, fmt)
    sets = found.shift_sets.numpy() if fmt.grouped else None
    return Layout(fmt, filters, weights, "entropy"), found.codes.numpy(), sets


def decoded(payload, layout):
    """Decode a layer as the description of the coding says, with whole numbers of any size."""
    bits = "".join(f"{byte:08b}"[::-1] for byte in payload.tolist())
    sets, size = layout.fmt.level_sets(), layout.fmt.weights_per_group
    at = 1

    def table(symbols):
        nonlocal at
        present = [i for i in range(symbols) if bits[at + i] == "1"]
        at += symbols
        found = []
        for _ in present[1:]:
            found.append(int(bits[at : at + 12][::-1], 2) + 1)
            at += 12
        return dict(zip(present, [*found, 4096 - sum(found)], strict=True))

    most = max(map(len, sets))
    of_sets = table(len(sets)) if len(sets) > 1 else {0: 4096}
    if bits[0] == "1":
        shared = table(most)
        of_levels = dict.fromkeys(of_sets, shared)
    else:
        of_levels = {place: table(most) for place in of_sets}
    at = -(-at // 8)
    state, at = int.from_bytes(payload[at : at + 4].tobytes(), "little"), at + 4

    def symbol(frequencies):
        nonlocal state, at
        slot = state % 4096
        starts = dict(zip(frequencies, accumulate(frequencies.values(), initial=0), strict=False))
        found = max(key for key, start in starts.items() if start <= slot)
        state = frequencies[found] * (state // 4096) + slot - starts[found]
        if state < 65536:
            state = state * 65536 + int.from_bytes(payload[at : at + 2].tobytes(), "little")
            at += 2
        return found

    codes = []
    for _ in range(layout.filters):
        row = []
        while len(row) < layout.weights:
            place = symbol(of_sets)
            for _ in range(min(size, layout.weights - len(row))):
                level = sets[place][symbol(of_levels[place])]
                row.append(-level if level and symbol({0: 2048, 1: 2048}) else level)
        codes.append(row)
    assert (state, at) == (65536, len(payload))
    return codes


@pytest.mark.parametrize(("method", "shifts"), FORMATS)
def test_the_bytes_follow_the_description(method, shifts):
    layout, codes, sets = layer(method, shifts)
    payload, bits = pack(codes, sets, layout)
    assert decoded(payload, layout) == codes.tolist()
    assert sum(bits.values()) == 8 * len(payload)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(1, 5), st.integers(1, 21), st.integers(1, 6), st.integers(0, 99))
def test_unpacking_returns_codes_and_sets_of_any_shape(of, filters, weights, group_size, seed):
    layout, codes, sets = layer(*of, filters, weights, seed, group_size)
    payload, _ = pack(codes, sets, layout)
    back, back_sets = unpack(payload, layout)
    assert np.array_equal(back, codes)
    assert sets is None or np.array_equal(back_sets, sets)


@pytest.mark.parametrize(("method", "shifts"), FORMATS)
def test_the_size_is_within_a_hundredth_of_shannon_s_entropy(method, shifts):
    layout, codes, sets = layer(method, shifts, filters=200, weights=400)
    payload, bits = pack(codes, sets, layout)
    entropy = 0.0
    kinds = np.zeros_like(codes) if sets is None else np.repeat(sets, 4, 1)
    for kind in np.unique(kinds):
        _, often = np.unique(codes[kinds == kind], return_counts=True)
        entropy -= (often * np.log2(often / often.sum())).sum()
    if sets is not None:
        _, often = np.unique(sets, return_counts=True)
        entropy -= (often * np.log2(often / often.sum())).sum()
    assert 0.995 * entropy < 8 * len(payload) - bits["metadata"] < 1.01 * entropy
    assert bits["metadata"] < 0.03 * entropy


def test_a_layer_of_zeros_takes_only_its_tables_and_its_state():
    layout = Layout(Uniform(2), 30, 40, "entropy")
    codes = np.zeros((30, 40), np.int8)
    payload, _ = pack(codes, None, layout)
    assert len(payload) == 1 + 4  # which symbols occur, and the state
    assert np.array_equal(unpack(payload, layout)[0], codes)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=120).filter(any))
def test_frequencies_add_up_and_every_symbol_that_occurs_has_one(counts):
    found = Tables.of(Counts(np.array([sum(counts)]), np.array([counts]))).levels[0]
    assert found.sum() == 4096
    assert np.array_equal(found > 0, np.array(counts) > 0)


def test_small_layers_share_one_table_of_levels():
    layout, codes, sets = layer(filters=2, weights=24)
    counts = count(codes, layout.fmt.places_of(sets), layout.fmt)
    assert Tables.of(counts).shared
    big = layer(filters=200, weights=400)
    assert not Tables.of(count(big[1], big[0].fmt.places_of(big[2]), big[0].fmt)).shared


@pytest.mark.parametrize("position", range(0, 120, 7))
def test_damaged_bytes_are_refused_or_decode_to_other_levels_of_the_format(position):
    layout, codes, sets = layer()
    payload, _ = pack(codes, sets, layout)
    for bit in range(8):
        damaged = payload.copy()
        damaged[position] ^= 1 << bit
        try:
            found, places = unpack(damaged, layout)
        except InputError as error:
            assert "damaged" in str(error)
            continue
        assert not np.array_equal(found, codes) or not np.array_equal(places, sets)
        pack(found, places, layout)  # raises for codes that are no levels


@pytest.mark.parametrize("end", [0, 1, 5, 40, -2, -1])
def test_cut_off_bytes_are_refused(end):
    layout, codes, sets = layer()
    with pytest.raises(InputError, match="damaged"):
        unpack(pack(codes, sets, layout)[0][:end], layout)


def test_codes_that_are_no_levels_are_refused():
    layout, codes, sets = layer()
    with pytest.raises(ValueError, match="level"):
        pack(np.full_like(codes, 127), sets, layout)


@pytest.mark.parametrize("coding", ["compact", "entropy"])
def test_an_encoded_layer_counts_the_bits_that_its_coding_takes(coding):
    weight = torch.randn(8, 30, generator=torch.Generator().manual_seed(3))
    plain = encode(weight, Swis(shifts=2))
    assert plain.stored_bits == Swis(shifts=2).stored_bits(8, 30)
    fmt = Swis(shifts=2, coding=coding)
    found = encode(weight, fmt)
    assert torch.equal(found.codes, plain.codes)
    payload, _ = pack(found.codes.numpy(), found.shift_sets.numpy(), Layout(fmt, 8, 30, coding))
    assert found.stored_bits == 8 * len(payload)


def test_the_bits_of_a_schedule_are_those_of_its_parts_and_itself():
    weight = torch.randn(8, 30, generator=torch.Generator().manual_seed(3))
    schedule = LayerSchedule(np.array([1, 2] * 4), np.arange(8))
    found = encode(weight, Swis(shifts=2, coding="entropy"), schedule)
    expected = 8 * 3  # three bits for the shifts of each of 8 filters
    for n in (1, 2):
        mine = schedule.shifts == n
        layout = Layout(Swis(shifts=n), 4, 30, "entropy")
        expected += 8 * len(pack(found.codes.numpy()[mine], found.shift_sets.numpy()[mine], layout)[0])
    assert found.stored_bits == expected


def test_a_shape_without_end_is_refused():
    layout, codes, sets = layer()
    payload, _ = pack(codes, sets, layout)
    with pytest.raises(InputError, match="too large"):
        unpack(payload, Layout(layout.fmt, 1 << 40, 1 << 20, "entropy"))
