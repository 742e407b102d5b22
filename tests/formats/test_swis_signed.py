"""Signed digits against every choice there is, and their packed bits against an encoder of strings."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import swis
from swis.coding.bitstream import CODINGS, Layout, pack, unpack
from swis.encoding.decompose import decompose
from swis.errors import InputError
from swis.formats.swis import Swis
from swis.formats.swis_signed import SwisSigned


@st.composite
def cases(draw):
    bits = draw(st.integers(4, 8))
    fmt = SwisSigned(
        shifts=draw(st.integers(1, 3)),
        group_size=draw(st.integers(1, 5)),
        alpha=draw(st.sampled_from([0.0, 0.3, 1.0, 2.5])),
        magnitude_bits=bits,
    )
    top, weights = 2**bits - 1, draw(st.integers(1, 9))
    row = st.lists(st.integers(-top, top), min_size=weights, max_size=weights)
    return fmt, torch.tensor(draw(st.lists(row, min_size=1, max_size=3)))


def choices(fmt):
    """Every set of exponents and the signed values of its digits, spelled out."""
    exponents = range(fmt.magnitude_bits + 1) if fmt.shifts > 1 else range(fmt.magnitude_bits)
    for chosen in combinations(exponents, fmt.shifts):
        sums = {value_of(each, chosen) for each in product((-1, 0, 1), repeat=len(chosen))}
        yield chosen, sorted((v for v in sums if abs(v) < 2**fmt.magnitude_bits), key=abs)


def value_of(digits, exponents):
    return sum(d * 2**s for d, s in zip(digits, exponents, strict=True))


def cost_of(taken, group, alpha):
    errors = [a - b for a, b in zip(taken, group, strict=True)]
    return sum(e * e for e in errors) + alpha * sum(errors) ** 2


def least_cost(group, fmt):
    found = []
    for _, values in choices(fmt):
        errors = [
            min((v for v in values if v * code >= 0), key=lambda v: abs(v - code)) - code for code in group
        ]
        found.append(sum(e * e for e in errors) + fmt.alpha * sum(errors) ** 2)
    return min(found)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_no_set_is_better_than_the_chosen_one(case):
    fmt, codes = case
    found = decompose(codes, fmt)
    size = fmt.group_size
    sets = [values for _, values in choices(fmt)]
    for row, (filter_codes, new) in enumerate(zip(codes.tolist(), found.codes.tolist(), strict=True)):
        for start in range(0, len(filter_codes), size):
            group, taken = filter_codes[start : start + size], new[start : start + size]
            assert cost_of(taken, group, fmt.alpha) == pytest.approx(least_cost(group, fmt))
            assert set(taken) <= set(sets[found.shift_sets[row, start // size]])
    again = decompose(found.codes, fmt)
    assert torch.equal(again.codes, found.codes)


def test_shifts_beyond_the_magnitude_bits_are_refused():
    with pytest.raises(InputError, match="shifts"):
        SwisSigned(shifts=5, magnitude_bits=4)


@pytest.mark.parametrize("groups", [0, 8, 40])
def test_layers_larger_than_what_is_packed_at_once_come_back(monkeypatch, groups):
    monkeypatch.setattr("swis.coding.digits._AT_ONCE", 16)
    fmt, generator = SwisSigned(shifts=2, group_size=3), torch.Generator().manual_seed(0)
    codes = torch.randint(-127, 128, (max(groups // 4, 1), 12 if groups else 2), generator=generator)
    found = decompose(codes.to(torch.int8), fmt)
    layout = Layout(fmt, *codes.shape, "plain")
    payload, bits = pack(found.codes.numpy(), found.shift_sets.numpy(), layout)
    assert sum(bits.values()) == 8 * len(payload)
    new, sets = unpack(payload, layout)
    assert np.array_equal(new, found.codes.numpy()) and np.array_equal(sets, found.shift_sets.numpy())


def described_bits(codes, places, fmt):
    """The plain coding as its description says, as a string of 0 and 1."""
    sets, text = [chosen for chosen, _ in choices(fmt)], ""
    width = (len(sets) - 1).bit_length()
    for row, filter_codes in enumerate(codes.tolist()):
        for start in range(0, len(filter_codes), fmt.group_size):
            group = (filter_codes[start : start + fmt.group_size] + [0] * fmt.group_size)[: fmt.group_size]
            place = int(places[row, start // fmt.group_size])
            text += f"{place:0{width}b}"[::-1] if width else ""
            digits = []
            for code in group:
                every = product((0, 1, -1), repeat=fmt.shifts)
                fits = [d for d in every if value_of(d, sets[place]) == code]
                digits += min(fits, key=lambda d: sum(map(abs, d)))
            for at in range(0, len(digits), 3):
                some = digits[at : at + 3]
                value = sum((d + 1) * 3**i for i, d in enumerate(some))
                text += f"{value:0{(0, 2, 4, 5)[len(some)]}b}"[::-1]
    return text


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from(CODINGS))
def test_packed_bits_are_the_described_ones_and_come_back(case, coding):
    fmt, codes = case
    found = decompose(codes, fmt)
    layout = Layout(fmt, *codes.shape, coding)
    payload, bits = pack(found.codes.numpy(), found.shift_sets.numpy(), layout)
    assert sum(bits.values()) == 8 * len(payload)
    new, places = unpack(payload, layout)
    assert np.array_equal(new, found.codes.numpy())
    assert np.array_equal(places, found.shift_sets.numpy())
    if coding == "plain":
        text = "".join(f"{byte:08b}"[::-1] for byte in payload.tolist())
        expected = described_bits(found.codes, found.shift_sets, fmt)
        assert len(expected) == fmt.stored_bits(*codes.shape)
        assert text == expected + "0" * bits["metadata"]


@pytest.mark.parametrize("damage", ["digits", "set", "length", "padding"])
def test_bits_that_are_no_layer_are_refused(damage):
    fmt = SwisSigned(shifts=2, group_size=3)
    codes = decompose(torch.tensor([[5, -90, 3]]), fmt)
    layout = Layout(fmt, 1, 3, "plain")
    payload, _ = pack(codes.codes.numpy(), codes.shift_sets.numpy(), layout)
    bits = np.unpackbits(payload, bitorder="little")
    if damage == "digits":
        bits[5:10] = 1  # 31 is none of 27
    elif damage == "set":
        bits[:5] = 1  # 31 is none of 28
    elif damage == "padding":
        bits[-1] = 1
    else:
        bits = np.append(bits, np.zeros(8, np.uint8))
    with pytest.raises(InputError, match="a packed layer is damaged"):
        unpack(np.packbits(bits, bitorder="little"), layout)


def test_gaussian_weights_gain_what_more_levels_bring():
    weights = torch.randn(32, 4096, generator=torch.Generator().manual_seed(0))
    codes = (weights / weights.abs().amax(1, keepdim=True) * 127).round().short()
    gains = []
    for shifts in (1, 2, 3, 4):
        errors = [
            (decompose(codes, kind(shifts=shifts)).codes - codes).double().square().sum().item()
            for kind in (Swis, SwisSigned)
        ]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert gains == pytest.approx([0, 1.4, 3.4, 5.8], abs=0.2)  # [dB]


@pytest.mark.parametrize(("calibrate", "gain"), [("none", 2), ("output_aware", 2)])
def test_a_network_of_signed_digits_is_saved_and_comes_back(tmp_path, calibrate, gain):
    torch.manual_seed(0)
    nn = torch.nn
    features = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    network, images = (
        nn.Sequential(*features, nn.Flatten(), nn.Linear(32, 10)).eval(),
        torch.randn(16, 3, 12, 12),
    )
    fits = []
    for kind in (Swis, SwisSigned):
        low = swis.quantize(network, kind(shifts=2), images, calibrate=calibrate, activation_bits=8)
        fits.append(swis.evaluate(low, [images], reference=network).logit_sqnr_db)
        swis.save(low, tmp_path / "low.safetensors")
        again = swis.load(tmp_path / "low.safetensors", network)
        assert torch.equal(again(images), low(images))
    assert fits[1] - fits[0] > gain  # [dB]


def test_a_schedule_of_signed_digits_goes_through_the_tasks(command_line, tiny, tmp_path):
    common = [*tiny, "methods=[swis_signed]", "bits=2.5", "schedule=network", "accelerator=swis_signed_ds"]
    done = command_line(*common)
    assert done.status == 0, done.err
    row = swis.load_table(tmp_path / "runs", "all").query("method == 'swis_signed'").iloc[0]
    assert 2.4 < row["shifts_per_weight"] <= 2.5 and row["latency_cycles"] > 0
    packed = tmp_path / "low.safetensors"
    assert command_line(*common, "task=pack", f"out={packed}").status == 0
    again = command_line(f"weights={packed}", "data.limit=64", f"results_dir={tmp_path / 'packed'}")
    assert again.status == 0, again.err
    stored = swis.load_table(tmp_path / "packed").query("method == 'swis_signed'").iloc[0]
    assert stored["top1"] == row["top1"]
    assert stored["weight_bits"] == pytest.approx(row["weight_bits"], rel=1e-3)  # the file has padding


def test_signed_digits_are_retrained(command_line, tiny, tmp_path):
    few = [
        "methods=[swis_signed]",
        "task=retrain",
        "retrain.epochs=1",
        "retrain.images=64",
        "retrain.batch_size=32",
    ]
    done = command_line(*tiny, *few, "accelerator=swis_signed")
    assert done.status == 0, done.err
    rows = swis.load_table(tmp_path / "runs", "all").query("method == 'swis_signed'")
    assert rows["training"].notna().any() and (rows["latency_cycles"] > 0).all()
