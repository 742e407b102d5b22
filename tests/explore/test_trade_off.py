"""Rows of results over any two columns: what is drawn, the Pareto front, and the code that draws the same."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from swis.errors import InputError
from swis.explore.choice import Choice
from swis.explore.sources import Source, folders
from swis.explore.trade_off import trade_off, trade_off_picture


@pytest.fixture(scope="module")
def rows():
    return pd.DataFrame(
        {
            "method": ["swis", "swis", "truncate", "truncate", "float"],
            "model": ["a", "b", "a", "b", "a"],
            "bits": [2.0, 2.0, 3.0, 3.0, None],
            "weight_bits": [4.5, 4.5, 4.0, 4.0, 32.0],
            "top1": [90.0, 80.0, 85.0, 84.0, 95.0],
            "correct": [b"1", b"0", b"1", b"1", b"1"],
        }
    )


def test_the_front_is_what_no_row_beats(rows):
    choice = Choice("weight_bits", "top1", query="method != 'float'")
    assert choice.front(choice.rows(rows))["top1"].tolist() == [85.0, 90.0]
    cheaper = Choice("top1", "weight_bits", query="method != 'float'")  # less of what is drawn upwards
    assert cheaper.front(cheaper.rows(rows))["weight_bits"].tolist() == [4.5, 4.0]


@pytest.mark.parametrize(
    ("best", "front"),
    [("top left", [1, 3]), ("top right", [3]), ("bottom left", [1, 2]), ("bottom right", [3, 2])],
)
def test_which_corner_is_best_can_be_chosen(best, front):
    rows = pd.DataFrame({"x": [1.0, 2.0, 3.0], "mine": [5.0, 4.0, 6.0]}, index=[1, 2, 3])
    assert Choice("x", "mine", best=best).front(rows).index.tolist() == front
    tab = trade_off(rows)
    assert tab.best.value == "top left"  # more is better of what is not known
    tab.best.value = best
    assert f"ascending=[{'left' in best}, {'bottom' in best}]" in tab.picture.below


CHOICES = {
    "plain": Choice("weight_bits", "top1"),
    "facets": Choice("weight_bits", "top1", colour="method", facet="model", log_x=True, log_y=True),
    "filters": Choice("bits", "top1", colour="bits", only="model", values=("b",), query="top1 > 1"),
    "missing": Choice("weight_bits", "top1", colour="bits", facet="bits", best="bottom right"),
}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_the_code_draws_the_same_rows_and_fronts(choice, rows):
    drawn = choice.rows(rows)
    assert trade_off_picture(rows, choice).svg().count("data-name") == len(drawn)
    names = run(choice.code(drawn).replace("table = ...", "table = rows"), rows=rows)
    assert names["table"].index.tolist() == drawn.index.tolist()
    axes = names["grid"].axes_dict if choice.facet else {"": names["grid"].ax}
    seen = 0
    for value, each in axes.items():
        part = drawn[names["panels"] == value] if choice.facet else drawn
        assert each.lines[-1].get_ydata().tolist() == choice.front(part)[choice.y].tolist()
        seen += sum(len(points.get_offsets()) for points in each.collections)
    assert seen == len(drawn)


def run(code, **names):
    matplotlib.use("agg")
    exec(code, names)
    return names


def test_the_code_has_the_colours_of_the_picture(rows):
    choice = Choice("weight_bits", "top1", colour="method")
    drawn = choice.rows(rows)
    colours = {look.colour for look in choice.looks(drawn).values()}
    assert all(f'fill="{colour}"' in trade_off_picture(rows, choice).svg() for colour in colours)
    faces = run(choice.code(drawn).replace("table = ...", "table = rows"), rows=rows)["grid"].ax.collections[
        0
    ]
    assert {matplotlib.colors.to_hex(face) for face in faces.get_facecolors()} == colours


@pytest.mark.parametrize("name", folders())
def test_every_folder_of_results_can_be_drawn_and_its_code_runs(name):
    tab = trade_off(folders()[name])
    drawn = tab.picture.svg().count("data-name")
    assert drawn
    assert len(run(tab.choice.code(tab.choice.rows(tab.table)))["table"]) == drawn


def test_names_that_are_no_identifiers_can_be_drawn_and_coded():
    odd = pd.DataFrame(
        {'my "x"': [1.0, 2.0, 3.0], "{y}": [4.0, 5.0, 6.0], 7: ["u", "v", "u"], "ä<b>": [True, False, True]}
    )
    tab = trade_off(odd)
    tab.colour.value, tab.facet.value = "7", "ä<b>"
    code = tab.choice.code(tab.choice.rows(tab.table))
    assert len(run(code.replace("table = ...", "table = odd"), odd=odd)["table"]) == 3
    assert "<b>" not in tab.picture.html()


def test_what_is_no_number_is_left_out_and_said():
    rows = pd.DataFrame(
        {
            "x": [1.0, np.inf, 3.0, None, -5.0, 6.0],
            "y": pd.array([1, 2, None, 4, 5, 6], dtype="Int64"),
            "kind": ["a", "b", None, "a", "b", None],
        }
    )
    tab = trade_off(rows)
    assert tab.picture.svg().count("data-name") == 3
    assert "3 rows are drawn. 3 others" in tab.picture.below
    tab.logs.value = ("x",)
    assert tab.picture.svg().count("data-name") == 2
    tab.colour.value = "kind"
    assert ">none<" in tab.picture.svg()
    tab.query.value = "x > 100"
    assert "no row is left" in tab.picture.svg()


def test_a_mark_tells_its_row_and_a_filter_that_is_none_says_so(rows):
    tab = trade_off(rows)
    assert tab.picture.svg().count("data-name") == 4  # all but the float row
    tab._heard.value = "=2"
    assert "The row behind the mark" in tab.picture.below
    assert '<td class="swis-number">85</td>' in tab.picture.below or "<td>85</td>" in tab.picture.below
    tab.query.value = "bits <"
    assert "is none that pandas takes" in tab.picture.svg()
    tab.query.value = "bits == 2"
    assert tab.picture.svg().count("data-name") == 2


def test_rows_of_several_data_sets_are_not_compared():
    rows = pd.DataFrame({"data": ["one", "one", "two"], "bits": [1.0, 2.0, 3.0], "top1": [50.0, 60.0, 99.0]})
    tab = trade_off(rows)
    assert tab.values.value == ("one",)
    assert tab.picture.svg().count("data-name") == 2
    tab.values.value = ()
    assert "tick a value" in tab.picture.svg()
    tab.only.value = ""
    assert tab.picture.svg().count("data-name") == 3


def test_other_columns_are_offered_with_other_rows(rows):
    tab = trade_off(rows)
    tab.take(pd.DataFrame({"mine": [1.0, 2.0], "top5": [3.0, 4.0]}))
    assert (tab.x.value, tab.y.value, tab.colour.value) == ("mine", "top5", "")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame({"mine": [1.0, 2.0]}), "two columns of numbers"),
        (pd.DataFrame(), "two columns of numbers"),
        (pd.DataFrame({"x": [], "y": []}, dtype=float), "two columns of numbers"),
        (5, "not int"),
        ("nowhere", "nowhere is not a folder"),
    ],
)
def test_what_is_no_table_of_a_trade_off_is_refused(table, said):
    with pytest.raises(InputError, match=said):
        trade_off(table)


def test_a_folder_that_cannot_be_drawn_says_so_and_another_one_follows(tmp_path):
    tab = trade_off()
    first = tab.folder.value
    tab.folder.options = {"results": first, "empty": tmp_path}
    tab.folder.value = tmp_path
    assert "two columns of numbers" in tab.picture.svg()
    tab.folder.value = first
    assert tab.picture.svg().count("data-name") > 100


def test_simulated_networks_are_drawn_by_latency_and_energy():
    tab = trade_off(folders()["results/hardware/as_published"])
    chosen = (tab.x.value, tab.y.value, tab.colour.value, tab.facet.value, tab.best.value)
    assert chosen == ("latency_ms", "energy_pj", "accelerator", "network", "bottom left")


def test_a_path_in_the_code_is_one_from_where_it_runs(monkeypatch, tmp_path):
    path = folders()["results/calibration"]
    monkeypatch.chdir(path.parents[1] / "notebooks")
    assert '"../results/calibration"' in Source.of(path).code
    monkeypatch.chdir(tmp_path)
    assert len(run(Source.of(path).code.replace("table", "import swis; table", 1))["table"]) > 100
