"""The study's figures are drawn from committed rows."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from matplotlib.figure import Figure

from swis import gallery
from swis.evaluation.paired_tests import pack_correct
from swis.gallery.__main__ import DPI, main
from swis.gallery.registry import figures
from swis.plots.figures import group_of_weights, loss_by_cost, published_points
from swis.plots.hardware_figures import tradeoff

RESULTS = ROOT / "results"


def as_committed(name):
    like = {"baseline_dir": str(RESULTS / "figures"), "filename": f"{name}.png", "style": "default"}
    return pytest.param(name, marks=pytest.mark.mpl_image_compare(savefig_kwargs={"dpi": DPI}, **like))


@pytest.mark.parametrize("name", [as_committed(name) for name in figures()])
def test_a_figure_is_that_in_results_with_data_and_a_label_on_every_axis(name):
    figure = gallery.draw(name, RESULTS)
    for axes in figure.axes:
        assert axes.has_data()
        assert axes.get_ylabel()
    assert (RESULTS / "figures" / f"{name}.pdf").is_file(), "make figures draws it"
    return figure


def test_a_figure_that_is_not_there_is_one_line(capsys):
    assert main(["nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: figure must be one of accuracy, calibration,")


def test_losses_are_below_the_float_row_image_by_image():
    right = np.arange(100) < 90
    some = [right, right & (np.arange(100) >= 10), ~right ^ (np.arange(100) < 89)]
    rows = pd.DataFrame({"method": ["float", "swis", "swis"], "bits": [None, 2.0, 3.0]})
    axes = Figure().subplots()
    loss_by_cost(rows.assign(correct=[pack_correct(each) for each in some]), "bits", axes)
    line, band = axes.lines[0], axes.collections[0].get_paths()[0].vertices
    assert line.get_label() == "swis"
    assert line.get_ydata().tolist() == [10.0, -9.0]
    # of the ten images that differ alone: the rows' own intervals are wider
    assert 5 <= band[band[:, 0] == 2.0, 1].min() <= 6
    assert 17 <= band[band[:, 0] == 2.0, 1].max() <= 18


def test_all_published_points_are_drawn_however_many_methods():
    methods = [f"m{number}" for number in range(12)]
    points = pd.DataFrame({"method": methods, "weight_bits": 3, "top1": 60.0, "float_top1": 72.0})
    points = points.assign(activation_bits=8)
    axes = published_points(points, "weight_bits", Figure().subplots())
    drawn = {line.get_label(): line for line in axes.lines if line.get_label().startswith("m")}
    assert list(drawn)[-2:] == ["m10, A8 (published)", "m11, A8 (published)"]
    assert len(drawn) == 12
    assert all(line.get_ydata().tolist() == [12.0] for line in drawn.values())


def test_the_front_is_drawn_from_the_cheapest_on():
    lines = {"accelerator": "a", "method": "round", "bits": 3, "ms": [3.0, 1.0, 2.0], "loss": [1.0, 5.0, 6.0]}
    axes = tradeoff(pd.DataFrame(lines), "ms", "latency [ms]", Figure().subplots())
    front = next(line for line in axes.lines if line.get_label() == "front")
    assert front.get_xdata().tolist() == [1.0, 3.0]
    assert [text.get_text() for text in axes.texts] == ["round 3 on a"]  # and not what loses five points
    many = pd.DataFrame({"accelerator": [f"a{number}" for number in range(20)], "ms": 1.0, "loss": 5.0})
    axes = tradeoff(many, "ms", "latency [ms]", Figure().subplots())
    assert len(axes.collections) == 20


def test_a_group_shows_its_bits_and_what_is_kept():
    axes = group_of_weights([5, -3], [4, -4], [2], Figure().subplots())
    ones = next(part for part in axes.collections if len(part.get_offsets()) == 4)  # 101 and 011
    assert sorted(map(tuple, ones.get_offsets().tolist())) == [(4, 0), (5, 1), (6, 0), (6, 1)]
    shades = axes.images[0].get_array()
    assert (shades[0, 4] < shades[0, 5]).any()  # of the set and used, and not of the set
