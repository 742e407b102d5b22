"""Properties of the decomposition: its codes, its layout, its errors."""

import pytest
import torch
from decompositions import cases, decomposed, grouped
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.encoding.decompose import decompose, from_filters, to_filters
from swis.encoding.metrics import mse_plus_plus
from swis.formats.registry import weight_format
from swis.formats.weight_format import SELECTIONS


@settings(max_examples=100, deadline=None)
@given(cases())
def test_codes_use_only_their_group_s_shifts_and_keep_sign_and_zero(case):
    result = decomposed(**case)
    groups = grouped(result.codes, case["group_size"])
    assert torch.all(groups.abs() & ~result.shift_sets.reshape(-1, 1) == 0)
    assert torch.all((result.codes == 0) | (result.codes.sign() == case["codes"].sign()))
    assert torch.all(result.codes[case["codes"] == 0] == 0)
    counts = sum((result.shift_sets >> s) & 1 for s in range(case["magnitude_bits"]))
    assert torch.all(counts == case["shifts"])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_a_decomposed_weight_is_its_own_decomposition(case):
    once = decomposed(**case)
    again = decomposed(**{**case, "codes": once.codes})
    assert torch.equal(again.codes, once.codes)


@settings(max_examples=100, deadline=None)
@given(cases(methods=("swis",)))
def test_swis_is_at_least_as_good_as_swis_c(case):
    errors = {
        method: grouped(decomposed(**{**case, "method": method}).codes - case["codes"], case["group_size"])
        for method in ("swis", "swis_c")
    }
    metric = {method: mse_plus_plus(error, case["alpha"]) for method, error in errors.items()}
    assert torch.all(metric["swis"] <= metric["swis_c"])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_more_shifts_never_raise_the_plain_mse(case):
    # with alpha > 0 this does not hold for "nearest": see the next test
    case |= {"alpha": 0.0, "shifts": min(case["shifts"], case["magnitude_bits"] - 1)}
    few = decomposed(**case).codes - case["codes"]
    many = decomposed(**{**case, "shifts": case["shifts"] + 1}).codes - case["codes"]
    size = case["group_size"]
    assert torch.all(mse_plus_plus(grouped(many, size), 0) <= mse_plus_plus(grouped(few, size), 0))


def test_more_shifts_can_raise_mse_plus_plus():
    # one shift: the errors cancel; two shifts: each weight is nearer, but the errors have one sign
    found = False
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(-15, 16, (2000, 3), generator=generator)
    for shifts in (1, 2):
        few, many = (
            mse_plus_plus(decompose(codes, weight_format("swis", n, 3, 1.0, 4)).codes - codes)
            for n in (shifts, shifts + 1)
        )
        found |= bool((many > few).any())
    assert found


@settings(max_examples=50, deadline=None)
@given(cases())
def test_all_magnitude_bits_are_exact(case):
    result = decomposed(**{**case, "shifts": case["magnitude_bits"]})
    assert torch.equal(result.codes.long(), case["codes"])


@settings(max_examples=100, deadline=None)
@given(cases(), st.integers(1, 5))
def test_zeros_beyond_the_last_weight_change_nothing(case, extra):
    padded = decomposed(**{**case, "codes": torch.nn.functional.pad(case["codes"], (0, extra))})
    weights = case["codes"].shape[1]
    assert torch.equal(padded.codes[:, :weights], decomposed(**case).codes)
    assert torch.all(padded.codes[:, weights:] == 0)


@settings(max_examples=100, deadline=None)
@given(cases(methods=("swis", "swis_c")))
def test_joint_selection_is_at_least_as_good_as_nearest(case):
    metric = {
        selection: mse_plus_plus(
            grouped(decomposed(**case, selection=selection).codes - case["codes"], case["group_size"]),
            case["alpha"],
        )
        for selection in SELECTIONS
    }
    assert torch.all(metric["joint"] <= metric["nearest"])


def test_candidate_sets_are_all_sets_in_lexicographic_order():
    sets = weight_format("swis", 3).shift_sets()
    assert len(sets) == 35
    assert sets == sorted(sets)
    assert weight_format("truncate", 3).shift_sets() == [(4, 5, 6)]


def test_a_tie_takes_the_smaller_level():
    table = weight_format("swis", 2, magnitude_bits=3).level_table()
    assert table[2].tolist() == [0, 0, 2, 2, 4, 4, 6, 6]  # of the sets (0, 1), (0, 2), (1, 2)


def test_layout_is_kernel_rows_then_columns_then_channels():
    weight = torch.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    expected = [weight[1, c, i, j].item() for i in range(2) for j in range(2) for c in range(3)]
    assert to_filters(weight)[1].tolist() == expected
    assert torch.equal(from_filters(to_filters(weight), weight.shape), weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "swiss"}, "method must be one of"),
        ({"shifts": 8}, r"shifts must be in \[1, [78]\]"),
        ({"shifts": 0}, r"shifts must be in \[1, [78]\]"),
        ({"group_size": 0}, "group_size"),
        ({"alpha": -1.0}, "alpha"),
        ({"alpha": float("inf")}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"selection": "joint", "group_size": 65}, "joint selection needs group_size <= 64, not 65"),
        ({"selection": "best"}, "selection must be one of"),
        ({"magnitude_bits": 9}, "magnitude_bits"),
        ({"codes": torch.tensor([[128]])}, "codes reach 128"),
        ({"codes": torch.tensor([[0.5]])}, "integers"),
        ({"codes": torch.tensor([1])}, r"\[filters, weights\]"),
    ],
)
def test_bad_arguments_are_named_in_the_error(change, message):
    with pytest.raises(ValueError, match=message):
        decomposed(**{"codes": torch.tensor([[1, 2]]), **change})
