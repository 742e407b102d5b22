"""Rows on disk: named by their settings, checked, written atomically, and read into one table."""

import errno
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import ROOT
from examples import row
from scipy.stats import binomtest

import swis
from swis.errors import InputError
from swis.results import provenance as provenance_module
from swis.results import records
from swis.results.artifacts import TENSORS
from swis.results.compaction import compact
from swis.results.tensors import read_tensors, write_tensors


def test_a_row_is_read_with_its_provenance(tmp_path):
    records.write_row(row(), tmp_path)
    back = records.read_row("k", tmp_path).iloc[0].to_dict()
    assert {name: back[name] for name in ("model", "bits", "group_size", "top1")} == {
        "model": "tiny",
        "bits": 2.0,
        "group_size": 4,
        "top1": 50.0,
    }
    assert json.loads(back["packages"])["torch"] == torch.__version__.split("+")[0]
    assert "cores" in back["machine"]
    assert back["schema_version"] == records.SCHEMA_VERSION


def test_the_table_has_every_column_with_its_type(tmp_path):
    records.write_row(row("a", method="float", bits=None, group_size=None, alpha=None), tmp_path)
    records.write_row(row("b", bits=3), tmp_path)
    records.write_row(row("c", status="failed", error="Traceback", top1=None), tmp_path)
    table = swis.load_table(tmp_path, "all")
    assert list(table.columns) == list(records.COLUMNS)
    assert len(table) == 3
    assert table["group_size"].isna().sum() == 1
    assert table["group_size"].dtype == "Int64"
    assert table["top1"].dtype == float
    assert set(table["status"]) == {"ok", "failed"}
    pd.testing.assert_frame_equal(table, swis.load_table(str(tmp_path), "all"))


def test_pandas_reads_the_folder_itself(tmp_path):
    records.write_row(row("a", error=None), tmp_path)
    records.write_row(row("b", error="Traceback", status="failed"), tmp_path)
    write_tensors({"logits": torch.ones(2, 3)}, "a", tmp_path)
    assert len(pd.read_parquet(tmp_path)) == 2


def test_an_empty_folder_is_an_empty_table(tmp_path):
    assert swis.load_table(tmp_path).empty
    with pytest.raises(InputError, match="not a folder"):
        swis.load_table(tmp_path / "nowhere")


def damage(path, kind):
    if kind == "torn":
        path.write_bytes(path.read_bytes()[:1000])
    elif kind == "no parquet":
        path.write_bytes(b"PAR1 and no more")
    elif kind == "another version":
        pd.read_parquet(path).assign(schema_version=99).to_parquet(path)
    elif kind == "unknown column":
        pd.read_parquet(path).assign(colour="blue").to_parquet(path)
    elif kind == "wrong value":
        pd.read_parquet(path).assign(top1=101.0).to_parquet(path)
    elif kind == "wrong type":
        pd.read_parquet(path).assign(top1="half").to_parquet(path)
    elif kind == "missing value":
        pd.read_parquet(path).assign(model=None).to_parquet(path)
    elif kind == "two rows":
        pd.concat([pd.read_parquet(path)] * 2).to_parquet(path, index=False)


DAMAGE = {
    "torn": "cannot be read",
    "no parquet": "cannot be read",
    "another version": "has schema version 99, but this code reads version 1",
    "unknown column": "has unknown columns: colour",
    "wrong value": "has top1=101.0, not in 0..100",
    "wrong type": "cannot be read",
    "missing value": "has no value of model",
    "two rows": "has 2 rows instead of one",
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_row_is_left_out_then_set_aside_and_written_again(tmp_path, caplog, kind):
    for key in ("a", "b"):
        records.write_row(row(key), tmp_path)
    damage(tmp_path / "a.parquet", kind)
    broken = (tmp_path / "a.parquet").read_bytes()
    assert list(swis.load_table(tmp_path, "all")["key"]) == ["b"]
    (warning,) = caplog.messages
    assert warning.startswith(
        f"files left out of {tmp_path}: 1; the first is {tmp_path / 'a.parquet'}, which "
    )
    assert DAMAGE[kind] in warning
    assert warning.endswith(f"python -m swis.results check {tmp_path} lists all")
    caplog.clear()
    assert records.read_row("a", tmp_path) is None
    (warning,) = caplog.messages
    assert DAMAGE[kind] in warning
    assert (tmp_path / "_set_aside" / "a.parquet").read_bytes() == broken
    assert not (tmp_path / "a.parquet").exists()
    records.write_row(row("a"), tmp_path)
    assert records.read_row("a", tmp_path) is not None
    assert len(swis.load_table(tmp_path, "all")) == 2


def test_a_row_without_permission_to_read_is_not_damaged(tmp_path, monkeypatch):
    records.write_row(row(), tmp_path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refuse)
    with pytest.raises(InputError, match=r"k\.parquet cannot be read: Permission denied"):
        records.read_row("k", tmp_path)
    monkeypatch.undo()
    assert records.read_row("k", tmp_path) is not None


def test_a_row_older_than_a_column_has_null_in_it(tmp_path):
    records.write_row(row(), tmp_path)
    path = tmp_path / "k.parquet"
    pd.read_parquet(path).drop(columns="selection").to_parquet(path)
    table = swis.load_table(tmp_path, "all")
    assert table["selection"].isna().all()
    assert list(table.columns) == list(records.COLUMNS)


def test_a_failed_row_is_not_reused(tmp_path):
    records.write_row(row(status="failed", error="Traceback"), tmp_path)
    assert records.read_row("k", tmp_path) is None
    records.write_row(row(), tmp_path)
    assert records.read_row("k", tmp_path)["status"].item() == "ok"


@pytest.mark.parametrize("changes", [{"top1": 101.0}, {"status": "maybe"}, {"model": None}, {"alpha": -1.0}])
def test_a_wrong_value_is_not_written(tmp_path, changes):
    with pytest.raises(records.UnsoundRow):
        records.write_row(row(**changes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_the_old_row_and_no_partial_file(tmp_path, monkeypatch):
    records.write_row(row(top1=10.0), tmp_path)

    def stop(table, path):
        Path(path).write_bytes(b"half a row")
        raise KeyboardInterrupt

    monkeypatch.setattr("swis.results.store.write_table", stop)
    with pytest.raises(KeyboardInterrupt):
        records.write_row(row(top1=20.0), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["k.parquet"]
    assert records.read_row("k", tmp_path)["top1"].item() == 10.0


def test_a_key_depends_on_values_and_schema_version_not_on_order(monkeypatch):
    key = records.row_key({"a": 1, "b": [1, 2]})
    assert key == records.row_key({"b": [1, 2], "a": 1})
    assert key != records.row_key({"a": 1, "b": [2, 1]})
    monkeypatch.setattr("swis.results.schema.SCHEMA_VERSION", 99)
    assert key != records.row_key({"a": 1, "b": [1, 2]})


def test_tensors_are_written_and_read(tmp_path):
    logits = torch.randn(5, 3)
    write_tensors({"logits": logits.T}, "k", tmp_path)
    assert torch.equal(read_tensors("k", tmp_path)["logits"], logits.T)
    assert read_tensors("other", tmp_path) is None
    records.artifact_path("k", tmp_path, TENSORS).write_bytes(b"damaged")
    assert read_tensors("k", tmp_path) is None  # computed again


def test_only_changed_code_sets_git_dirty(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    for name in ("swis/code.py", "results/row"):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("before")
    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    monkeypatch.setattr(provenance_module, "__file__", str(tmp_path / "swis" / "code.py"))
    dirty = []
    for name in ("results/row", "swis/code.py"):
        (tmp_path / name).write_text("after")
        dirty.append(provenance_module.provenance.__wrapped__()["git_dirty"])
    assert dirty == [False, True]


def test_intervals_of_older_rows_are_computed_again(tmp_path):
    """The oldest files have other intervals: these had no width if no image or all images were correct."""
    old = row("old", top1=0.0, images=500, top1_low=0.0, top1_high=0.0)
    records.write_row(old, tmp_path)
    expected = 100 * binomtest(0, 500).proportion_ci(method="wilson").high
    assert records.read_row("old", tmp_path)["top1_high"].item() == pytest.approx(expected)
    failed = row("failed", status="failed", error="Traceback\nhere", top1=None, top1_low=None, top1_high=None)
    records.write_row(failed, tmp_path)
    for _ in range(2):
        table = swis.load_table(tmp_path, "all").set_index("key")
        assert table.loc["old", "top1_high"] == pytest.approx(expected)
        assert table.loc["failed", ["top1_low", "top1_high"]].isna().all()
        compact(tmp_path)
    rows = swis.load_table(ROOT / "results" / "first_table", "all")
    for each in rows.itertuples():
        right = round(each.top1 * each.images / 100)
        ends = binomtest(right, each.images).proportion_ci(method="wilson")
        assert (each.top1_low, each.top1_high) == pytest.approx((100 * ends.low, 100 * ends.high))
