"""Means over seeds, and their intervals."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from swis.errors import InputError
from swis.evaluation.seeds import gap, over_seeds, table


@pytest.fixture
def rows():
    generator = np.random.default_rng(0)
    places = [(m, b, s) for m in ("swis", "truncate") for b in (2.0, 3.0) for s in range(4)]
    frame = pd.DataFrame(places, columns=["method", "bits", "seed"])
    return frame.assign(top1=90 + generator.normal(size=len(frame)))


def test_the_interval_is_student_s(rows):
    line = over_seeds(rows, ["method", "bits"]).loc[("swis", 3.0)]
    values = rows.query("method == 'swis' and bits == 3")["top1"]
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(line[["mean", "low", "high"]].astype(float), [values.mean(), low, high])
    assert line["seeds"] == 4


def test_a_gap_is_between_rows_of_the_same_seed(rows):
    shifted = rows.assign(top1=rows["top1"] + 100 * rows["seed"])  # seeds differ, pairs do not
    plain, moved = (gap(some, "swis", "truncate", ["bits"]) for some in (rows, shifted))
    pd.testing.assert_frame_equal(plain, moved)
    with pytest.raises(InputError, match="no rows of swis and round have the same bits, seed"):
        gap(rows, "swis", "round", ["bits"])


def test_rows_with_a_null_key_are_a_group(rows):
    without = rows.assign(bits=rows["bits"].where(rows["method"] == "swis"), top1=90.0, seed=range(len(rows)))
    summary = over_seeds(without, ["method", "bits"])
    assert summary["seeds"].sum() == len(rows)


def test_seeds_with_equal_values_have_no_interval(rows):
    equal = rows.assign(top1=rows["top1"].where(rows["method"] == "swis", 93.54))
    summary = over_seeds(equal, ["method", "bits"])
    assert summary.loc["truncate", ["low", "high"]].isna().all(axis=None)
    assert summary.loc["swis", ["low", "high"]].notna().all(axis=None)
    assert table(summary).loc[("truncate", 2.0)] == "93.54"


def test_one_seed_has_no_interval_and_a_repeated_seed_is_refused(rows):
    line = over_seeds(rows[rows["seed"] == 0], ["method", "bits"])
    assert line["low"].isna().all()
    assert "±" not in table(line).iloc[0]
    with pytest.raises(InputError, match="same method and seed"):
        over_seeds(rows, ["method"])
