"""The study's figures are drawn from committed rows, in one style, and say what they show."""

import re
from pathlib import Path

import pytest
from conftest import ROOT
from matplotlib.figure import Figure
from PIL import Image

from swis import gallery
from swis.gallery import __main__ as program
from swis.gallery.registry import figure, figures
from swis.plots.style import COLUMN, DPI, PAGE, TEXT
from swis.results.records import load_table

RESULTS = ROOT / "results"
COMMITTED = RESULTS / "figures"


def as_committed(name):
    like = {"baseline_dir": str(COMMITTED), "filename": f"{name}.png", "style": "default"}
    return pytest.param(name, marks=pytest.mark.mpl_image_compare(savefig_kwargs={"dpi": DPI}, **like))


@pytest.mark.parametrize("name", [as_committed(name) for name in figures()])
def test_a_figure_is_that_in_results(name):
    return gallery.draw(name, RESULTS)


@pytest.mark.parametrize("name", figures())
def test_a_figure_fits_on_paper_has_a_message_and_units(name):
    drawn = gallery.draw(name, RESULTS)
    assert drawn.get_size_inches()[0] in (COLUMN, PAGE)
    assert drawn.get_size_inches()[1] <= 6.0
    assert drawn.get_suptitle()
    assert len(drawn.legends) <= 1
    for axes in drawn.axes:
        assert axes.has_data() or axes.texts
        for axis in (axes.xaxis, axes.yaxis):
            assert axis.label.get_fontsize() == TEXT
            if numbered(axis):
                assert named(axis, drawn), f"{axes.get_title()} {axis.axis_name}"


def numbered(axis):
    """Whether an axis has numbers at its ticks."""
    shown = (
        axis.axes.axison and axis.get_tick_params()["labelleft" if axis.axis_name == "y" else "labelbottom"]
    )
    return shown and any(
        re.fullmatch(r"[\d.\N{MINUS SIGN}]+", label.get_text()) for label in axis.get_ticklabels()
    )


def named(axis, drawn):
    """Whether an axis has a label, or another one in its row or column has it for all."""
    if axis.axis_name == "y":
        return any(other.get_ylabel() for other in drawn.axes if aligned(axis.axes, other, rows=True))
    return any(other.get_xlabel() for other in drawn.axes if aligned(axis.axes, other, rows=False))


def aligned(one, other, rows):
    spans = [getattr(axes.get_subplotspec(), "rowspan" if rows else "colspan") for axes in (one, other)]
    return one.figure is other.figure and bool(set(spans[0]) & set(spans[1]))


@pytest.mark.parametrize("name", figures())
def test_a_caption_is_a_few_sentences(name):
    caption = figures()[name].caption
    assert 1 <= len(re.split(r"\. (?=[A-Z])", caption)) <= 10
    assert caption.endswith(".")
    assert "  " not in caption


@pytest.mark.parametrize(
    ("name", "folder", "images"),
    [
        ("accuracy", "calibration", ["imagenet", "fashion_mnist"]),
        ("calibration", "calibration", ["imagenet"]),
        ("metric", "lite0_per_tensor", ["imagenet"]),
        ("metric", "joint_selection", ["imagenet"]),
        ("retraining", "retrain", ["imagenet", "fashion_mnist", "image_folder"]),
        ("scheduling", "scheduling", ["imagenet", "fashion_mnist"]),
    ],
)
def test_a_caption_says_on_how_many_images(name, folder, images):
    rows = load_table(RESULTS / folder, ["data", "images"])
    counts = rows.loc[rows["data"].isin(images), "images"].unique()
    assert len(counts)
    for count in counts:
        assert f"{count:,}" in figures()[name].caption


def test_committed_figures_are_of_print_and_small():
    assert {path.stem for path in COMMITTED.glob("*.png")} == set(figures())
    assert {path.stem for path in COMMITTED.glob("*.pdf")} == set(figures())
    for path in COMMITTED.glob("*.png"):
        width = Image.open(path).size[0] / DPI
        assert width in (pytest.approx(COLUMN, abs=0.01), pytest.approx(PAGE, abs=0.01))
    assert sum(path.stat().st_size for path in COMMITTED.glob("*.png")) < 2.5e6
    assert sum(path.stat().st_size for path in COMMITTED.glob("*.pdf")) < 1e6


def test_the_same_rows_make_the_same_files(tmp_path, monkeypatch):
    for folder in ("one", "two"):
        monkeypatch.setattr(program, "RESULTS", tmp_path / folder)
        assert program.main(["metric"]) == 0
    for ending in ("png", "pdf"):
        files = [tmp_path / folder / "figures" / f"metric.{ending}" for folder in ("one", "two")]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert b"CreationDate" not in (tmp_path / "one" / "figures" / "metric.pdf").read_bytes()


def test_a_figure_that_is_not_there_is_one_line(capsys):
    assert program.main(["nothing"]) == 2
    assert capsys.readouterr().err.startswith("error: figure must be one of ablation, accuracy, bits,")


def test_a_registered_figure_is_drawn_in_the_style_and_has_its_caption(monkeypatch):
    monkeypatch.setattr("swis.gallery.registry._FIGURES", known := {})

    caption = """
        What it shows,
        of what data.
    """

    @figure("What it says", caption)
    def draw(results: Path) -> Figure:
        drawn = Figure()
        drawn.subplots().set(title=results.name)
        return drawn

    (mine,) = known.values()
    assert mine.caption == "What it shows, of what data."
    made = mine(Path("here"))
    assert made.get_suptitle() == mine.title == "What it says"
    (axes,) = made.axes
    assert axes.get_title(loc="left") == "here"
    assert not axes.spines["top"].get_visible()
