"""Rows of large sweeps: compacted, by several processes and killed ones, without one that is ever missing."""

import json
import random
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import row
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import PROCESSES

import swis
from swis.results import compaction, line_files, records, store
from swis.results.store import Store


def simple(folder) -> Store:
    """A store without any checks, of lines with a name and a number."""
    return Store(folder, "name", lambda table: table, lambda table: {}, ("place",), ("name",))


def put(lines: Store, name: str, number: int = 0) -> None:
    pq.write_table(pa.table({"name": [name], "number": [number]}), lines.path(name))


def numbers(lines: Store) -> dict[str, int]:
    found = lines.scan().lines
    names, values = (found[column].to_pylist() for column in ("name", "number"))
    assert len(set(names)) == len(names)
    return dict(zip(names, values, strict=True))


def written(folder: Path, count: int, **changes) -> list[str]:
    """Write rows that differ in their keys alone, quickly."""
    records.write_row(row("00", **changes), folder)
    one = pq.read_table(folder / "00.parquet")
    keys = [f"{number:02}" for number in range(count)]
    for key in keys:
        pq.write_table(one.set_column(0, "key", pa.array([key])), folder / f"{key}.parquet")
    return keys


def test_compacted_rows_are_the_same_rows(tmp_path):
    records.write_row(row("a", method="float", bits=None, group_size=None, alpha=None), tmp_path)
    records.write_row(row("b", bits=3, retrain="{}"), tmp_path)
    records.write_row(row("c", status="failed", error="Traceback\nhere", top1=None), tmp_path)
    path = tmp_path / "b.parquet"
    pd.read_parquet(path).drop(columns="selection").to_parquet(path)  # an older row
    table, one = swis.load_table(tmp_path), records.read_row("b", tmp_path)
    records.compact(tmp_path)
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == ["rows"]
    pd.testing.assert_frame_equal(swis.load_table(tmp_path), table)
    pd.testing.assert_frame_equal(records.read_row("b", tmp_path), one)
    assert records.read_row("c", tmp_path) is None
    assert records.read_row("d", tmp_path) is None
    assert list(pd.read_parquet(tmp_path)) == list(records.COLUMNS)
    before = list(tmp_path.iterdir())
    records.compact(tmp_path)  # there is nothing to do
    assert list(tmp_path.iterdir()) == before


def test_a_single_row_counts_before_a_compacted_one_and_a_failed_one_never(tmp_path):
    records.write_row(row("a", top1=1.0), tmp_path)
    records.write_row(row("b", status="failed", error="Traceback", top1=None), tmp_path)
    records.compact(tmp_path)
    records.write_row(row("a", top1=2.0), tmp_path)
    records.write_row(row("b", top1=3.0), tmp_path)
    for _ in range(2):
        assert swis.load_table(tmp_path)["top1"].tolist() == [2, 3]
        assert [records.read_row(key, tmp_path)["top1"].item() for key in "ab"] == [2, 3]
        records.compact(tmp_path)
    # a failure that another process wrote, seeing no row yet
    failed = pd.read_parquet(next(tmp_path.glob("rows-*"))).query("key == 'a'").assign(status="failed")
    failed.to_parquet(tmp_path / "a.parquet", index=False)
    for _ in range(2):
        assert swis.load_table(tmp_path)["top1"].tolist() == [2, 3]
        assert records.read_row("a", tmp_path)["top1"].item() == 2
        records.compact(tmp_path)


def test_of_two_compacted_rows_the_one_written_last_counts(tmp_path):
    """Two compactions at a time can leave both."""
    table = records.write_row(row(), tmp_path)
    for name, created, top1 in (("1", "2026-01-02", 2.0), ("2", "2026-01-01", 1.0)):
        table.assign(created=created, top1=top1).to_parquet(tmp_path / f"rows-{name}.parquet", index=False)
    (tmp_path / "k.parquet").unlink()
    for _ in range(2):
        assert swis.load_table(tmp_path)["top1"].tolist() == [2]
        assert records.read_row("k", tmp_path)["top1"].item() == 2
        records.compact(tmp_path)


def test_a_compacted_file_is_indexed_once(tmp_path, monkeypatch):
    keys = written(tmp_path, 20)
    records.compact(tmp_path)
    read, original = [], pq.ParquetFile.read
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *a, **k: read.append(a) or original(*a, **k))
    for key in keys:
        assert records.read_row(key, tmp_path)["key"].item() == key
    assert len(read) == 1


def test_lines_of_hardware_come_in_the_order_of_rows_then_accelerators(tmp_path):
    for key in "ab":
        records.write_row(row(key), tmp_path)
    for key, name, facts in (("b", "x", 1), ("a", "y", 2), ("a", "x", 3), ("b", "x", 0), ("z", "x", 0)):
        said = {"version": records.HARDWARE_VERSION, "number": facts}
        records.write_hardware({"accelerator": name, "area": facts / 2}, said, {}, key, tmp_path)
    records.write_row(row("c"), tmp_path)
    for _ in range(2):
        table = swis.load_table(tmp_path)
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
        records.compact(tmp_path)


@pytest.mark.parametrize("damage", ["torn", "a changed byte", "another version", "no name"])
def test_a_damaged_compacted_file_is_set_aside_whole(tmp_path, caplog, damage):
    written(tmp_path, 30)
    records.compact(tmp_path)
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
    assert swis.load_table(tmp_path)["key"].tolist() == ["other"]
    assert f"1 of the files in {tmp_path} left out, the first: {path} " in caplog.text
    assert records.read_row("07", tmp_path) is None
    assert records.read_row("other", tmp_path) is not None
    assert (tmp_path / "_set_aside" / path.name).exists()
    assert not path.exists()


@pytest.mark.parametrize("reader", ["scan", "find"])
def test_compactions_at_every_step_of_a_reader_hide_nothing(tmp_path, monkeypatch, reader):
    """One before the first ten listings and openings of files, then one before each of them in turn."""
    expected, at, calls = {}, 0, 1
    while at <= calls:
        folder = tmp_path / str(at)
        folder.mkdir()
        lines = simple(folder)
        for number in range(4):
            put(lines, f"n{number}", number)
            if number == 1:
                compaction.merge(lines)
        expected, calls = {f"n{number}": number for number in range(4)}, 0
        busy = False

        def meanwhile(original, at=at, lines=lines):
            def wrapped(*arguments, **named):
                nonlocal calls, busy
                if not busy:
                    busy = True
                    calls += 1
                    if calls == at or (at == 0 and calls <= 10):
                        put(lines, "new")  # so that there is something to merge
                        compaction.merge(lines)
                    busy = False
                return original(*arguments, **named)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(store, "_listed", meanwhile(store._listed))
            patch.setattr(line_files, "_open", meanwhile(line_files._open))
            if reader == "scan":
                assert expected.items() <= numbers(lines).items(), at
            else:
                for name, number in expected.items():
                    assert next(lines.find(name))["number"].to_pylist()[-1] == number, at
        at += 1
    assert calls > 6


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_the_last_line_written_counts_whenever_there_are_compactions(tmp_path_factory, written):
    lines = simple(tmp_path_factory.mktemp("lines"))
    expected = {}
    for number, (name, merges) in enumerate(written):
        put(lines, name, number)
        expected[name] = number
        if merges:
            compaction.merge(lines)
    if written:
        assert numbers(lines) == expected


def keep_writing(folder: Path, name: str, stop) -> None:
    number = 0
    while not stop.is_set() or number < 10:
        records.write_row(row(f"{name}{number % 10}", seed=number), folder)
        number += 1


def keep_compacting(folder: Path, stop) -> None:
    while not stop.is_set():
        records.compact(folder)


def test_two_write_and_two_compact_while_one_reads(tmp_path, caplog):
    keys, stop = written(tmp_path, 30), PROCESSES.Event()
    writers = [PROCESSES.Process(target=keep_writing, args=(tmp_path, name, stop)) for name in "xy"]
    compacting = [PROCESSES.Process(target=keep_compacting, args=(tmp_path, stop)) for _ in range(2)]
    for process in (*writers, *compacting):
        process.start()
    end = time.monotonic() + 2
    known = set(keys)
    while time.monotonic() < end:
        seen = swis.load_table(tmp_path)["key"]
        assert known <= set(seen)
        assert seen.is_unique
        known = set(seen)
        for key in random.sample(sorted(known), 5):
            assert records.read_row(key, tmp_path) is not None, key
    stop.set()
    for process in (*writers, *compacting):
        process.join()
        assert process.exitcode == 0
    records.compact(tmp_path)
    assert set(swis.load_table(tmp_path)["key"]) == {
        *keys,
        *(f"{name}{n}" for name in "xy" for n in range(10)),
    }
    assert not caplog.messages
