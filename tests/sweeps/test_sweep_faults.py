"""Sweeps survive kills at any moment, and other sweeps in the same folder."""

import multiprocessing
import os
import random
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, numbers_of
from tqdm import tqdm

import swis

SWEEP = ["--multirun", "methods=[round]", "threads=1", "device=cpu", "versus=[]"]
SMALL = ["data.limit=16", "calibration.images=8"]

# Forks of this process start quickly, because everything is loaded and compiled in them.
_COPY = multiprocessing.get_context("fork")


def run(folder: Path, arguments: list[str]) -> None:
    """Run run.py in ``folder`` without output, in a separate process."""
    os.chdir(folder)
    tqdm.set_lock(threading.RLock())  # forks share the other lock, and a killed fork would keep it
    sys.stdout = sys.stderr = (folder / "output.txt").open("a")
    sys.argv = ["run.py", *SWEEP, *arguments]
    runpy.run_path(str(ROOT / "run.py"), run_name="__main__")


def start(folder: Path, tiny: list[str], *more: str):
    folder.mkdir(exist_ok=True)
    process = _COPY.Process(target=run, args=(folder, [*tiny, *SMALL, *more]))
    process.start()
    return process


def finish(folder: Path, tiny: list[str], *more: str) -> float:
    """Run a sweep to its end and return its duration [s]."""
    begin, process = time.monotonic(), start(folder, tiny, *more)
    process.join(120)
    assert process.exitcode == 0, (folder / "output.txt").read_text()
    return time.monotonic() - begin


@pytest.fixture
def tiny_in(tiny):
    """Settings of the tiny network, with results in the folder runs/ of a process's working folder."""
    return [*tiny[:-1], "results_dir=runs"]


@pytest.fixture
def warm(tiny_in, command_line):
    """Load and compile everything in this process."""
    assert command_line(*SWEEP, *tiny_in, *SMALL).status == 0


def test_a_sweep_killed_at_any_moment_is_completed_by_the_next_run(tiny_in, tmp_path, warm, caplog):
    values = ["bits=2,3"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seconds = finish(whole, tiny_in, *values)
    moments, kills = random.Random(0), 0
    while kills < 8:  # tools/soak does hundreds of kills
        process = start(killed, tiny_in, *values)
        process.join(moments.uniform(0, seconds))
        if process.exitcode is None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += process.exitcode == -signal.SIGKILL
        if (killed / "runs").is_dir():
            swis.load_table(killed / "runs", "all")  # every file can be read
        if process.exitcode == 0:  # complete, so that another sweep is needed to kill
            (killed / "runs").rename(killed / f"complete{time.monotonic_ns()}")
    finish(killed, tiny_in, *values)
    expected = numbers_of(whole / "runs")
    for folder in (*killed.glob("complete*"), killed / "runs"):
        pd.testing.assert_frame_equal(numbers_of(folder), expected, check_exact=True)
    assert not caplog.records


def test_two_sweeps_over_overlapping_grids_lose_nothing(tiny_in, tmp_path, warm):
    apart, together = tmp_path / "apart", tmp_path / "together"
    grids = ["bits=2,3,4", "bits=4,3,5"]
    for grid in grids:
        finish(apart, tiny_in, grid)
    both = [start(together, tiny_in, grid) for grid in grids]
    for process in both:
        process.join(120)
        assert process.exitcode == 0, (together / "output.txt").read_text()
    assert len(numbers_of(apart / "runs")) == 6
    pd.testing.assert_frame_equal(numbers_of(together / "runs"), numbers_of(apart / "runs"), check_exact=True)
