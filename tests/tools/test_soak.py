"""The soak test finds what is lost, wrong and unclear."""

import random
from dataclasses import fields
from pathlib import Path

import pytest
from examples import row

from swis.errors import InputError
from swis.experiments.config import Config
from swis.results import records
from tools.soak.__main__ import main, options
from tools.soak.corruption import _tried
from tools.soak.damage import DAMAGES
from tools.soak.disk import Disk
from tools.soak.kills import Series
from tools.soak.lines import wrong_lines
from tools.soak.mistakes import misspelt, of_wrong_type, out_of_range
from tools.soak.mistakes import options as every_option
from tools.soak.reference import JOBS, Reference, numbers
from tools.soak.tally import Tally
from tools.soak.targets import NOTHING, Target, of_rows


def test_counts_are_added_up_and_faults_have_examples():
    one, other = Tally(), Tally()
    for tally in (one, other):
        tally.count("kills: a")
    other.count("corruptions: rows, bits")
    other.count("corruptions: rows, bits", "wrong", "1 for 2")
    assert one.sound
    one.add(other)
    assert not one.sound
    assert one.in_a_line() == "2 kills, 1 corruptions; 0 lost, 1 wrong, 0 unclear"
    lines = one.table().splitlines()
    assert lines[1].split()[-4:] == ["1", "0", "1", "0"]
    assert lines[3].split() == ["total", "3", "0", "1", "0"]
    assert lines[-1] == "  1 for 2"


def test_unknown_options_of_the_soak_test_are_refused_in_one_line(capsys):
    assert options(["MINUTES=0.5", "LINES=0"]) == {
        "MINUTES": 0.5,
        "SEED": 0,
        "KILLS": None,
        "CORRUPTIONS": None,
        "LINES": 0,
    }
    for wrong in ("KILL=3", "KILLS=many", "KILLS=-1", "3"):
        with pytest.raises(SystemExit) as stop:
            main([wrong])
        assert stop.value.code == 2
        assert capsys.readouterr().err.startswith(f"error: {wrong} must be one of MINUTES, ")


@pytest.fixture
def series(tmp_path):
    with Disk(tmp_path / "disk") as disk:
        for key in "ab":
            records.write_row(row(key), disk.folder / "runs")
        reference = Reference(JOBS[0], [numbers(disk.folder)[0]], [1.0])
        yield Series(reference, disk, random.Random(0), Tally(), tmp_path / "log")


def test_unchanged_rows_are_no_fault(series):
    series.look("kills", "now")
    series.look("kills", "then")
    assert series.tally.sound
    assert len(series.known) == 2


def test_a_missing_row_is_lost_and_a_changed_number_is_wrong(series):
    series.look("kills", "now")
    (series.disk.folder / "runs" / "a.parquet").unlink()
    records.write_row(row("b", top1=51.0), series.disk.folder / "runs")
    series.look("kills", "then")
    assert dict(series.tally.faults) == {("kills", "lost"): 1, ("kills", "wrong"): 1}


def test_a_torn_row_is_lost(series):
    (series.disk.folder / "runs" / "a.parquet").write_bytes(b"torn")
    series.look("kills", "now")
    assert series.tally.faults["kills", "lost"] == 1


def test_a_disk_is_full_or_read_only_until_it_is_released(tmp_path):
    with Disk(tmp_path / "disk") as disk:
        if not disk.mounted:
            pytest.skip("needs the right to mount")
        path = disk.folder / "file"
        disk.fill(4096)
        with pytest.raises(OSError, match="No space left"):
            path.write_bytes(bytes(100_000))
        assert disk.protect()
        with pytest.raises(OSError, match="Read-only"):
            path.write_bytes(b"1")
        disk.release()
        path.write_bytes(bytes(100_000))
        disk.empty()
        assert not path.exists()


@pytest.mark.parametrize("name", DAMAGES)
def test_damages_change_small_and_large_files(name):
    generator = random.Random(0)
    for content in (b"1", b"swis", generator.randbytes(5000)):
        assert any(DAMAGES[name](content, generator) != content for _ in range(20))


def test_reading_damage_is_right_refused_wrong_or_unclear(tmp_path):
    records.write_row(row("k"), tmp_path / "rows")
    path = tmp_path / "rows" / "k.parquet"
    target = Target("rows", path.parent, path, lambda folder: of_rows("k", folder))
    right = target.read(path.parent)
    assert "'top1': 50.0" in right
    assert _tried(target, path.read_bytes(), right, tmp_path / "same") == (None, "")
    assert _tried(target, b"torn", right, tmp_path / "torn") == (None, "")
    records.write_row(row("k", top1=51.0), tmp_path / "other")
    other = (tmp_path / "other" / "k.parquet").read_bytes()
    assert _tried(target, other, right, tmp_path / "wrong")[0] == "wrong"

    def reader(error):
        def read(folder: Path) -> str:
            raise error

        return Target("rows", path.parent, path, read)

    for error, fault in (
        (InputError("a line"), None),
        (InputError("two\nlines"), "unclear"),
        (KeyError("x"), "unclear"),
    ):
        assert _tried(reader(error), b"", NOTHING, tmp_path / repr(error))[0] == fault


def test_every_option_gets_wrong_values():
    every = dict(every_option())
    assert {known.name for known in fields(Config)} <= {*every}
    assert {"retrain.momentum", "accelerator.lanes", "energy.dram_pj_per_bit", "model.mean"} <= {*every}
    assert {"recipe.stages.0.epochs", "energy.units.swis_ss.lanes", "energy.banks.0.read_pj"} <= {*every}
    untyped = [name for name, kind in every.items() if not of_wrong_type(kind)]
    assert not untyped
    assert out_of_range("bits", every["bits"])
    generator = random.Random(0)
    for name in every:
        assert misspelt(name, every, generator) not in every


def test_the_same_seed_gives_the_same_lines():
    one, other = (wrong_lines(random.Random(3)) for _ in range(2))
    assert [next(one) for _ in range(300)] == [next(other) for _ in range(300)]
