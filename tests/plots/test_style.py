"""Figures have one style: colours that print without colour, sizes of paper, names as people write them."""

from itertools import pairwise

import matplotlib
import pytest
from matplotlib.figure import Figure

from swis.formats.registry import formats
from swis.options.conf_files import accelerator_names
from swis.plots.names import design_name, format_name, label_of
from swis.plots.style import (
    FAINT,
    INK,
    PAGE,
    PALETTE,
    SHADE,
    SWIS,
    beside,
    colours_of_designs,
    looks_of,
    new_figure,
    one_legend,
    real_ticks,
    style,
)


def lightness(colour):
    """CIE L* of a colour, 0 to 100: what is left of it in a print without colours."""
    parts = matplotlib.colors.to_rgb(colour)
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return (
        116 * sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) ** (1 / 3) - 16
    )


def saturation(colour):
    return matplotlib.colors.rgb_to_hsv(matplotlib.colors.to_rgb(colour))[1]


def test_swis_is_the_strongest_and_what_it_is_compared_with_is_grey():
    looks = looks_of(["swis", "swis_c", "uniform", "round", "truncate"])
    assert looks["swis"].width == max(look.width for look in looks.values())
    assert all(saturation(looks[name].colour) > 0.5 for name in ("swis", "swis_c"))
    assert all(saturation(looks[name].colour) == 0 for name in ("uniform", "round", "truncate"))


def test_formats_differ_without_colours():
    looks = looks_of(formats()).values()
    tones = [lightness(look.colour) for look in looks_of(["swis", "uniform", "round", "truncate"]).values()]
    assert all(later - earlier > 10 for earlier, later in pairwise(tones))
    assert len({look.marker for look in looks}) == len(looks)


def test_the_palette_begins_with_swis_and_repeats_nothing():
    assert PALETTE[0] == SWIS
    assert len(set(PALETTE)) == len(PALETTE) == 10
    assert lightness(INK) < 20 < 85 < lightness(FAINT) < lightness(SHADE)


def test_designs_of_a_user_s_are_grey():
    colours = colours_of_designs(["swis_ss", "swis_ds", "stripes", "mine"])
    assert [saturation(colour) > 0 for colour in colours.values()] == [True, True, False, False]
    assert len(set(colours.values())) == 4


@pytest.mark.parametrize("method", formats())
def test_a_format_is_not_called_as_in_code(method):
    assert "_" not in label_of(method)
    assert format_name(method, 2.0).endswith(("N = 2", "3 bits")) == formats()[method].has_shifts


def test_designs_are_not_called_as_in_code():
    names = [design_name(name) for name in accelerator_names()]
    assert len(set(names)) == len(names)
    assert not any("_" in name for name in names)


def test_the_style_is_that_of_all_figures_and_leaves_no_trace():
    before = matplotlib.rcParams["font.size"]
    with matplotlib.rc_context({"axes.spines.top": True, "lines.linewidth": 9}), style():
        assert matplotlib.rcParams["lines.linewidth"] < 2
        assert not matplotlib.rcParams["axes.spines.top"]
    assert matplotlib.rcParams["font.size"] == before
    assert new_figure(3.0).get_size_inches().tolist() == [PAGE, 3.0]


def test_a_legend_has_every_label_once_and_formats_first():
    figure = Figure()
    first, second = figure.subplots(1, 2)
    for axes in (first, second):
        for label in ("float", "front", "uniform", "SWIS"):
            axes.plot([0, 1], [0, 1], label=label)
    one_legend(figure, (first, second))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["SWIS", "uniform", "float", "front"]


def test_ticks_are_where_asked_and_nowhere_else():
    axes = Figure().subplots()
    axes.set(xscale="log", xlim=(1, 100))
    real_ticks(axes, "x", (2, 5, 30))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "5", "30"]
    assert len(axes.xaxis.get_minorticklocs()) == 0


def test_a_text_beside_a_point_takes_no_room():
    axes = Figure().subplots()
    beside("name", (0.5, 0.5), (6, 0), axes, INK, "left")
    assert axes.texts[0].get_text() == "name"
    assert not axes.texts[0].get_in_layout()
