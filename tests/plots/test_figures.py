"""Figures show the numbers of their rows."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from swis.plots.figures import accuracy_by_shifts, by_group_size, means_by_method
from swis.plots.hardware_figures import energy_breakdown, gain_by, roofline, traffic_by_layer


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


LAYERS = pd.DataFrame(
    {
        "kind": ["first", "depthwise", "pointwise"],
        "macs_per_dram_byte": [2.0, 4.0, 50.0],
        "macs_per_cycle": [10.0, 5.0, 60.0],
        "roof_macs_per_cycle": [16.0, 32.0, 64.0],
        "peak_macs_per_cycle": 64.0,
        "weight_dram_bytes": [1000.0, 2000.0, 3000.0],
        "activation_dram_bytes": [500.0, 700.0, 900.0],
    }
)


def test_a_bar_of_energy_is_as_high_as_its_parts_together():
    lines = pd.DataFrame(
        {"accelerator": ["a", "b"], "datapath_energy_pj": [1e6, 2e6], "dram_energy_pj": [3e6, 5e6]}
    )
    _, axes = plt.subplots()
    energy_breakdown(lines, "accelerator", axes)
    tops = {bar.get_y() + bar.get_height() for bar in axes.containers[-1]}
    assert tops == {4.0, 7.0}
    assert [text.get_text() for text in axes.legend().get_texts()] == ["datapath", "dram"]
    plt.close("all")


def test_a_roofline_has_every_layer_under_its_roof():
    _, axes = plt.subplots()
    roofline(LAYERS, 8, axes)
    points = sorted(
        tuple(map(float, point)) for group in axes.collections[1::2] for point in group.get_offsets()
    )
    assert points == [(2.0, 10.0), (4.0, 5.0), (50.0, 60.0)]
    slope = next(line for line in axes.lines if line.get_label() == "DRAM")
    assert [y / x for x, y in zip(*slope.get_data(), strict=True)] == [8, 8]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    plt.close("all")


def test_a_design_and_a_method_of_the_user_s_have_looks_of_their_own():
    """However many there are: an eighth design, a sixteenth, and methods beside those that come along."""
    designs = ["stripes", *(f"mine{place}" for place in range(15))]
    table = pd.DataFrame({"over": designs, "dram_bits_per_cycle": 64, "speedup": range(16)})
    _, axes = plt.subplots()
    lines = gain_by(table, "dram_bits_per_cycle", "speedup", "bits", axes).lines[:-1]
    assert {line.get_label() for line in lines} == set(designs)
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 16
    methods = ["swis", "swis_gap", "mine"]
    storage = pd.DataFrame({"method": methods, "group_size": 4, "bits": 2.0, "sqnr_db": [3.0, 2.0, 1.0]})
    _, axes = plt.subplots()
    lines = by_group_size(storage, "sqnr_db", axes).lines
    assert len({line.get_marker() for line in lines}) == 3
    summary = pd.DataFrame({"method": methods, "bits": 2.0, "mean": 70.0, "low": 69.0, "high": 71.0})
    _, axes = plt.subplots()
    means_by_method(summary, 90.0, axes)
    assert {bars.get_label() for bars in axes.containers} == set(methods)
    plt.close("all")


def test_traffic_has_weights_above_and_activations_below():
    _, axes = plt.subplots()
    traffic_by_layer(LAYERS, axes)
    weights, activations = axes.containers
    assert [bar.get_height() for bar in weights] == [1.0, 2.0, 3.0]
    assert [bar.get_height() for bar in activations] == [-0.5, -0.7, -0.9]
    plt.close("all")
