"""Sweeps that are killed at random moments and begun again: all their rows, each once, and the right ones."""

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

# A run that takes so many times as long as without trouble, and a minute, is taken to hang.
_BEYOND = 10
# How often, instead of kills, there is no room or no leave to write, or a process is killed that starts anew.
_TROUBLE, _FROM_THE_START = 0.12, 0.02
# How often a process compacts the results meanwhile.
_COMPACTING = 0.2


@dataclass
class Series:
    """Runs of a job in one folder until all is there, killed, refused and begun again."""

    reference: Reference
    disk: Disk
    random: Random
    tally: Tally
    log: Path
    known: dict[str, str] = field(default_factory=dict)

    def go(self, enough: Callable[[], bool]) -> None:
        """Kill until all is there, or until it is ``enough``; then finish, and compare."""
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
            self.tally.count(kind, "lost", f"{name} is not there at the end")
        for name in self.known.keys() - wanted:
            self.tally.count(kind, "wrong", f"{name} was not asked for")

    def killed(self, kind: str, chosen: list[int]) -> bool:
        """Start the lines at once, stop each at a moment of its own; say whether all came to their end."""
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
                if fresh and number is not None:  # the machine has become faster
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
        """Judge how a process ended that was told to; say whether it was faster, and at its end."""
        if status == 0:
            return True
        self.tally.count(kind)
        if how is signal.SIGINT and status == 130:
            said = copy.err.strip().splitlines()
            if said[-1:] != ["interrupted; the rows already computed are kept"] or "Traceback" in copy.err:
                self.tally.count(kind, "unclear", f"SIGINT: {copy.err[-2000:]}")
        elif status != -how:
            self.tally.count(kind, "unclear", f"{how.name}: status {status}: {copy.err[-2000:]}")
        return False

    def judge(self, kind: str, number: int | None, copy: Copy) -> None:
        """Judge a run that came to its end by itself."""
        if copy.process.exitcode != 0 or "Traceback" in copy.err:
            line = "compact" if number is None else " ".join(self.reference.job.lines[number])
            fault = f"{line}: status {copy.process.exitcode}: {copy.err[-2000:]}"
            self.tally.count(kind, "unclear", fault)

    def finished(self, kind: str, number: int) -> None:
        """Run a line to its end, which must be a good one."""
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
        """Run a line where there is no room, or no file of any size may be written."""
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
        """Run a line in a folder that may not be written to, from its start or from some moment on."""
        if not self.disk.mounted and os.geteuid() == 0:
            return  # root may write whatever the permissions
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
        """A run in trouble ends well, or with one line that says that something cannot be written."""
        status, said = copy.process.exitcode, [line for line in copy.err.splitlines() if "error: " in line]
        clear = status in (1, 2) and len(said) == 1 and "Traceback" not in copy.err
        if status != 0 and not (clear and "cannot be" in said[0]):
            self.tally.count(kind, "unclear", f"status {status}: {copy.err[-2000:]}")
        self.look(kind, "in trouble")

    def from_the_start(self, number: int) -> None:
        """Kill a process of its own, which has still all to load."""
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
        """Compare what is there with what was there before, and with what is right."""
        warned = Warned()
        logging.getLogger("swis").addHandler(warned)
        try:
            now, problems = numbers(self.disk.folder)
        finally:
            logging.getLogger("swis").removeHandler(warned)
        for problem in [*problems, *warned.lines]:
            self.tally.count(kind, "lost", f"{when}: {problem}")
        for name in self.known.keys() - now.keys():
            self.tally.count(kind, "lost", f"{when}: {name} was there before")
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
    """Kill series after series until it is ``enough``."""
    number = 0
    while not enough():
        with Disk(folder / f"disk{number}") as disk:
            Series(random.choice(references), disk, random, tally, folder / "log").go(enough)
            disk.empty()
        number += 1


def compact_early() -> None:
    """Let every sweep compact its few files, as one does that has thousands."""
    compaction._MANY = 2
