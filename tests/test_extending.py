"""The examples of the how-to pages, run in a copy of the repository; and a format of another package."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
import yaml
from conftest import ROOT, TINY, TINY_INPUTS
from PIL import Image

from swis.formats import registry
from swis.networks.models import new_network, save_checkpoint
from swis.options.model import ModelConfig
from swis.packing.file import load_packed


def block(page: str, language: str, after: str = "") -> str:
    text = (ROOT / "docs" / "how_to" / f"{page}.md").read_text()
    return re.search(rf"{re.escape(after)}.*?^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1]


# Code that runs in the same process after the page's command: an array for consecutive shift sets asks the
# format whether its sets are consecutive, and otherwise takes all bits.
ASKED = """
import runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as stop:
    if stop.code:
        raise
from swis.formats.registry import weight_format
from swis.hardware.accelerator import Accelerator
from swis.hardware.layer_shapes import Layer
from swis.hardware.operands import operands_of
layer = Layer("fc", 64, 8, 1, 1, 1, 1, 1, 1)
array = Accelerator(name="c", consecutive_sets=True)
forms = [weight_format(name, 3) for name in ("swis_gap", "swis_c")]
print("asked:", [array.work(layer, operands_of(layer, form, None, False)).steps for form in forms])
"""


def test_a_model_an_accelerator_and_a_format_are_added_as_the_pages_say(tmp_path):
    for name in ("swis", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run.py", tmp_path)
    model = yaml.safe_load(block("own_network", "yaml"))
    network = new_network(ModelConfig(label="small", name=model["name"]), 10, TINY_INPUTS, seed=0)
    save_checkpoint(network, tmp_path / model["weights"], {"data": "fashion_mnist"})
    (tmp_path / "conf/model/small.yaml").write_text(block("own_network", "yaml"))
    (tmp_path / "conf/accelerator/wide.yaml").write_text(block("own_accelerator", "yaml"))
    (tmp_path / "swis/formats/swis_gap.py").write_text(block("own_format", "python", "## In the suite"))
    arguments = [
        *block("own_format", "text", "## In the suite").split()[2:],
        "data.limit=64",
        "calibration.images=16",
    ]
    done = subprocess.run(
        [
            *(sys.executable, "-c", f"import sys; sys.argv[0] = 'run.py'\n{ASKED}"),
            *(*arguments, "results_dir=runs"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(tmp_path / "runs").set_index("method")
    assert {"swis", "swis_gap"} <= set(rows.index)
    assert (rows["model"] == "small").all()
    assert rows.at["swis", "logit_sqnr_db"] > rows.at["swis_gap", "logit_sqnr_db"]  # swis_gap has fewer sets
    assert "one image on wide" in done.stdout
    assert f"asked: {[7 * 16, 3 * 16]}" in done.stdout, done.stderr


def test_a_figure_is_added_as_the_page_says(tmp_path):
    for name in ("swis", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "calibration").symlink_to(ROOT / "results" / "calibration")
    (tmp_path / "swis/gallery/two_formats.py").write_text(block("own_figure", "python", "## In the suite"))
    done = subprocess.run(
        [sys.executable, "-m", "swis.gallery", "two_formats"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "results" / "figures" / "two_formats.png") as drawn:
        assert drawn.width == 2160
    assert (tmp_path / "results" / "figures" / "two_formats.pdf").stat().st_size > 5000


# A format with digits -1, 0 and 1 for a group's exponents: its levels are not sums of a set's powers of two.
SIGNED = """
from dataclasses import dataclass
from itertools import combinations, product
from typing import ClassVar

from swis.formats.weight_format import WeightFormat


@dataclass(frozen=True)
class Signed(WeightFormat):
    largest: int = 127

    name: ClassVar[str] = "signed"
    grouped: ClassVar[bool] = True

    def level_sets(self):
        sets = combinations(range(self.magnitude_bits), self.shifts)
        return tuple(self._levels(exponents) for exponents in sets)

    def _levels(self, exponents):
        digits = product((-1, 0, 1), repeat=len(exponents))
        values = {sum(d << e for d, e in zip(some, exponents)) for some in digits}
        return tuple(sorted(value for value in values if 0 <= value <= self.largest))
"""


@pytest.fixture
def signed(tmp_path, monkeypatch):
    """Make a package with that format that looks installed to Python."""
    known = registry.formats()
    package, about = tmp_path / "lib", tmp_path / "lib" / "signed-1.0.dist-info"
    about.mkdir(parents=True)
    (package / "signed_digits.py").write_text(SIGNED)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: signed\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[swis.formats]\nsigned = signed_digits:Signed\n")
    monkeypatch.syspath_prepend(package)
    monkeypatch.setattr(registry, "_FORMATS", known)
    registry._load.cache_clear()
    yield "signed"
    sys.modules.pop("signed_digits", None)


def test_a_format_of_another_package_goes_through_all_tasks(signed, tmp_path, tiny_checkpoint, command_line):
    few = ["data.limit=48", "data.workers=0", "results_dir=runs"]
    network = ["model=timm", f"model.name={TINY}", f"model.weights={tiny_checkpoint}"]

    def run(*arguments):
        done = command_line(*network, *few, "calibration.images=24", "methods=[swis,signed]", *arguments)
        assert done.status == 0, done.err
        return done.out

    quick = ["calibration.rounds=1", "calibration.scales=[0.9,1.0]"]
    run("bits=2", "calibrate=none,stats,output_aware", *quick, "--multirun")
    run("bits=2", "calibrate=reconstruct", "reconstruction.steps=8", *quick)
    run("bits=2.5", "schedule=greedy", "schedule.budget_unit=storage")
    run("task=retrain", "retrain.images=16", "retrain.epochs=1", "retrain.batch_size=8")
    rows = pd.read_parquet(tmp_path / "runs")
    assert (rows["status"] == "ok").all()
    mine, swis = (rows[rows["method"] == name] for name in (signed, "swis"))
    assert len(mine) == len(swis) == 6
    plain = "calibrate == 'none' and schedule == 'uniform' and training.isna()"
    one, other = mine.query(plain).iloc[0], swis.query(plain).iloc[0]
    assert one["mse_plus_plus"] < other["mse_plus_plus"]  # more levels with the same number of shifts
    assert one["cycles_per_weight"] == other["cycles_per_weight"] == 2
    # 5 bits for 21 sets and 3 bits for 5 levels; SWIS has 2 x 3 bits for the set and 2 bits for 4 levels
    assert one["weight_bits"] - other["weight_bits"] == pytest.approx(1 - 1 / 4, abs=0.02)

    packed = ["bits=2.5", "schedule=greedy", "schedule.budget_unit=storage", "task=pack", "coding=compact"]
    run("methods=[signed]", *packed, "out=packed.safetensors")
    done = command_line("weights=packed.safetensors", *few[:-1], "results_dir=packed")
    assert done.status == 0, done.err
    (before,) = mine.loc[mine["schedule"] == "greedy", "correct"]
    assert pd.read_parquet(tmp_path / "packed")["correct"].item() == before
    fmt = load_packed(tmp_path / "packed.safetensors").fmt
    assert (fmt.name, fmt.largest) == (signed, 127)

    run("task=simulate", "accelerator=swis_ss", "versus=[stripes]", "bits=2", "out=array.parquet")
    array = pd.read_parquet(tmp_path / "array.parquet").query("accelerator == 'swis_ss'")
    cycles = array.groupby("method")["compute_cycles"].sum()
    # two shifts instead of seven; its weights take more bits, so the array waits a little longer for them
    assert cycles[signed] == pytest.approx(cycles["swis"], rel=0.01)
    assert cycles[signed] < 0.6 * cycles["int8"]


def test_a_format_that_is_not_installed_is_unknown(command_line):
    done = command_line("methods=[signed]")
    assert done.status == 2
    assert (
        "must be one of swis, swis_c, truncate, round, uniform, swis_signed, uniform_group, not signed"
        in done.err
    )
