"""The study's figures are drawn from committed rows."""

import pandas as pd
import pytest
from conftest import ROOT

from swis import gallery
from swis.figures import group_of_weights, loss_by_cost
from swis.gallery import FIGURES
from swis.hardware_figures import tradeoff

RESULTS = ROOT / "results"


def as_committed(name):
    like = {"baseline_dir": str(RESULTS / "figures"), "filename": f"{name}.png", "style": "default"}
    return pytest.param(
        name, marks=pytest.mark.mpl_image_compare(savefig_kwargs={"dpi": gallery.DPI}, **like)
    )


@pytest.mark.parametrize("name", [as_committed(name) for name in FIGURES])
def test_a_figure_is_that_in_results_and_has_data_and_units_on_every_axis(name):
    figure = FIGURES[name](RESULTS)
    for axes in figure.axes:
        assert axes.has_data()
        assert axes.get_ylabel() or name == "group"  # whose first picture has bits for axes
    assert (RESULTS / "figures" / f"{name}.pdf").is_file(), "make figures draws it"
    return figure


def test_a_figure_that_is_not_there_is_one_line(capsys):
    assert gallery.main(["nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: there is no figure nothing; there are group,")


def test_losses_are_below_the_float_row():
    rows = pd.DataFrame(
        {
            "method": ["float", "swis", "swis"],
            "bits": [None, 2.0, 3.0],
            "top1": [90.0, 80.0, 89.0],
            "top1_low": [89.0, 78.0, 88.0],
            "top1_high": [91.0, 82.0, 90.0],
        }
    )
    axes = gallery.Figure().subplots()
    line = loss_by_cost(rows, "bits", axes).lines[0]
    assert line.get_label() == "swis"
    assert line.get_ydata().tolist() == [10.0, 1.0]


def test_the_front_is_drawn_from_the_cheapest_on():
    lines = {"accelerator": "a", "ms": [3.0, 1.0, 2.0], "loss": [1.0, 5.0, 6.0]}
    axes = tradeoff(pd.DataFrame(lines), "ms", "latency [ms]", gallery.Figure().subplots())
    front = next(line for line in axes.lines if line.get_label() == "front")
    assert front.get_xdata().tolist() == [1.0, 3.0]


def test_a_group_shows_its_bits_and_what_is_kept():
    axes = group_of_weights([5, -3], [4, -4], [2], gallery.Figure().subplots())
    ones = next(part for part in axes.collections if len(part.get_offsets()) == 4)  # 101 and 011
    assert sorted(map(tuple, ones.get_offsets().tolist())) == [(4, 0), (5, 1), (6, 0), (6, 1)]
    shades = axes.images[0].get_array()
    assert (shades[0, 4] < shades[0, 5]).any()  # of the set and used, and not of the set
