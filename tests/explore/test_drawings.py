"""Drawings, their numbers, and what notebooks keep of them."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from swis.explore.designs import designs
from swis.explore.drawing import Entry, Plot
from swis.explore.looks import design_looks, format_looks, value_looks
from swis.explore.png import png
from swis.explore.scale import Scale, readable
from swis.explore.tab import Several
from swis.formats.registry import formats


def test_a_saved_dash_is_a_dash():
    plots = [Plot(200, 100, x=Scale(0, 1), y=Scale(0, 1)) for _ in range(2)]
    for plot, dash in zip(plots, ("", "7 3"), strict=True):
        plot.line([(80, 60), (180, 60)], "#ff0000", 2, dash)
    red = [
        sum(
            pixel[0] > 200 > pixel[1]
            for pixel in Image.open(io.BytesIO(png(plot.svg()))).convert("RGB").get_flattened_data()
        )
        for plot in plots
    ]
    assert 0.6 * red[0] < red[1] < 0.8 * red[0]


def test_numbers_are_as_people_write_them():
    values = (1.5e9, 1e6, 999, 0.5, 1e-7, 0, -2500, float("inf"))
    assert [readable(value) for value in values] == [
        "1.5 G",
        "1 M",
        "999",
        "0.5",
        "1·10⁻⁷",
        "0",
        "-2.5 k",
        "-",
    ]
    scales = (Scale(0, 2e9), Scale(1e-5, 1e9, log=True), Scale(1.5e-3, 8e-3, log=True), Scale(1e-9, 3e-9))
    assert not [label for scale in scales for _, label in scale.ticks() if "e" in label]


@pytest.mark.parametrize("scale", [Scale(1.5e-3, 8e-3, log=True), Scale(1_000_000, 1_000_006), Scale(-1, 1)])
def test_no_two_ticks_say_the_same(scale):
    labels = [label for _, label in scale.ticks()]
    assert len(labels) == len(set(labels)) > 1


def test_references_are_grey_and_swis_is_not():
    def grey(colour):
        return len({colour[n : n + 2] for n in (1, 3, 5)}) == 1

    looks = design_looks(designs())
    assert len(set(looks.values())) == len(looks)  # no two alike
    assert [name for name, look in looks.items() if not grey(look.colour)] == [
        "swis_ss",
        "swis_ds",
        "swis_c",
        "swis_signed",
        "swis_signed_ds",
    ]
    known = format_looks(formats())
    assert not grey(known["swis"].colour) and grey(known["truncate"].colour)
    own = value_looks("method", ["mine", "yours", "swis"])
    assert next(iter(own)) == "swis"
    assert len({look.colour for look in own.values()}) == 3


def test_a_legend_is_inside_its_drawing():
    entries = [Entry("#ff0000", f"a name of some length {n}") for n in range(9)]
    plot = Plot(400, 400, x=Scale(0, 1), y=Scale(0, 1), entries=entries)
    assert plot.height - plot.bottom > 100
    lines = [float(part.split('y="')[1].split('"')[0]) for part in plot.parts if "a name of" in part]
    assert plot.height - plot.bottom + 37 < min(lines) and max(lines) <= plot.height


def test_several_options_are_ticked_and_told():
    control, seen = Several("formats", [("one", 1), ("two", 2), ("three", 3)], (2,)), []
    control.observe(lambda change: seen.append(change["new"]), "value")
    control.boxes[0].value = True
    control.value = (3,)
    assert [box.value for box in control.boxes] == [False, False, True]
    control.offer([("four", 4)])
    assert seen == [(1, 2), (3,), ()]


def test_without_its_extra_the_explorer_says_what_to_install():
    code = "import sys; sys.modules['ipywidgets'] = None; import swis.explore"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        'ImportError: swis.explore needs ipywidgets: pip install "swis[notebooks]"'
    )
