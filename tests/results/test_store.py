"""Rows of large sweeps: several processes write, compact and read them, and no row is ever missing."""

import json
import random
import threading
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import row
from processes import PROCESSES

import swis
from swis.errors import CannotWrite
from swis.results import compaction, parquet_files, records, store
from swis.results.compaction import compact
from swis.results.store import Store


def simple(folder) -> Store:
    """Return a store of rows with a name and a number, without any checks."""
    return Store(folder, "name", ("name",), conform=lambda table: table)


def put(rows: Store, name: str, number: int = 0) -> None:
    """Write a row without a lock, as on a file system that cannot lock files."""
    pq.write_table(pa.table({"name": [name], "number": [number]}), rows.path(name))


def numbers(rows: Store) -> dict[str, int]:
    found = rows.scan().rows
    names, values = (found[column].to_pylist() for column in ("name", "number"))
    assert len(set(names)) == len(names)
    return dict(zip(names, values, strict=True))


def written(folder: Path, count: int, **changes) -> list[str]:
    """Write rows that differ only in their keys, quickly."""
    records.write_row(row("00", **changes), folder)
    one = pq.read_table(folder / "00.parquet")
    place = one.column_names.index("key")
    keys = [f"{number:02}" for number in range(count)]
    for key in keys:
        pq.write_table(one.set_column(place, "key", pa.array([key])), folder / f"{key}.parquet")
    return keys


def test_compacted_rows_are_the_same_rows(tmp_path):
    records.write_row(row("a", method="float", bits=None, group_size=None, alpha=None), tmp_path)
    records.write_row(row("b", bits=3, retrain="{}"), tmp_path)
    records.write_row(row("c", status="failed", error="Traceback\nhere", top1=None), tmp_path)
    path = tmp_path / "b.parquet"
    pd.read_parquet(path).drop(columns="selection").to_parquet(path)  # an older row
    table, one = swis.load_table(tmp_path, "all"), records.read_row("b", tmp_path)
    compact(tmp_path)
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["rows"]
    pd.testing.assert_frame_equal(swis.load_table(tmp_path, "all"), table)
    pd.testing.assert_frame_equal(records.read_row("b", tmp_path), one)
    assert records.read_row("c", tmp_path) is None
    assert records.read_row("d", tmp_path) is None
    assert list(pd.read_parquet(tmp_path)) == list(records.COLUMNS)
    before = list(tmp_path.iterdir())
    compact(tmp_path)  # nothing is left to do
    assert list(tmp_path.iterdir()) == before


def test_a_single_row_replaces_a_compacted_one_unless_it_failed(tmp_path):
    records.write_row(row("a", top1=1.0), tmp_path)
    records.write_row(row("b", status="failed", error="Traceback", top1=None), tmp_path)
    compact(tmp_path)
    records.write_row(row("a", top1=2.0), tmp_path)
    records.write_row(row("b", top1=3.0), tmp_path)
    for _ in range(2):
        assert swis.load_table(tmp_path)["top1"].tolist() == [2, 3]
        assert [records.read_row(key, tmp_path)["top1"].item() for key in "ab"] == [2, 3]
        compact(tmp_path)
    # another process, which saw no row yet, wrote a failed one
    failed = pd.read_parquet(next(tmp_path.glob("rows-*"))).query("key == 'a'").assign(status="failed")
    failed.to_parquet(tmp_path / "a.parquet", index=False)
    for _ in range(2):
        assert swis.load_table(tmp_path)["top1"].tolist() == [2, 3]
        assert records.read_row("a", tmp_path)["top1"].item() == 2
        compact(tmp_path)


def test_the_newest_of_two_compacted_rows_counts(tmp_path):
    """A compaction that is killed before it deletes the merged files leaves both."""
    table = records.write_row(row(), tmp_path)
    for name, top1 in (("1", 1.0), ("2", 2.0)):
        table.assign(top1=top1).to_parquet(tmp_path / f"rows-{name}.parquet", index=False)
    (tmp_path / "k.parquet").unlink()
    for _ in range(2):
        assert swis.load_table(tmp_path)["top1"].tolist() == [2]
        assert records.read_row("k", tmp_path)["top1"].item() == 2
        compact(tmp_path)


def test_a_compacted_file_is_indexed_once(tmp_path, monkeypatch):
    keys = written(tmp_path, 20)
    compact(tmp_path)
    read, original = [], pq.ParquetFile.read
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *a, **k: read.append(a) or original(*a, **k))
    for key in keys:
        assert records.read_row(key, tmp_path)["key"].item() == key
    assert len(read) == 1


def test_hardware_results_are_sorted_by_row_and_accelerator(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "_BATCH", 2)
    for key in "ab":
        records.write_row(row(key), tmp_path)
    for key, name, facts in (("b", "x", 1), ("a", "y", 2), ("a", "x", 3), ("b", "x", 0), ("z", "x", 0)):
        identity = {"version": records.HARDWARE_VERSION, "number": facts}
        records.write_hardware({"accelerator": name, "area": facts / 2}, identity, {}, key, tmp_path)
    records.write_row(row("c"), tmp_path)
    for _ in range(2):
        table = swis.load_table(tmp_path, "all")
        found = table[["key", "accelerator", "area"]].astype(object).where(table.notna(), None)
        assert found.to_numpy().tolist() == [
            ["a", "x", 1.5],
            ["a", "y", 1.0],
            ["b", "x", 0.0],
            ["b", "x", 0.5],
            ["c", None, None],
        ]
        assert table["hardware"].dtype == "str"
        assert json.loads(table["hardware"][0])["number"] == 3
        compact(tmp_path)


@pytest.mark.parametrize("damage", ["torn", "a changed byte", "another version", "no name"])
def test_a_damaged_compacted_file_is_set_aside_whole(tmp_path, caplog, damage):
    written(tmp_path, 30)
    compact(tmp_path)
    records.write_row(row("other"), tmp_path)
    (path,) = tmp_path.glob("rows-*")
    whole = path.read_bytes()
    if damage == "torn":
        path.write_bytes(whole[:-100])
    elif damage == "a changed byte":
        middle = whole.index(b"fashion_mnist")
        path.write_bytes(whole[:middle] + b"fashion_mnits" + whole[middle + 13 :])
    elif damage == "another version":
        pd.read_parquet(path).assign(schema_version=99).to_parquet(path)
    elif damage == "no name":
        pd.read_parquet(path).drop(columns="key").to_parquet(path)
    assert swis.load_table(tmp_path, "all")["key"].tolist() == ["other"]
    assert f"files left out of {tmp_path}: 1; the first is {path}, which " in caplog.text
    assert records.read_row("07", tmp_path) is None
    assert records.read_row("other", tmp_path) is not None
    assert (tmp_path / "_set_aside" / path.name).exists()
    assert not path.exists()


@pytest.mark.parametrize("reader", ["scan", "find"])
def test_a_compaction_at_any_step_of_a_reader_hides_nothing(tmp_path, monkeypatch, reader):
    """A compaction runs before each listing or opening of files in turn, then before all of the first ten."""
    expected, at, calls = {f"n{number}": number for number in range(4)}, 0, 1
    while at <= calls:
        rows = simple(tmp_path / str(at))
        rows.folder.mkdir()
        for number in range(4):
            put(rows, f"n{number}", number)
            if number == 1:
                compaction.merge(rows)
        calls, busy = 0, False

        def meanwhile(original, at=at, rows=rows):
            def wrapped(*arguments, **named):
                nonlocal calls, busy
                if not busy:
                    busy = True
                    calls += 1
                    if calls == at or (at == 0 and calls <= 10):
                        put(rows, "new")  # so that the compaction has files to merge
                        compaction.merge(rows)
                    busy = False
                return original(*arguments, **named)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(store, "_listed", meanwhile(store._listed))
            patch.setattr(parquet_files, "_open", meanwhile(parquet_files._open))
            if reader == "scan":
                assert expected.items() <= numbers(rows).items(), at
            else:
                for name, number in expected.items():
                    assert next(rows.find(name))["number"].to_pylist() == [number], at
        at += 1
    assert calls > 5


def test_a_write_waits_for_a_compaction(tmp_path):
    rows = simple(tmp_path)
    row = pd.DataFrame({"name": ["a"], "number": [1]})
    thread = threading.Thread(target=rows.write, args=("a", row))
    with rows.locked() as held:
        assert held
        thread.start()
        thread.join(0.2)
        assert not rows.path("a").exists()
    thread.join(60)
    assert numbers(rows) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_without_locks_rows_are_written_but_not_compacted(tmp_path):
    (tmp_path / "_writing.lock").mkdir()
    records.write_row(row(), tmp_path)
    with pytest.raises(CannotWrite, match="cannot be compacted: its file system cannot lock files"):
        compact(tmp_path)
    assert records.read_row("k", tmp_path) is not None


def keep_writing(folder: Path, name: str, stop) -> None:
    number = 0
    while not stop.is_set() or number < 10:
        records.write_row(row(f"{name}{number % 10}", seed=number), folder)
        number += 1


def keep_compacting(folder: Path, stop) -> None:
    while not stop.is_set():
        compact(folder)


def test_two_processes_write_and_two_compact_while_one_reads(tmp_path, caplog):
    keys, stop = written(tmp_path, 30), PROCESSES.Event()
    writers = [PROCESSES.Process(target=keep_writing, args=(tmp_path, name, stop)) for name in "xy"]
    compacting = [PROCESSES.Process(target=keep_compacting, args=(tmp_path, stop)) for _ in range(2)]
    for process in (*writers, *compacting):
        process.start()
    end = time.monotonic() + 2
    known = set(keys)
    while time.monotonic() < end:
        seen = swis.load_table(tmp_path, "all")["key"]
        assert known <= set(seen)
        assert seen.is_unique
        known = set(seen)
        for key in random.sample(sorted(known), 5):
            assert records.read_row(key, tmp_path) is not None, key
    stop.set()
    for process in (*writers, *compacting):
        process.join()
        assert process.exitcode == 0
    compact(tmp_path)
    assert set(swis.load_table(tmp_path, "all")["key"]) == {
        *keys,
        *(f"{name}{n}" for name in "xy" for n in range(10)),
    }
    assert not caplog.messages
