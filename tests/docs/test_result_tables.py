"""The tables of the documentation: each has rows and fits a page, and the rows behind it are clean."""

from inspect import getmodule

import pandas as pd
import pytest
from conftest import ROOT

import swis
from docs.extension.registry import tables
from swis.results.records import load_simulated, load_storage

RESULTS = ROOT / "results"
# Lists of everything there is are as long as what there is.
LISTS = ("docs.tables.reference", "docs.tables.constants")


@pytest.mark.parametrize("name", tables())
def test_a_table_has_rows_and_fits_a_page(name):
    make = tables()[name].make
    table = make(RESULTS)
    assert len(table), name
    assert len(table.columns), name
    assert not table.isna().all().any(), "a column without a value"
    assert table.index.is_unique, "two rows of the same name"
    if getmodule(make).__name__ not in LISTS:
        assert len(table) <= 20
        assert len(table.columns) + table.index.nlevels <= 8


FOLDERS = ["calibration", "first_table", "joint_selection", "lite0_per_tensor", "retrain", "retrain_ablation"]
FOLDERS += ["retrain_quick", "retrain_stats", "scheduling", "formats", "rate", "scheduling_calibrated"]
FOLDERS += ["ablation", "rate_logits"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_rows_are_of_committed_code(folder):
    rows = swis.load_table(RESULTS / folder, "all")
    assert len(rows)
    assert not rows["git_dirty"].any()
    assert (rows["status"] == "ok").all()


@pytest.mark.parametrize("folder", ["as_published", "bandwidth", "equal_area", "layers"])
def test_simulated_lines_are_of_committed_code(folder):
    lines = load_simulated(RESULTS / "hardware" / folder)
    assert len(lines)
    assert not lines["git_dirty"].any()


def test_storage_is_of_committed_code():
    assert not load_storage(RESULTS / "storage")["git_dirty"].any()


@pytest.mark.parametrize(
    "folder, data, images",
    [
        ("calibration", "fashion_mnist", 10_000),
        ("calibration", "imagenet", 500),
        ("first_table", "fashion_mnist", 10_000),
        ("joint_selection", "imagenet", 500),
        ("lite0_per_tensor", "imagenet", 500),
        ("retrain", "fashion_mnist", 10_000),
        ("retrain", "image_folder", 10_000),
        ("retrain", "imagenet", 500),
        ("retrain_ablation", "fashion_mnist", 10_000),
        ("retrain_quick", "fashion_mnist", 2_000),
        ("retrain_stats", "imagenet", 500),
        ("scheduling", "fashion_mnist", 4_000),
        ("scheduling", "imagenet", 500),
    ],
)
def test_rows_are_of_the_images_that_pages_say(folder, data, images):
    rows = swis.load_table(RESULTS / folder, "all")
    assert rows.loc[rows["data"] == data, "images"].unique().tolist() == [images]


def test_speeds_name_their_command_machine_and_version():
    rows = pd.read_csv(RESULTS / "speed.csv")
    assert rows.notna().all().all()
    for command in rows["benchmark"]:
        assert (ROOT / command.split()[1]).is_file(), command
