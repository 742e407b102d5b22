"""Rows of large sweeps: compacted, by several processes and killed ones, without one that is ever missing."""

import json
import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import PROCESSES
from test_records import row

import swis
from swis import line_files, records, store, upkeep
from swis.errors import CannotWrite
from swis.store import Store


class Killed(BaseException):
    """What stands for SIGKILL in one process."""


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
    assert list(pd.read_parquet(tmp_path)) == list(records.SCHEMA.columns)
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


def test_compaction_sets_damaged_files_aside(tmp_path, caplog):
    written(tmp_path, 3)
    (tmp_path / "01.parquet").write_bytes(b"torn")
    said = records.compact(tmp_path)
    assert "2 rows: 2 files merged, 1 set aside" in said
    assert "01.parquet" in caplog.text or "01." in caplog.text
    (aside,) = (tmp_path / "_set_aside").iterdir()
    assert aside.read_bytes() == b"torn"
    caplog.clear()
    assert swis.load_table(tmp_path)["key"].tolist() == ["00", "02"]
    assert not caplog.messages


def steps(monkeypatch, before) -> None:
    """Call ``before`` whenever something on disk is about to change."""
    for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "rmdir")):
        original = getattr(owner, name)

        def step(*arguments, original=original, **named):
            before()
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, step)


def test_a_compaction_killed_at_any_step_loses_nothing(tmp_path, monkeypatch):
    """And its next step is the first of another one that is killed."""
    lines, expected, stopped = simple(tmp_path), {}, 0
    for step in range(40):
        put(lines, f"n{step % 5}", step)
        expected[f"n{step % 5}"] = step
        left = [step % 17]

        def count(left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        with monkeypatch.context() as patch:
            steps(patch, count)
            try:
                upkeep.merge(lines)
            except Killed:
                stopped += 1
        assert numbers(lines) == expected
        for name, number in expected.items():
            assert next(lines.find(name))["number"].to_pylist()[-1] == number
    assert 20 < stopped < 40
    upkeep.merge(lines)
    assert numbers(lines) == expected
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_a_reader_sees_every_line_at_every_step_of_a_compaction(tmp_path, monkeypatch):
    lines = simple(tmp_path)
    for number in range(3):
        put(lines, f"n{number}", number)
    upkeep.merge(lines)
    for number in range(2, 6):
        put(lines, f"n{number}", number)
    seen = []

    def look():
        put(lines, "written", len(seen))  # anew, whatever becomes of the one before
        seen.append(numbers(lines))
        assert all(next(lines.find(f"n{number}"), None) for number in range(6))

    with monkeypatch.context() as patch:
        steps(patch, look)
        upkeep.merge(lines)
    assert len(seen) > 8
    same = {f"n{number}": number for number in range(6)}
    assert seen == [same | {"written": number} for number in range(len(seen))]
    upkeep.merge(lines)
    assert numbers(lines) == seen[-1]


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
                upkeep.merge(lines)
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
                        upkeep.merge(lines)
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
            upkeep.merge(lines)
    if written:
        assert numbers(lines) == expected


def test_a_full_disk_stops_a_compaction_without_loss(tmp_path, monkeypatch):
    lines = simple(tmp_path)
    for number in range(4):
        put(lines, f"n{number}", number)

    def refuse(*_):
        raise OSError(28, "full")

    monkeypatch.setattr(upkeep, "write_lines", refuse)
    with pytest.raises(CannotWrite, match=r"rows-\w+\.parquet cannot be written: No space left on device"):
        upkeep.merge(lines)
    monkeypatch.undo()
    assert len(numbers(lines)) == 4
    assert not list(tmp_path.rglob("*.partial"))
    upkeep.merge(lines)
    assert len(numbers(lines)) == 4


def compact_when_ready(folder: Path, ready) -> None:
    ready.set()
    records.compact(folder)


def test_a_compaction_killed_at_random_moments_loses_no_row(tmp_path, caplog):
    keys = written(tmp_path, 30)
    waits, killed, longest = random.Random(0), 0, None
    for attempt in range(6):
        for key in waits.sample(keys, 2):  # some rows are written anew
            records.write_row(row(key, seed=attempt), tmp_path)
        ready = PROCESSES.Event()
        process = PROCESSES.Process(target=compact_when_ready, args=(tmp_path, ready))
        process.start()
        ready.wait()
        start = time.monotonic()
        process.join(None if longest is None else waits.uniform(0, longest))
        longest = longest or time.monotonic() - start
        process.kill()
        process.join()
        killed += process.exitcode != 0
        assert swis.load_table(tmp_path)["key"].tolist() == keys
        assert records.read_row(waits.choice(keys), tmp_path) is not None
    assert killed
    records.compact(tmp_path)
    assert swis.load_table(tmp_path)["key"].tolist() == keys
    assert not (tmp_path / "_compacting").exists()
    assert not caplog.messages


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


def test_the_command_line(tmp_path, capsys):
    written(tmp_path, 6)
    records.write_row(row("9", method="round", bits=3.5, status="failed", error="E"), tmp_path)
    records.write_row(row("8", method="round", bits=2), tmp_path)
    assert records.main(["summary", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert words.startswith("model data method rows ok failed bits last tiny")
    assert "tiny fashion_mnist round 2 1 1 2 to 3.5 20" in words
    assert "tiny fashion_mnist swis 6 6 0 2 20" in words

    assert records.main(["check", str(tmp_path)]) == 0
    assert "8 rows (1 failed) in 8 files" in capsys.readouterr().out
    (tmp_path / "04.parquet").write_bytes(b"torn")
    for name, hours in (("_new.partial", 1), ("_old.partial", 30)):
        (tmp_path / "_references").mkdir(exist_ok=True)
        (tmp_path / "_references" / name).touch()
        then = time.time() - hours * 3600
        os.utime(tmp_path / "_references" / name, (then, then))
    assert records.main(["check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"{tmp_path / '04.parquet'} cannot be read" in out
    assert "1 damaged files, 2 partial files" in out

    assert records.main(["compact", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "7 rows: 7 files merged, 1 set aside" in out
    assert "1 old partial files deleted" in out
    assert [path.name for path in (tmp_path / "_references").iterdir()] == ["_new.partial"]
    assert records.main(["check", str(tmp_path)]) == 0
    assert "7 rows (1 failed) in 1 files" in capsys.readouterr().out

    for command in ("summary", "check", "compact"):
        assert records.main([command, str(tmp_path / "nowhere")]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith(f"error: {tmp_path / 'nowhere'} is not a folder")
        assert (captured.out, captured.err.count("\n")) == ("", 1)
    with pytest.raises(SystemExit) as stop:
        records.main(["tidy", str(tmp_path)])
    assert stop.value.code == 2


def test_a_check_reads_the_values_of_compacted_rows_too(tmp_path, capsys):
    table = records.write_row(row(), tmp_path)
    table.assign(key="j", top1=101.0).to_parquet(tmp_path / "rows-1.parquet", index=False)
    assert records.main(["check", str(tmp_path)]) == 1
    assert "rows-1.parquet top1 is 101.0, not in_range(0, 100)" in capsys.readouterr().out


def test_an_empty_folder_has_nothing_to_look_after(tmp_path, capsys):
    for command in ("summary", "compact", "check"):
        assert records.main([command, str(tmp_path)]) == 0
    with suppress(StopIteration):
        next(tmp_path.iterdir())
        raise AssertionError("something was written")
