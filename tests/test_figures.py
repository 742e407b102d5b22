"""Figures show the numbers of their rows."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from swis.figures import accuracy_by_shifts


def test_accuracy_by_shifts_draws_every_policy_and_the_float_level():
    points = [("uniform", 3.0, 60.0), ("uniform", 2.0, 20.0), ("greedy", 2.0, 30.0), ("greedy", 3.0, 70.0)]
    rows = pd.DataFrame(points, columns=["policy", "bits", "top1"]).assign(method="swis")
    rows = pd.concat([rows, pd.DataFrame([{"method": "float", "top1": 90.0}])], ignore_index=True)
    rows = rows.assign(top1_low=rows["top1"] - 1, top1_high=rows["top1"] + 1)
    _, axes = plt.subplots()
    assert accuracy_by_shifts(rows, "bits", "policy", axes) is axes
    drawn = [list(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert [30.0, 70.0] in drawn
    assert [20.0, 60.0] in drawn
    assert [90.0, 90.0] in drawn
    assert axes.get_ylabel() == "top-1 [%]"
    assert axes.get_ylim() == pytest.approx((0, 100))
    plt.close("all")
