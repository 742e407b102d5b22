"""Every search path for levels, compared with a simple oracle and with the other paths."""

from functools import cache
from itertools import combinations, product

import numpy as np
import pytest
import torch
from decompositions import METHODS, cases, decomposed, grouped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numba import njit

from swis.encoding.decompose import Decomposition, _nearest_in_torch, decompose
from swis.encoding.search import lanes, simd
from swis.formats.powers_of_two import sums
from swis.formats.registry import weight_format
from swis.formats.weight_format import SELECTIONS


@pytest.fixture(params=["fast", "lanes", "plain", "torch"])
def path(request, monkeypatch):
    """Each search path in turn; the fast one is skipped if this processor does not support it."""
    if request.param == "fast" and not simd.AVAILABLE:
        pytest.skip("this processor lacks AVX-512 VBMI and VNNI")
    take(request.param, monkeypatch)


def take(path, monkeypatch):
    if path in ("lanes", "plain"):
        monkeypatch.setattr("swis.encoding.search.simd.AVAILABLE", False)
    if path == "plain":
        monkeypatch.setattr("swis.encoding.search.nearest.narrow", lambda *_: lanes.NOTHING)
    if path == "torch":
        monkeypatch.setattr("swis.encoding.decompose.nearest", search_in_torch)


def search_in_torch(rows, tables, set_ids, group_size, alpha, threads):
    arrays = (torch.from_numpy(array) for array in (rows, tables, set_ids))
    return tuple(result.numpy() for result in _nearest_in_torch(*arrays, group_size, alpha))


def oracle(group: list[int], method: str, shifts: int, alpha: float, bits: int) -> tuple[list[int], tuple]:
    """Decompose one group by the definition in plain Python: try every set and every mask."""
    if method == "swis":
        sets = list(combinations(range(bits), shifts))
    elif method == "swis_c":
        sets = [tuple(range(low, low + shifts)) for low in range(bits - shifts + 1)]
    else:
        sets = [tuple(range(bits - shifts, bits))]
    best = None
    for chosen in sets:
        levels = sorted(
            {
                sum(m * 2**s for m, s in zip(mask, chosen, strict=True))
                for mask in product((0, 1), repeat=shifts)
            }
        )
        codes = []
        for weight in group:
            magnitude = abs(weight)
            if method == "truncate":
                level = max(level for level in levels if level <= magnitude)
            elif method == "round":
                level = min(levels, key=lambda level: (abs(level - magnitude), level // levels[1] % 2))
            else:
                level = min(levels, key=lambda level: (abs(level - magnitude), level))
            codes.append(-level if weight < 0 else level)
        errors = [code - weight for code, weight in zip(codes, group, strict=True)]
        cost = sum(e * e for e in errors) + alpha * sum(errors) ** 2
        if best is None or cost < best[0]:
            best = (cost, codes, chosen)
    return best[1], best[2]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cases())
def test_nearest_selection_equals_its_oracle_including_ties(path, case):
    result = decomposed(**case)
    size = case["group_size"]
    groups = grouped(case["codes"], size)
    expected = [
        oracle(g, case["method"], case["shifts"], case["alpha"], case["magnitude_bits"])
        for g in groups.tolist()
    ]
    assert grouped(result.codes, size).tolist() == [codes for codes, _ in expected]
    assert result.shift_sets.flatten().tolist() == [sum(2**s for s in chosen) for _, chosen in expected]


@cache  # the same for every path
def joint_oracle(group: tuple[int, ...], sets: tuple[tuple, ...], alpha: float) -> tuple[list[int], tuple]:
    """Try every set and every level of every weight; return the first best one in lexicographic order."""
    best = None
    for chosen in sets:
        for picked in product(sums(chosen), repeat=len(group)):
            codes = [-level if weight < 0 else level for level, weight in zip(picked, group, strict=True)]
            errors = [code - weight for code, weight in zip(codes, group, strict=True)]
            cost = sum(e * e for e in errors) + alpha * sum(errors) ** 2
            if best is None or cost < best[0]:
                best = (cost, codes, chosen)
    return best[1], best[2]


@pytest.mark.parametrize(
    ("method", "bits", "shifts", "group_size", "filters"),
    [
        *[("swis", 7, 2, 4, 4), ("swis", 7, 3, 3, 4), ("swis", 7, 4, 2, 6), ("swis", 6, 1, 4, 20)],
        *[("swis", 5, 2, 4, 20), ("swis", 4, 1, 7, 20), ("swis", 4, 2, 5, 10), ("swis", 8, 1, 5, 10)],
        *[("swis_c", 7, 2, 4, 10), ("swis_c", 7, 3, 3, 10), ("swis", 4, 3, 1, 20), ("swis", 4, 4, 3, 4)],
    ],
)
@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.0, 1000.0])
def test_joint_selection_equals_its_oracle(path, method, bits, shifts, group_size, filters, alpha):
    generator = torch.Generator().manual_seed(bits)
    top = 2**bits - 1
    weights = max(2, 2 * group_size - 1)  # the second group is padded
    codes = (torch.randn((filters, weights), generator=generator) * 2 ** (bits - 2)).round()
    codes = codes.clamp(-top, top).long()
    result = decompose(codes, weight_format(method, shifts, group_size, alpha, bits, selection="joint"))
    sets = tuple(map(tuple, weight_format(method, shifts, magnitude_bits=bits).shift_sets()))
    for row, found, chosen in zip(
        codes.tolist(), result.codes.tolist(), result.shift_sets.tolist(), strict=True
    ):
        expected = [joint_oracle(tuple(row[at : at + group_size]), sets, alpha) for at in (0, group_size)]
        assert found == [code for codes, _ in expected for code in codes]
        assert chosen == [sum(2**s for s in best) for _, best in expected]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_huge_alpha_does_not_overflow(path, selection):
    codes = torch.tensor([[127, 127, -127, 90, 3]])
    large, largest = (
        decompose(codes, weight_format("swis", 1, 3, alpha, selection=selection)) for alpha in (1e30, 1e308)
    )
    assert torch.equal(large.codes, largest.codes)
    assert torch.equal(large.shift_sets, largest.shift_sets)


@pytest.mark.parametrize("group_size", [1, 2, 4, 7, 16, 64])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("method", ["swis", "swis_signed"])
def test_the_result_does_not_depend_on_chunks_and_threads(path, monkeypatch, group_size, selection, method):
    codes = torch.randint(-127, 128, (16, 92), generator=torch.Generator().manual_seed(1))
    whole = decompose(codes, weight_format(method, 3, group_size, selection=selection))
    monkeypatch.setattr("swis.encoding.decompose._CHUNK_GROUPS", 7)
    monkeypatch.setattr("swis.encoding.search.nearest._PART", 16)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    parts = decompose(codes, weight_format(method, 3, group_size, selection=selection))
    assert torch.equal(whole.codes, parts.codes)
    assert torch.equal(whole.shift_sets, parts.shift_sets)


def on_every_path(monkeypatch, *case) -> list[Decomposition]:
    results = [decomposed(*case)]
    for path in ("lanes", "plain", "torch") if simd.AVAILABLE else ("plain", "torch"):
        with monkeypatch.context() as context:
            take(path, context)
            results.append(decomposed(*case))
    return results


@pytest.mark.parametrize("weights", [128, 129])  # 128: groups of four are searched without a copy
@pytest.mark.parametrize("bits", range(4, 9))
@pytest.mark.parametrize("group_size", [1, 2, 3, 4, 5, 8, 16, 33, 64, 100])
def test_every_path_gives_the_same_result(monkeypatch, bits, group_size, weights):
    generator = torch.Generator().manual_seed(bits)
    shape = (37, weights)
    codes = (torch.randn(shape, generator=generator) * 2 ** (bits - 2)).round()
    codes = codes.clamp(1 - 2**bits, 2**bits - 1).long()
    for method, shifts in product(METHODS, range(1, bits + 1)):
        for alpha in (0.0, 1.0, 3.0) if method == "swis" else (1.0,):
            first, *others = on_every_path(monkeypatch, codes, method, shifts, group_size, alpha, bits)
            for other in others:
                assert torch.equal(first.codes, other.codes)
                assert torch.equal(first.shift_sets, other.shift_sets)


@pytest.mark.parametrize("shifts", range(1, 8))
def test_the_largest_metrics_fit_the_fast_path_s_integers(monkeypatch, shifts):
    group_size, alpha = simd.LARGEST_GROUP, float(simd.LARGEST_ALPHA)
    codes = torch.full((3, group_size), 127)
    codes[1] = torch.randint(64, 128, (group_size,), generator=torch.Generator().manual_seed(0))
    codes[2] = 95  # almost halfway between 64 and 127: the largest errors on both sides
    first, *others = on_every_path(monkeypatch, codes, "swis", shifts, group_size, alpha, 7)
    for other in others:
        assert torch.equal(first.codes, other.codes)
        assert torch.equal(first.shift_sets, other.shift_sets)


@pytest.mark.parametrize("alpha", [0, 1, 2, 31, 255, 256, 4096, 65535, 65536])
@pytest.mark.parametrize(("bits", "most"), [(7, 258), (8, 128)])  # the sum of more errors can exceed 16 bits
def test_metrics_below_and_above_16_bits(monkeypatch, bits, most, alpha):
    top, generator = 2**bits - 1, torch.Generator().manual_seed(alpha)
    for group_size in (1, 3, 4, 5, 16, most, most + 1):
        rows = [torch.full((group_size,), code) for code in (0, -top, top, -top // 2, top * 3 // 4)]
        for scale in (2, 8, 32, top):  # from metrics that fit to those that do not
            rows.append(torch.randint(-scale, scale + 1, (group_size,), generator=generator))
            rows.append(rows[-1].abs())
        for shifts in (1, 2, bits - 1, bits):
            first, *others = on_every_path(
                monkeypatch, torch.stack(rows), "swis", shifts, group_size, alpha, bits
            )
            for other in others:
                assert torch.equal(first.codes, other.codes)
                assert torch.equal(first.shift_sets, other.shift_sets)


@njit
def least_of_row(codes, errors, alpha, reach, squares):
    return lanes.least_in_lanes(codes, 0, len(codes), errors, alpha, reach, squares)


@njit
def least_of_four(pairs, alpha, reach):
    return lanes.least_of_pairs(pairs[0], pairs[1], pairs[2], pairs[3], alpha, reach)


limits = st.sampled_from([0, 1, 2, 7, 100, 255, 256, 1000, 65025, 65535])

errors_of_four = st.sampled_from([1, 15, 127, 255]).flatmap(
    lambda most: st.lists(
        st.lists(st.integers(-most, most), min_size=32, max_size=32), min_size=4, max_size=4
    )
)


@settings(max_examples=500, deadline=None)
@given(errors_of_four, limits)
def test_lanes_are_exact_below_their_limit_and_return_the_limit_above(errors, alpha):
    errors = np.array(errors, np.int16)
    narrow = lanes.narrow(alpha, errors, 4)
    squares = np.empty(32, np.int32)
    codes = np.arange(-2, 2, dtype=np.int8)
    table = np.concatenate([errors, errors[:1]])  # five codes from -2 to 2; the last one is not used
    found = least_of_row(codes, table, narrow.alpha, narrow.reach, squares)
    errors = errors.astype(np.int64)
    square = (errors**2).sum(0)
    metric = square + alpha * errors.sum(0) ** 2
    check_narrow(found, metric, narrow)
    assert np.array_equal(squares, square.clip(max=65535))

    pairs = errors[:, :2]
    packed = (pairs[:, 1] << 16 | pairs[:, 0] & 0xFFFF).astype(np.int32)
    found = least_of_four(packed, narrow.alpha, narrow.reach)
    choices = np.array(list(product(*pairs)))
    check_narrow(found, (choices**2).sum(1) + alpha * choices.sum(1) ** 2, narrow)


def check_narrow(found, metric, narrow):
    if metric.min() < narrow.limit:
        assert found == (metric.min(), metric.argmin())
    else:
        assert found[0] >= narrow.limit


def test_metrics_that_do_not_fit_into_16_bits_use_the_64_bit_path():
    errors = np.array([[-127, 60]], np.int16)
    assert lanes.narrow(1, errors, 258).limit == 255**2
    assert lanes.narrow(0.0, errors, 258).limit == 65535
    assert lanes.narrow(65535.0, errors, 258).limit == 65535
    for alpha, group_size in ((1, 259), (0.5, 4), (65536, 4)):
        assert lanes.narrow(alpha, errors, group_size) == lanes.NOTHING
