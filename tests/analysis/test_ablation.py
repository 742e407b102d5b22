"""The ingredients of calibration are read from rows, and the accuracy that each adds."""

import json

import numpy as np
import pandas as pd
import pytest

from swis.analysis.ablation import by_ingredient, gains, ingredient
from swis.errors import InputError
from swis.evaluation.paired_tests import pack_correct


def row(calibrate, right=50, asymmetric=True, scales=(0.8, 1.0), **more):
    chosen = {"asymmetric": asymmetric, "scales": list(scales)}
    return {
        "model": "m",
        "bits": 2.0,
        "method": "swis",
        "calibrate": calibrate,
        "config": json.dumps({"calibration": chosen}),
        "top1": float(right),
        "correct": pack_correct(np.arange(100) < right),
    } | more


@pytest.mark.parametrize(
    ("calibrate", "asymmetric", "scales", "expected"),
    [
        ("none", True, [1.0], "none"),
        ("bias", True, [1.0], None),
        ("stats", True, [1.0], "stats"),
        ("output_aware", False, [1.0], "walk"),
        ("output_aware", True, [1.0], "asymmetric"),
        ("output_aware", True, [0.8, 1.0], "scales"),
        ("output_aware", False, [0.8, 1.0], None),
        ("reconstruct", True, [0.8, 1.0], "reconstruct"),
        ("reconstruct", True, [1.0], None),
        ("reconstruct", False, [0.8, 1.0], None),
        (None, True, [1.0], None),
    ],
)
def test_a_row_has_the_name_of_its_last_ingredient(calibrate, asymmetric, scales, expected):
    assert ingredient(pd.Series(row(calibrate, asymmetric=asymmetric, scales=scales))) == expected


def test_each_ingredient_is_compared_with_the_one_before():
    rows = pd.DataFrame([row("output_aware", 80), row("none", 10), row("stats", 60), row("bias", 30)])
    found = gains(rows)
    assert found["ingredient"].tolist() == ["none", "stats", "scales"]
    assert found["top1"].tolist() == [10, 60, 80]
    assert found["difference"].tolist()[1:] == [50, 20]
    assert np.isnan(found["difference"][0])
    assert (found["low"][1:] < found["difference"][1:]).all()
    assert by_ingredient(rows).columns.tolist() == [("swis", "none"), ("swis", "stats"), ("swis", "scales")]


def test_several_rows_for_one_cell_are_refused():
    with pytest.raises(InputError, match="several rows"):
        by_ingredient(pd.DataFrame([row("stats"), row("stats", group_size=8)]))
