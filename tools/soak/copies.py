"""run.py in forks of this process, which start quickly, because everything is loaded and compiled."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.context import ForkProcess
from pathlib import Path

import torch
from tqdm import tqdm

from swis.results import compaction

ROOT = Path(__file__).parents[2]
_FORK = multiprocessing.get_context("fork")


@dataclass
class Copy:
    """A fork of this process, with the path of its output and the time of its start.

    ``errors`` is a pipe with its stderr, if it must not write files.
    """

    process: ForkProcess
    output: Path
    started: float
    errors: int | None = None

    def wait_until(self, moment: float | None = None) -> int | None:
        """Wait for its end, or until a time of ``time.monotonic``; return its exit status, or None."""
        self.process.join(None if moment is None else max(0, moment - time.monotonic()))
        return self.process.exitcode

    def end(self, number: signal.Signals, patience: float) -> int:
        """Send it a signal and return its exit status; kill it if it does not end within ``patience`` [s]."""
        os.kill(self.process.pid, number)
        self.process.join(patience)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        return self.process.exitcode

    @property
    def out(self) -> str:
        return self.output.with_suffix(".out").read_text(errors="replace")

    @cached_property
    def err(self) -> str:
        """Its stderr, after it has ended."""
        if self.errors is not None:
            with os.fdopen(self.errors, errors="replace") as pipe:
                return pipe.read()
        return self.output.with_suffix(".err").read_text(errors="replace")


def start(work: Callable[[], None], folder: Path, output: Path, largest: int | None = None) -> Copy:
    """Start ``work`` in a fork of this process and in a folder; ``largest`` limits its files [bytes]."""
    ours, theirs = (None, None) if largest is None else os.pipe()
    process = _FORK.Process(target=_be, args=(work, folder, output, largest, theirs))
    began = time.monotonic()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until the fork has its own handler
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    if theirs is not None:
        os.close(theirs)
    return Copy(process, output, began, ours)


def run_py(arguments: Sequence[str]) -> Callable[[], None]:
    """Return a function that runs run.py with these arguments."""

    def work() -> None:
        sys.argv = ["run.py", *arguments]
        runpy.run_path(str(ROOT / "run.py"), run_name="__main__")

    return work


def keep_compacting() -> None:
    """Compact the results in runs/ until killed."""
    while True:
        compaction.compact(Path("runs"))


def warm_up(runs: Sequence[Sequence[str]], folder: Path) -> None:
    """Run run.py with these arguments in this process, so that everything is loaded in its forks.

    Raises ``RuntimeError`` for a run that fails.
    """
    tqdm.monitor_interval = 0  # no thread of tqdm, because forks would lack it
    torch.set_num_threads(1)
    before, here = sys.argv, Path.cwd()
    os.chdir(folder)
    try:
        for arguments in runs:
            with _quiet(folder / "warm_up"):
                try:
                    run_py(arguments)()
                except SystemExit as stop:
                    if stop.code:
                        raise RuntimeError(f"run.py {' '.join(arguments)}: see {folder}") from stop
    finally:
        sys.argv = before
        os.chdir(here)


def _be(
    work: Callable[[], None], folder: Path, output: Path, largest: int | None, errors: int | None
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # until run.py handles it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.chdir(folder)
    logging.getLogger().handlers.clear()  # they write to the output of the original process
    tqdm.set_lock(threading.RLock())  # forks share the other lock, and a killed fork would keep it
    with _quiet(output, errors):
        if largest is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as in a process that starts run.py
        try:
            work()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _quiet(output: Path, errors: int | None = None):
    """Redirect everything that any library prints to OUTPUT.out, and to OUTPUT.err or an open pipe."""
    kept = []
    for number, suffix in ((1, ".out"), (2, ".err")):
        kept.append(os.dup(number))
        if number == 2 and errors is not None:
            file = errors
        else:
            file = os.open(output.with_suffix(suffix), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, number)
        os.close(file)
    streams = sys.stdout, sys.stderr
    # on the process's own descriptors, because run.py redirects them if it cannot print
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, closefd=False) for number in (1, 2))
    try:
        yield
    finally:
        sys.stdout.close()
        sys.stderr.close()
        sys.stdout, sys.stderr = streams
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
