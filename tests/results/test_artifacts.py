"""Artifacts of rows: one process makes them while others wait, and a lock ends with its process."""

import multiprocessing
import os
import signal
import time

import torch

from swis.results.artifacts import locked
from swis.results.tensors import kept_tensors

_COPY = multiprocessing.get_context("fork")


def make(made):
    with made.open("a") as file:
        file.write("once\n")
    time.sleep(0.5)  # so that the other processes arrive meanwhile
    return {"x": torch.arange(3)}


def have(folder, made):
    assert kept_tensors("key", folder, lambda: make(made))["x"].tolist() == [0, 1, 2]


def test_one_process_makes_the_tensors_that_all_processes_read(tmp_path):
    made = tmp_path / "made"
    processes = [_COPY.Process(target=have, args=(tmp_path / "results", made)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert made.read_text() == "once\n"
    assert [path.name for path in (tmp_path / "results" / "_references").iterdir()] == ["key.safetensors"]


def lock_and_be_killed(folder):
    with locked("key", folder):
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_lock_of_a_killed_process_ends(tmp_path):
    process = _COPY.Process(target=lock_and_be_killed, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert list(tmp_path.rglob("*.lock"))  # it had the lock
    with locked("key", tmp_path):
        pass
    assert not list(tmp_path.rglob("*.lock"))


def test_work_goes_on_where_files_cannot_be_locked(tmp_path):
    (tmp_path / "_references").write_text("no folder")
    with locked("key", tmp_path):
        pass
