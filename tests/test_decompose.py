"""The decomposition against an obvious oracle, and the properties it promises."""

from itertools import combinations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.decompose import METHODS, candidate_sets, decompose, from_filters, nearest_levels, to_filters
from swis.metrics import mse_plus_plus


def oracle(group: list[int], method: str, shifts: int, alpha: float, bits: int) -> tuple[list[int], tuple]:
    """Decompose one group by the definition, in plain Python: try every set and every mask."""
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


@st.composite
def cases(draw, methods=METHODS):
    bits = draw(st.integers(4, 8))
    top = 2**bits - 1
    filters = draw(st.integers(1, 3))
    weights = draw(st.integers(1, 10))
    rows = draw(
        st.lists(
            st.lists(st.integers(-top, top), min_size=weights, max_size=weights),
            min_size=filters,
            max_size=filters,
        )
    )
    return {
        "codes": torch.tensor(rows),
        "method": draw(st.sampled_from(methods)),
        "shifts": draw(st.integers(1, bits)),
        "group_size": draw(st.integers(1, 6)),
        "alpha": draw(st.sampled_from([0.0, 0.3, 1.0, 2.5])),
        "magnitude_bits": bits,
    }


def grouped(rows: torch.Tensor, size: int) -> torch.Tensor:
    return torch.nn.functional.pad(rows, (0, -rows.shape[1] % size)).reshape(-1, size)


@settings(max_examples=300, deadline=None)
@given(cases())
def test_equals_the_oracle_sets_and_ties_included(case):
    result = decompose(**case)
    size = case["group_size"]
    groups = grouped(case["codes"], size)
    expected = [
        oracle(g, case["method"], case["shifts"], case["alpha"], case["magnitude_bits"])
        for g in groups.tolist()
    ]
    assert grouped(result.codes, size).tolist() == [codes for codes, _ in expected]
    assert result.shift_sets.flatten().tolist() == [sum(2**s for s in chosen) for _, chosen in expected]


@settings(max_examples=100, deadline=None)
@given(cases())
def test_codes_use_only_their_group_s_shifts_and_keep_sign_and_zero(case):
    result = decompose(**case)
    groups = grouped(result.codes, case["group_size"])
    assert torch.all(groups.abs() & ~result.shift_sets.reshape(-1, 1) == 0)
    assert torch.all((result.codes == 0) | (result.codes.sign() == case["codes"].sign()))
    assert torch.all(result.codes[case["codes"] == 0] == 0)
    counts = sum((result.shift_sets >> s) & 1 for s in range(case["magnitude_bits"]))
    assert torch.all(counts == case["shifts"])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_decomposed_weight_is_its_own_decomposition(case):
    once = decompose(**case)
    again = decompose(**{**case, "codes": once.codes})
    assert torch.equal(again.codes, once.codes)


@settings(max_examples=100, deadline=None)
@given(cases(methods=("swis",)))
def test_swis_is_at_least_as_good_as_swis_c(case):
    errors = {
        method: grouped(decompose(**{**case, "method": method}).codes - case["codes"], case["group_size"])
        for method in ("swis", "swis_c")
    }
    metric = {method: mse_plus_plus(error, case["alpha"]) for method, error in errors.items()}
    assert torch.all(metric["swis"] <= metric["swis_c"])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_more_shifts_never_raise_the_plain_mse(case):
    # with alpha > 0 "nearest" promises no such thing: see the next test
    case |= {"alpha": 0.0, "shifts": min(case["shifts"], case["magnitude_bits"] - 1)}
    few = decompose(**case).codes - case["codes"]
    many = decompose(**{**case, "shifts": case["shifts"] + 1}).codes - case["codes"]
    size = case["group_size"]
    assert torch.all(mse_plus_plus(grouped(many, size), 0) <= mse_plus_plus(grouped(few, size), 0))


def test_more_shifts_can_raise_mse_plus_plus():
    # one shift: errors that cancel; two shifts: each weight nearer, but errors of one sign
    found = False
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(-15, 16, (2000, 3), generator=generator)
    for shifts in (1, 2):
        few, many = (
            mse_plus_plus(decompose(codes, "swis", n, 3, 1.0, 4).codes - codes) for n in (shifts, shifts + 1)
        )
        found |= bool((many > few).any())
    assert found


@settings(max_examples=50, deadline=None)
@given(cases())
def test_all_magnitude_bits_are_exact(case):
    result = decompose(**{**case, "shifts": case["magnitude_bits"]})
    assert torch.equal(result.codes, case["codes"].short())


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(1, 5))
def test_zeros_beyond_the_last_weight_change_nothing(case, extra):
    padded = decompose(**{**case, "codes": torch.nn.functional.pad(case["codes"], (0, extra))})
    weights = case["codes"].shape[1]
    assert torch.equal(padded.codes[:, :weights], decompose(**case).codes)
    assert torch.all(padded.codes[:, weights:] == 0)


def test_the_result_does_not_depend_on_chunks(monkeypatch):
    codes = torch.randint(-127, 128, (16, 90), generator=torch.Generator().manual_seed(1))
    whole = decompose(codes)
    monkeypatch.setattr("swis.decompose._CHUNK_GROUPS", 7)
    parts = decompose(codes)
    assert torch.equal(whole.codes, parts.codes)
    assert torch.equal(whole.shift_sets, parts.shift_sets)


def test_candidate_sets_are_all_sets_in_lexicographic_order():
    sets = candidate_sets("swis", 3, 7)
    assert len(sets) == 35
    assert sets == sorted(sets)
    assert candidate_sets("truncate", 3, 7) == [(4, 5, 6)]


def test_a_tie_takes_the_smaller_level():
    assert nearest_levels((1, 2), 3).tolist() == [0, 0, 2, 2, 4, 4, 6, 6]


def test_layout_is_kernel_rows_then_columns_then_channels():
    weight = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    expected = [weight[1, c, i, j].item() for i in range(2) for j in range(2) for c in range(3)]
    assert to_filters(weight)[1].tolist() == expected
    assert torch.equal(from_filters(to_filters(weight), weight.shape), weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "swiss"}, "method is one of"),
        ({"shifts": 8}, "shifts must be in 1..7"),
        ({"shifts": 0}, "shifts must be in 1..7"),
        ({"group_size": 0}, "group_size"),
        ({"alpha": -1.0}, "alpha"),
        ({"magnitude_bits": 9}, "magnitude_bits"),
        ({"codes": torch.tensor([[128]])}, "codes reach 128"),
        ({"codes": torch.tensor([[0.5]])}, "integers"),
        ({"codes": torch.tensor([1])}, r"\[filters, weights\]"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        decompose(**{"codes": torch.tensor([[1, 2]]), **change})
