"""Figures show the numbers of their rows."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from swis.analysis.against_float import against_float
from swis.evaluation.paired_tests import pack_correct
from swis.plots.figures import before_and_after, outline, published_points, top1_over, waterfall
from swis.plots.group_figures import group_of_weights, two_bars
from swis.plots.hardware_figures import (
    bars_of_designs,
    name_designs,
    roofline,
    side_by_side,
    traffic_by_layer,
)
from swis.plots.storage_figures import bits_per_weight, by_shifts
from swis.plots.style import DARK, SHADE, SWIS
from swis.plots.trade_off_figures import gains_over, trade_off


@pytest.fixture
def axes():
    return Figure().subplots()


def drawn(axes):
    """The lines of axes that are labelled: label to values."""
    return {line.get_label(): list(line.get_ydata()) for line in axes.lines if line.get_label()[0] != "_"}


def test_lines_have_their_rows_float_is_a_level_and_bars_are_intervals(axes):
    points = [("uniform", 3.0, 60.0), ("uniform", 2.0, 20.0), ("swis", 2.0, 30.0), ("swis", 3.0, 70.0)]
    rows = pd.DataFrame(points, columns=["method", "bits", "top1"])
    rows = pd.concat([rows, pd.DataFrame([{"method": "float", "top1": 90.0}])], ignore_index=True)
    top1_over(rows, "bits", axes)
    assert drawn(axes) == {"SWIS": [30.0, 70.0], "uniform": [20.0, 60.0], "float": [90.0, 90.0]}
    assert not axes.collections
    top1_over(rows.assign(low=rows["top1"] - 1, high=rows["top1"] + 2), "bits", axes, apart=0.1)
    bars = [segment.tolist() for part in axes.collections for segment in part.get_segments()]
    assert [[1.95, 29.0], [1.95, 32.0]] in [np.round(bar, 6).tolist() for bar in bars]
    assert len(bars) == 4


def test_losses_are_below_the_float_row_image_by_image():
    right = np.arange(100) < 90
    some = [right, right & (np.arange(100) >= 10), ~right ^ (np.arange(100) < 89)]
    rows = pd.DataFrame({"method": ["float", "swis", "swis"], "bits": [None, 2.0, 3.0], "top1": [90, 80, 99]})
    found = against_float(rows.assign(correct=[pack_correct(each) for each in some]))
    assert found["loss"].tolist() == [10.0, -9.0]
    # of the ten images that differ alone: the rows' own intervals are wider
    assert 82 <= found["high"].iloc[0] <= 86
    assert 72 <= found["low"].iloc[0] <= 74


def test_the_region_that_is_enlarged_is_framed_whichever_end_is_first(axes):
    outline(axes, (2, 4), (90, 70), "enlarged below")
    (frame,) = axes.patches
    assert (*frame.get_xy(), frame.get_width(), frame.get_height()) == (2, 70, 2, 20)


def test_all_published_points_are_drawn_and_named_however_many(axes):
    labels = [f"m{number}" for number in range(12)]
    points = pd.DataFrame(
        {"label": labels, "method": labels, "loss": range(12), "group": ["few"] * 6 + ["many"] * 6}
    )
    published_points(points, axes)
    assert [line.get_xdata().tolist() for line in axes.lines] == [[number] for number in range(12)]
    assert {text.get_text() for text in axes.texts} == {*labels, "few", "many"}


def test_a_waterfall_goes_from_step_to_step(axes):
    steps = pd.DataFrame({"swis": [10.0, 60.0, 55.0], "uniform": [0.0, 50.0, 70.0]}, ["a", "b", "c"])
    waterfall(steps, "swis", 80.0, axes)
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 10), (10, 50), (60, -5)]
    others = next(line for line in axes.lines if line.get_label() == "uniform")
    assert others.get_xdata().tolist() == [0.0, 50.0, 70.0]


def test_before_and_after_are_joined(axes):
    before = pd.DataFrame({"method": ["swis", "truncate"], "mean": [80.0, 40.0], "low": 39.0, "high": 81.0})
    before_and_after(before, before.assign(mean=[81.0, 50.0]), axes)
    assert drawn(axes) == {"SWIS": [80.0, 81.0], "truncation": [40.0, 50.0]}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["calibrated", "retrained"]


LAYERS = pd.DataFrame(
    {
        "kind": ["first", "depthwise", "pointwise"],
        "macs_per_dram_byte": [2.0, 4.0, 50.0],
        "macs_per_cycle": [10.0, 5.0, 60.0],
        "roof_macs_per_cycle": [16.0, 32.0, 64.0],
        "peak_macs_per_cycle": 64.0,
        "weight_dram_bytes": [1e6, 2e6, 3e6],
        "activation_dram_bytes": [5e5, 7e5, 9e5],
    }
)


def test_a_bar_of_a_design_is_as_long_as_its_parts_together(axes):
    lines = pd.DataFrame({"array_pj": [1e6, 2e6], "sram_pj": [1e6, 0.0], "dram_pj": [3e6, 5e6]})
    parts = {"chip": (SWIS, ["array_pj", "sram_pj"]), "DRAM": (DARK, ["dram_pj"])}
    bars_of_designs(lines, parts, 1e6, ["SWIS, N = 2", "8-bit"], axes)
    assert [bar.get_x() + bar.get_width() for bar in axes.containers[-1]] == [5.0, 7.0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["chip", "DRAM"]
    assert [(text.get_text(), text.xy) for text in axes.texts] == [
        ("SWIS, N = 2", (5.0, 0)),
        ("8-bit", (7.0, 1)),
    ]


def test_designs_that_stand_out_are_behind_a_shade(axes):
    name_designs(["stripes", "swis_ss"], [False, True], axes)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["Stripes", "SWIS single-shift"]
    (shade,) = axes.patches
    assert (shade.get_y(), shade.get_height()) == (0.5, 1.0)
    assert axes.get_yticklabels()[1].get_color() == SWIS


def test_a_roofline_has_every_layer_under_its_roof(axes):
    roofline(LAYERS, 8, axes)
    *layers, roof = axes.lines
    assert sorted(tuple(map(float, line.get_xydata()[0])) for line in layers) == [(2, 10), (4, 5), (50, 60)]
    assert roof.get_xydata().tolist() == [[2, 16], [8, 64], [50, 64]]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert {"first layer", "depthwise", "pointwise"} <= {text.get_text() for text in axes.texts}


def test_traffic_has_weights_above_and_activations_below(axes):
    traffic_by_layer(LAYERS, axes)
    weights, activations = axes.containers
    assert [bar.get_height() for bar in weights] == [1.0, 2.0, 3.0]
    assert [bar.get_height() for bar in activations] == [-0.5, -0.7, -0.9]


def test_layers_of_designs_stand_side_by_side(axes):
    lines = {"accelerator": ["a", "a", "b", "b"], "layer": ["x", "y"] * 2, "cycles": [1e3, 2e3, 3e3, 4e3]}
    side_by_side(pd.DataFrame(lines), "cycles", 1e3, "thousand cycles", axes)
    assert [[bar.get_height() for bar in bars] for bars in axes.containers] == [[1, 2], [3, 4]]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "a, together 3.0",
        "b, together 7.0",
    ]


def storage(**columns):
    return pd.DataFrame({"method": ["swis", "swis", "mine", "mine"], **columns})


def test_packed_bits_have_a_line_for_every_format_and_coding(axes):
    table = storage(group_size=[1, 4] * 2, bits=2.0, coding="plain", weight_bits=[9.0, 4.5, 3.0, 3.0])
    table = pd.concat([table, table.assign(coding="compact", weight_bits=2.0)])
    bits_per_weight(table, axes, named=True)
    shown = drawn(axes)
    assert shown.pop("8-bit") == [8, 8]
    compact = {"SWIS, compact": [2.0, 2.0], "mine, compact": [2.0, 2.0]}
    assert shown == {"SWIS, plain": [9.0, 4.5], "mine, plain": [3.0, 3.0], **compact}
    assert [text.get_text() for text in axes.texts] == ["N = 2"]


def test_lines_that_end_together_are_named_once(axes):
    table = storage(group_size=4, bits=[1.0, 2.0] * 2, sqnr_db=[8.0, 20.0, 7.0, 20.1])
    by_shifts(table, "sqnr_db", axes, named=True)
    assert drawn(axes) == {"SWIS": [8.0, 20.0], "mine": [7.0, 20.1]}
    assert [text.get_text() for text in axes.texts] == ["M = 4"]
    by_shifts(table.assign(sqnr_db=[8.0, 20.0, 7.0, 15.0]), "sqnr_db", axes, named=True)
    assert [text.get_text() for text in axes.texts[1:]] == ["M = 4", "M = 4"]


def test_a_front_is_drawn_from_the_cheapest_on_and_its_corners_are_named(axes):
    lines = {"accelerator": ["stripes"] * 3 + ["swis_ss"], "method": "round", "bits": 3}
    table = pd.DataFrame({**lines, "ms": [3.0, 1.0, 2.0, 4.0], "loss": [1.0, 5.0, 6.0, 0.0]})
    trade_off(table, "ms", axes)
    front = next(line for line in axes.lines if line.get_label() == "best of other designs")
    assert front.get_xydata().tolist() == [[1, -5], [3, -1], [4, -1]]
    named = [text.get_text() for text in axes.texts]
    assert named == ["Stripes\nrounding, N = 3"] * 2 + ["single-shift: rounding, N = 3"]
    points = [line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_xdata()) == 3]
    assert len(points) == 1  # what is not on a front is there as well


def test_the_baseline_over_which_least_is_gained_stands_out(axes):
    names = [f"mine{number}" for number in range(16)]
    gains = pd.DataFrame(
        {"over": names * 2, "width": [16] * 16 + [64] * 16, "speedup": [1.0] * 16 + [*range(3, 19)]}
    )
    gains_over(gains, "width", "speedup", axes, usual=64)
    assert [text.get_text() for text in axes.texts] == names
    widths = [line.get_linewidth() for line in axes.lines if len(line.get_xdata()) == 2][:16]
    assert widths[0] == max(widths) > max(widths[1:])
    places = [text.xy[1] for text in axes.texts]
    assert all(later / earlier > 1.1 for earlier, later in pairwise(places))


def test_a_group_shows_the_digits_that_are_kept_and_no_others(axes):
    group_of_weights([5, -3], [4, -6], (2, 1), 3, axes)
    digits = {(text.get_position(), text.get_text()) for text in axes.texts if text.get_text() in ("0", "1")}
    left = 1.1
    assert {(round(x - left, 6), y, digit) for (x, y), digit in digits} == {
        *((0.5, 0, "1"), (1.5, 0, "0")),  # 4 is the power 4 alone, whatever 5 was
        *((0.5, 1, "1"), (1.5, 1, "1")),
    } | {(2.5, -0.85, "1")}  # the head of the column that is left out
    faces = [patch.get_facecolor() for patch in axes.patches]
    assert faces.count((*(int(SHADE[at : at + 2], 16) / 255 for at in (1, 3, 5)), 1.0)) == 1
    written = {text.get_text() for text in axes.texts}
    assert {"5", "\N{MINUS SIGN}3", "4", "\N{MINUS SIGN}(4 + 2) = \N{MINUS SIGN}6"} <= written
    assert "\N{MINUS SIGN}1" in written


def test_two_bars_say_how_much_each_is(axes):
    two_bars([7, 3], [DARK, SWIS], ["8-bit", "SWIS"], axes)
    assert [bar.get_width() for bar in axes.patches] == [7, 3]
    assert [text.get_text() for text in axes.texts] == ["7", "3"]
