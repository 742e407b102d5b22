"""The columns of a table, their order, and the dictionary of their meanings."""

import re

import pytest
from conftest import ROOT
from examples import row

import swis
from swis.errors import InputError
from swis.results import records

UNITS = {
    *("", "%", "x", "dB", "bits", "bits/weight", "steps^2"),
    *("shifts", "shifts/weight", "weights", "filters", "images", "nats", "PEs", "lanes"),
    *("cycles", "cycles/weight", "cycles/MAC", "bits/cycle", "MHz"),
    *("s", "ms", "images/s", "frames/s", "pJ", "pJ/bit", "frames/J", "bytes", "mm2"),
}
FACTS = {"version": records.HARDWARE_VERSION}


@pytest.fixture
def folder(tmp_path):
    """A folder with two rows; the second one has hardware results of two accelerators."""
    records.write_row(row("a", method="float", bits=None, group_size=None, alpha=None), tmp_path)
    records.write_row(row("b"), tmp_path)
    for number, name in enumerate(["swis_ds", "swis_ss"]):
        columns = {"accelerator": name, "latency_ms": 1.5 + number, "speedup_vs_stripes": 2.0}
        records.write_hardware(columns, FACTS | {"number": number}, {}, "b", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["first_table", "scheduling", "calibration"])
def test_every_column_of_a_table_is_in_the_dictionary(name):
    table = swis.load_table(ROOT / "results" / name, "all")
    generic = {re.sub("_vs_(?!int8|float32).*", "_vs_DESIGN", column) for column in table}
    assert generic <= set(swis.columns().index)
    assert set(records.COLUMNS) <= generic


def test_the_dictionary_has_short_meanings_and_known_units():
    known = swis.columns()
    assert known.index.is_unique
    assert set(known["unit"]) == UNITS
    assert known["meaning"].str.fullmatch(r"\S[^\n]{1,80}[^\n.]").all()


def test_a_table_of_results_has_each_row_once_without_hardware(folder):
    table = swis.load_table(folder)
    assert table["method"].tolist() == ["float", "swis"]
    known = swis.columns()
    groups = known.loc[list(table), "group"]
    assert list(groups.unique()) == ["setting", "result"]
    # in the dictionary's order
    assert list(table) == [name for name in known.index if name in table]
    settings = ["model", "weights", "data", "method", "bits", "group_size", "seed", "alpha", "fold_bn"]
    assert list(groups.index[groups == "setting"]) == [*settings, "split", "images"]
    # columns of results are kept even if all are null, columns of settings are not
    assert set(known.index[known["group"] == "result"]) <= set(table)
    assert table["agreement"].isna().all()


def test_columns_of_schedules_are_kept_only_if_a_row_has_them(folder):
    records.write_row(row("c", schedule="optimal", schedule_loss=1.5), folder)
    assert "schedule_loss" in swis.load_table(folder)
    assert "schedule_bound" not in swis.load_table(folder)


def test_all_columns_with_a_row_per_accelerator(folder):
    table = swis.load_table(folder, "all")
    assert list(table)[: len(records.COLUMNS)] == list(records.COLUMNS)
    assert table["key"].tolist() == ["a", "b", "b"]
    assert table["accelerator"].fillna("-").tolist() == ["-", "swis_ds", "swis_ss"]


def test_only_the_named_columns_and_the_accelerator_of_hardware(folder):
    assert swis.load_table(folder, ["top1", "key"]).columns.tolist() == ["top1", "key"]
    assert len(swis.load_table(folder, iter(["top1", "key"]))) == 2
    table = swis.load_table(folder, ["speedup_vs_stripes", "key"])
    assert table.columns.tolist() == ["speedup_vs_stripes", "key", "accelerator"]
    assert len(table) == 3
    assert list(swis.load_table(folder, ["accelerator", "key"])) == ["accelerator", "key"]


def test_hardware_that_no_row_has_is_null(folder, tmp_path):
    assert swis.load_table(folder, ["energy_pj"])["energy_pj"].isna().all()
    records.write_row(row(), tmp_path / "plain")
    table = swis.load_table(tmp_path / "plain", ["top1", "energy_pj", "systolic"])
    assert table.isna().to_numpy().tolist() == [[False, True, True, True]]
    assert table.dtypes.astype(str).tolist() == ["float64", "float64", "boolean", "str"]


def test_an_empty_folder_has_all_columns_of_results(tmp_path):
    known = swis.columns()
    some = known.index[known["group"].isin(["setting", "result", "schedule", "held_out"])]
    assert set(swis.load_table(tmp_path)) == set(some)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            ["top1", "top", "latncy_ms"],
            r"no column top \(similar: top5, top1\), no latncy_ms \(similar: lat",
        ),
        (["compression"], r"no column compression \(similar: compression_vs_int8, "),
        (["speedup_vs_strips"], r"no column speedup_vs_strips \(similar: speedup_vs_stripes\)"),
        (["picture"], r"no column picture; swis\.columns"),
        ("top1", "columns are 'results', 'all' or a list of names, not 'top1'"),
    ],
)
def test_unknown_names_are_refused_and_similar_ones_suggested(folder, asked, message):
    with pytest.raises(InputError, match=message):
        swis.load_table(folder, asked)
