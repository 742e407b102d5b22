"""Bars and notes appear in terminals and notebooks only, and every long wait shows one."""

import io
import re
import subprocess

import pytest
from conftest import ROOT, Terminal

from swis.runtime.progress import no_bars, note, tqdm


def drawn(stream: io.StringIO, monkeypatch) -> str:
    monkeypatch.setattr("sys.stderr", stream)
    note("loading")
    assert list(tqdm([1, 2], desc="bar")) == [1, 2]
    return stream.getvalue()


def test_bars_and_notes_are_drawn_only_in_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    text = drawn(Terminal(), monkeypatch)
    assert text.startswith("loading ...\n")
    assert "bar: 100%" in text
    assert drawn(io.StringIO(), monkeypatch) == ""
    with no_bars():
        assert drawn(Terminal(), monkeypatch) == ""
    monkeypatch.setenv("TERM", "dumb")
    assert drawn(Terminal(), monkeypatch) == ""


def test_a_notebook_has_bars_whatever_its_stderr_is(monkeypatch):
    monkeypatch.setattr("swis.runtime.progress.auto.notebook_tqdm", object())
    assert "bar: 100%" in drawn(io.StringIO(), monkeypatch)


def test_all_bars_are_made_in_one_place():
    makers = {
        str(path.relative_to(ROOT))
        for folder in ("swis", "tools", "benchmarks", "hydra_plugins")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^(from|import) tqdm", path.read_text(), re.MULTILINE)
    }
    # the soak's copies of a process switch off the threads of tqdm
    assert makers == {"swis/runtime/progress.py", "tools/soak/copies.py"}


@pytest.mark.parametrize("more", [["dry_run=true"], []])
def test_a_run_shows_its_steps_in_a_terminal(command_line, tiny, tmp_path, more):
    done = command_line(*tiny, "methods=[round]", *more, terminal=True)
    assert done.status == 0, done.err
    for line in ("loading PyTorch and timm ...", "loading test_efficientnet; looking up rows in", "runs ..."):
        assert line in done.err
    assert ("3 of 3 rows to compute: float, int8, round ..." in done.err) == (not more)
    assert "..." not in done.out
    if not more:
        again = command_line(*tiny, "methods=[round]", terminal=True)
        assert "all rows exist ..." in again.err
        assert command_line(*tiny, "methods=[round]").err == ""


def test_storage_and_sweeps_show_their_steps_in_a_terminal(command_line, tiny):
    settings = ["task=storage", "out=bits.parquet", "skip=[blocks.*,conv_stem]"]
    done = command_line(*tiny, *settings, terminal=True)
    assert done.status == 0, done.err
    assert "loading test_efficientnet; task=storage ..." in done.err
    assert re.search(r"storage: +\d+%", done.err)
    sweep = command_line("--multirun", *tiny, "bits=2,3", "dry_run=true", terminal=True)
    assert "checking 2 points, and which of their rows exist ..." in sweep.err
    assert command_line("--multirun", *tiny, "bits=2,3", "dry_run=true").err == ""


def test_the_lab_starts_as_root():
    made = subprocess.run(["make", "-n", "lab"], cwd=ROOT, capture_output=True, text=True, check=True)
    root = subprocess.run(["id", "-u"], capture_output=True, text=True, check=True).stdout == "0\n"
    assert ("jupyter lab --allow-root notebooks" in made.stdout) == root
