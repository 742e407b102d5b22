"""Sweeps that are killed at random moments and started again: they must give the right rows, each once."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from swis.results import compaction
from tools.soak.copies import ROOT, Copy, keep_compacting, run_py, start
from tools.soak.disk import Disk
from tools.soak.reference import Reference, Warned, numbers
from tools.soak.tally import Tally

# A run hangs if it takes more than this many times its usual duration, plus a minute.
_BEYOND = 10
# Probabilities, instead of kills, of a full or read-only disk, and of a kill of a process that starts run.py.
_TROUBLE, _FROM_THE_START = 0.12, 0.02
# Probability that another process compacts the results meanwhile.
_COMPACTING = 0.2


@dataclass
class Series:
    """Runs of a job in one folder, killed or refused and started again, until all rows exist."""

    reference: Reference
    disk: Disk
    random: Random
    tally: Tally
    log: Path
    known: dict[str, str] = field(default_factory=dict)

    def go(self, enough: Callable[[], bool]) -> None:
        """Kill runs until all rows exist or ``enough`` returns true; then finish, and compare the rows."""
        lines = range(len(self.reference.job.lines))
        chosen = self.random.choice([[*lines], [*lines], [self.random.choice(lines)]])
        kind = f"kills: {self.reference.job.name}, {'one process' if len(chosen) == 1 else 'several at once'}"
        (self.disk.folder / "runs").mkdir()
        done = False
        while not done and not enough():
            if self.random.random() < _TROUBLE:
                trouble = self.random.choice([self.full, self.read_only])
                trouble(self.random.choice(chosen))
            elif self.random.random() < _FROM_THE_START:
                self.from_the_start(self.random.choice(chosen))
            else:
                done = self.killed(kind, chosen)
        for number in chosen:
            self.finished(kind, number)
        wanted = {name for number in chosen for name in self.reference.results[number]}
        self.look(kind, "at the end")
        for name in wanted - self.known.keys():
            self.tally.count(kind, "lost", f"{name} is missing at the end")
        for name in self.known.keys() - wanted:
            self.tally.count(kind, "wrong", f"{name} does not belong to the job")

    def killed(self, kind: str, chosen: list[int]) -> bool:
        """Start the command lines together, stop each at a random moment; return whether all ended before."""
        seconds, copies = self.reference.seconds, []

        def begin(number: int | None, work: Callable[[], None], longest: float) -> None:
            output = self.log.with_name(f"{self.log.name}{len(copies)}.run")
            moment = self.random.uniform(0, longest)
            copies.append((moment, number, start(work, self.disk.folder, output)))

        for number in chosen:
            begin(number, run_py(self.reference.job.lines[number]), seconds[number] * len(chosen))
        if self.random.random() < _COMPACTING:
            begin(None, keep_compacting, min(seconds))
        ended, fresh = 0, not self.known
        for moment, number, copy in sorted(copies, key=lambda one: one[0]):
            if copy.wait_until(copy.started + moment) is not None:
                self.judge(kind, number, copy)
                ended += number is not None
                if fresh and number is not None:  # the duration may be shorter than that of the reference
                    took = (time.monotonic() - copy.started) / len(chosen)
                    seconds[number] = min(seconds[number], took)
            elif number is None:
                copy.end(signal.SIGKILL, self.patience)
                self.tally.count("compactions: killed")
            else:
                how = self.random.choices((signal.SIGKILL, signal.SIGTERM, signal.SIGINT), (8, 1, 1))[0]
                ended += self.stopped(kind, how, copy.end(how, self.patience), copy)
        self.look(kind, f"after a kill of {self.reference.job.name}")
        return ended == len(chosen)

    def stopped(self, kind: str, how: signal.Signals, status: int, copy: Copy) -> bool:
        """Check how a process ended after a signal; return whether it had finished before the signal."""
        if status == 0:
            return True
        self.tally.count(kind)
        if how is signal.SIGINT and status == 130:
            lines = copy.err.strip().splitlines()
            if lines[-1:] != ["interrupted; the rows computed so far are stored"] or "Traceback" in copy.err:
                self.tally.count(kind, "unclear", f"SIGINT: {copy.err[-2000:]}")
        elif status != -how:
            self.tally.count(kind, "unclear", f"{how.name}: status {status}: {copy.err[-2000:]}")
        return False

    def judge(self, kind: str, number: int | None, copy: Copy) -> None:
        """Check a run that ended by itself."""
        if copy.process.exitcode != 0 or "Traceback" in copy.err:
            line = "compact" if number is None else " ".join(self.reference.job.lines[number])
            fault = f"{line}: status {copy.process.exitcode}: {copy.err[-2000:]}"
            self.tally.count(kind, "unclear", fault)

    def finished(self, kind: str, number: int) -> None:
        """Run a command line to its end, which must be a success."""
        copy = self.run(number)
        self.judge(kind, number, copy)

    def run(self, number: int, largest: int | None = None) -> Copy:
        copy = start(run_py(self.reference.job.lines[number]), self.disk.folder, self.log, largest)
        if copy.wait_until(time.monotonic() + self.patience) is None:
            copy.end(signal.SIGKILL, 60)
        return copy

    @property
    def patience(self) -> float:
        return 60 + _BEYOND * max(self.reference.seconds)

    def full(self, number: int) -> None:
        """Run a command line on a full disk, or with a limit on the size of files."""
        kind, largest = "troubles: full disk", None
        self.tally.count(kind)
        if self.disk.mounted and self.random.random() < 0.7:
            self.disk.fill(self.random.choice([0, 4096, self.random.randrange(200_000)]))
        else:
            largest = self.random.choice([0, self.random.randrange(20_000)])
        copy = self.run(number, largest)
        self.disk.release()
        self.refused(kind, copy)

    def read_only(self, number: int) -> None:
        """Run a command line in a folder that is read-only, from its start or from a random moment on."""
        if not self.disk.mounted and os.geteuid() == 0:
            return  # root may write despite the permissions
        kind = "troubles: read-only folder"
        if self.random.random() < 0.5:
            if not self.disk.protect():
                return
            copy = self.run(number)
        else:
            copy = start(run_py(self.reference.job.lines[number]), self.disk.folder, self.log)
            copy.wait_until(copy.started + self.random.uniform(0, self.reference.seconds[number]))
            self.disk.protect()
            if copy.wait_until(time.monotonic() + self.patience) is None:
                copy.end(signal.SIGKILL, 60)
        self.tally.count(kind)
        self.disk.release()
        self.refused(kind, copy)

    def refused(self, kind: str, copy: Copy) -> None:
        """Check that a run succeeded, or ended with one line about a file that cannot be written."""
        status, lines = copy.process.exitcode, [line for line in copy.err.splitlines() if "error: " in line]
        clear = status in (1, 2) and len(lines) == 1 and "Traceback" not in copy.err
        if status != 0 and not (clear and "cannot be" in lines[0]):
            self.tally.count(kind, "unclear", f"status {status}: {copy.err[-2000:]}")
        self.look(kind, "in trouble")

    def from_the_start(self, number: int) -> None:
        """Start run.py in a new process, which must load everything, and kill it."""
        kind = "kills: python run.py from its start"
        command = [sys.executable, ROOT / "run.py", *self.reference.job.lines[number]]
        with (self.log.with_suffix(".own")).open("w") as log:
            process = subprocess.Popen(command, cwd=self.disk.folder, stdout=log, stderr=log)
            try:
                process.wait(self.random.uniform(0, 10 + 2 * self.reference.seconds[number]))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.tally.count(kind)
        self.look(kind, "after a kill from the start")

    def look(self, kind: str, when: str) -> None:
        """Compare the results on disk with those before, and with the reference."""
        warned = Warned()
        logging.getLogger("swis").addHandler(warned)
        try:
            now, problems = numbers(self.disk.folder)
        finally:
            logging.getLogger("swis").removeHandler(warned)
        for problem in [*problems, *warned.lines]:
            self.tally.count(kind, "lost", f"{when}: {problem}")
        for name in self.known.keys() - now.keys():
            self.tally.count(kind, "lost", f"{when}: {name} existed before")
        right = self.reference.whole
        for name, value in now.items():
            if value != right.get(name):
                self.tally.count(
                    kind, "wrong", f"{when}: {name} is {value[:500]}, not {right.get(name, '')[:500]}"
                )
        self.known = now


def kill(
    references: list[Reference], folder: Path, random: Random, tally: Tally, enough: Callable[[], bool]
) -> None:
    """Run one series of kills after another until ``enough`` returns true."""
    number = 0
    while not enough():
        with Disk(folder / f"disk{number}") as disk:
            Series(random.choice(references), disk, random, tally, folder / "log").go(enough)
            disk.empty()
        number += 1


def compact_early() -> None:
    """Make every sweep compact its few files, like a sweep with thousands of files."""
    compaction._MANY = 2
