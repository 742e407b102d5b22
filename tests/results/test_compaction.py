"""Compaction of results: a kill or a full disk loses nothing; and its command line."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from examples import row
from test_store import numbers, put, simple, written

from swis.errors import CannotWrite
from swis.results import compaction, records
from swis.results.command import main


class Killed(BaseException):
    """Stands for SIGKILL within one process."""


def steps(monkeypatch, before) -> None:
    """Call ``before`` before every change on disk."""
    for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "rmdir")):
        original = getattr(owner, name)

        def step(*arguments, original=original, **named):
            before()
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, step)


def test_a_compaction_killed_at_any_step_loses_nothing(tmp_path, monkeypatch):
    """After each kill another compaction starts, which is killed at a later step."""
    rows, expected, stopped = simple(tmp_path), {}, 0
    for step in range(40):
        put(rows, f"n{step % 5}", step)
        expected[f"n{step % 5}"] = step
        left = [step % 11]

        def count(left=left):
            left[0] -= 1
            if left[0] < 0:
                raise Killed

        with monkeypatch.context() as patch:
            steps(patch, count)
            try:
                compaction.merge(rows)
            except Killed:
                stopped += 1
        assert numbers(rows) == expected
        for name, number in expected.items():
            assert next(rows.find(name))["number"].to_pylist() == [number]
    assert 20 < stopped < 40
    compaction.merge(rows)
    assert numbers(rows) == expected
    assert len(list(tmp_path.glob("*.parquet"))) == 1


def test_a_reader_sees_every_row_at_every_step_of_a_compaction(tmp_path, monkeypatch):
    """A row that another process writes meanwhile without a lock is kept, too."""
    rows = simple(tmp_path)
    for number in range(3):
        put(rows, f"n{number}", number)
    compaction.merge(rows)
    for number in range(2, 6):
        put(rows, f"n{number}", number)
    put(rows, "written", -1)
    seen = []

    def look():
        if not seen:
            put(rows, "written", 0)
        seen.append(numbers(rows))
        assert all(next(rows.find(f"n{number}"), None) for number in range(6))

    with monkeypatch.context() as patch:
        steps(patch, look)
        compaction.merge(rows)
    assert len(seen) > 5
    assert seen == [{f"n{number}": number for number in range(6)} | {"written": 0}] * len(seen)
    compaction.merge(rows)
    assert numbers(rows) == seen[-1]


@pytest.mark.parametrize("step", ["write_rows", "_delete"])
def test_a_full_or_read_only_disk_stops_a_compaction_without_loss(tmp_path, monkeypatch, step):
    rows = simple(tmp_path)
    for number in range(4):
        put(rows, f"n{number}", number)

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    owner, name = (compaction, "write_rows") if step == "write_rows" else (Path, "unlink")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, refuse)
        with pytest.raises(CannotWrite, match=r"parquet cannot be \w+: No space left on device"):
            compaction.merge(rows)
    assert len(numbers(rows)) == 4
    assert not list(tmp_path.rglob("*.partial"))
    compaction.merge(rows)
    assert len(numbers(rows)) == 4


def test_the_command_line(tmp_path, capsys):
    written(tmp_path, 6)
    records.write_row(row("9", method="round", bits=3.5, status="failed", error="E"), tmp_path)
    records.write_row(row("8", method="round", bits=2), tmp_path)
    assert main(["summary", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert words.startswith("model data method rows ok failed bits last tiny")
    assert "tiny fashion_mnist round 2 1 1 2 to 3.5 20" in words
    assert "tiny fashion_mnist swis 6 6 0 2 20" in words

    assert main(["check", str(tmp_path)]) == 0
    assert "8 rows (1 failed) in 8 files" in capsys.readouterr().out
    (tmp_path / "04.parquet").write_bytes(b"torn")
    for name, hours in (("_new.partial", 1), ("_old.partial", 30)):
        (tmp_path / "_references").mkdir(exist_ok=True)
        (tmp_path / "_references" / name).touch()
        then = time.time() - hours * 3600
        os.utime(tmp_path / "_references" / name, (then, then))
    assert main(["check", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"{tmp_path / '04.parquet'} cannot be read" in out
    assert "1 damaged files, 2 partial files" in out

    assert main(["compact", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "7 rows: 7 files merged, 1 set aside" in out
    assert "1 old partial files deleted" in out
    assert [path.name for path in (tmp_path / "_references").iterdir()] == ["_new.partial"]
    assert main(["check", str(tmp_path)]) == 0
    assert "7 rows (1 failed) in 1 files" in capsys.readouterr().out

    for command in ("summary", "check", "compact"):
        assert main([command, str(tmp_path / "nowhere")]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith(f"error: {tmp_path / 'nowhere'} is not a folder")
        assert (captured.out, captured.err.count("\n")) == ("", 1)
    with pytest.raises(SystemExit) as stop:
        main(["tidy", str(tmp_path)])
    assert stop.value.code == 2


def test_a_check_reads_the_values_of_compacted_rows_too(tmp_path, capsys):
    table = records.write_row(row(), tmp_path)
    table.assign(key="j", top1=101.0).to_parquet(tmp_path / "rows-1.parquet", index=False)
    assert main(["check", str(tmp_path)]) == 1
    assert "rows-1.parquet has top1=101.0, not in 0..100" in capsys.readouterr().out
    compaction.compact(tmp_path)  # compaction loses neither row
    assert set(records.load_table(tmp_path, "all")["key"]) == {"j", "k"}


def test_a_compacted_file_is_newer_than_one_from_the_future(tmp_path):
    table = records.write_row(row(), tmp_path)
    future = tmp_path / f"rows-{2**62:016x}.parquet"
    table.assign(top1=10.0).to_parquet(future, index=False)
    records.write_row(row(top1=20.0), tmp_path)
    compaction.compact(tmp_path)
    (merged,) = tmp_path.glob("rows-*.parquet")
    assert merged.name > future.name
    assert records.load_table(tmp_path)["top1"].item() == 20.0


def test_the_commands_do_nothing_in_an_empty_folder(tmp_path, capsys):
    for command in ("summary", "compact", "check"):
        assert main([command, str(tmp_path)]) == 0
    with suppress(StopIteration):
        next(tmp_path.iterdir())
        raise AssertionError("something was written")
