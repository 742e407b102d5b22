"""The program behind run.py and the command ``swis``: it runs one configuration or a sweep."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from contextlib import suppress

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

from hydra_plugins.swis_sweeper import StudySweeper
from swis.errors import CannotWrite, DamagedImage, InputError, RunFailed, message_of
from swis.experiments.command import command_line, explain, hydra_prints, is_of_options, show
from swis.experiments.config import Config, register, resolve
from swis.options.conf_files import CONF
from swis.sweeps.sweeper import log_file

_STATUS = {InputError: 2, DamagedImage: 2, RunFailed: 1, CannotWrite: 1}

# at import, because a process that runs points of a sweep only imports this module
register()
Plugins.instance().register(StudySweeper)  # Hydra may not find it by itself

_pressed: list[int] = []  # Ctrl-C signals so far: a library may swallow the exception of Ctrl-C


def run_command_line(program: str) -> None:
    """Run the command line and exit with its status; ``program`` is the command that users type.

    Status 0 means success, 1 failed rows or a full disk, 2 a wrong option or input, 130 Ctrl-C.
    """
    _pressed.clear()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises exceptions, which become one line here
    try:
        signal.signal(signal.SIGINT, _interrupt)
        arguments = command_line(sys.argv[1:], Config, program)
        # the program's name is passed as an option, so that processes that run points know it too
        sys.argv[1:] = [*arguments, f"hydra.help.app_name='{program}'"]
        with hydra_prints():
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(task)()
    except KeyboardInterrupt:
        _interrupted()
    except Exception as error:  # raised by the command line or a sweep
        _end(error)


def task(composed: DictConfig) -> str | None:
    """Run one configuration; the report is returned if it is a point of a sweep."""
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:  # a point of a sweep may run on another machine
        os.chdir(job.runtime.cwd)
        with log_file(job):
            try:
                return _report(composed)
            except Exception as error:
                if _can_be_sent(error):
                    raise
                raise RuntimeError(f"{type(error).__name__}: {error}") from error
    try:
        _report(composed)
    except tuple(_STATUS) as error:
        _end(error)  # here, because Hydra would add a line
    return None


def _report(composed: DictConfig) -> str:
    config = resolve(composed)
    job = HydraConfig.get()
    command = f"{job.help.app_name} {' '.join(job.overrides.task)}"
    # imported here, because --help and tab completion must be quick
    from swis.experiments.run import run
    from swis.runtime.memory import keep_freed_memory

    keep_freed_memory()
    text = run(config, command)
    show(text)
    return text


def _can_be_sent(error: Exception) -> bool:
    """Return whether the exception can be pickled and sent to the process of the sweep."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


def _interrupt(number: int, _: object) -> None:
    _pressed.append(number)
    raise KeyboardInterrupt


def _interrupted() -> None:
    print("interrupted; the rows computed so far are stored", file=sys.stderr)
    sys.exit(130)


def _end(error: Exception) -> None:
    if _pressed:
        _interrupted()
    ours = type(error) in _STATUS
    if not ours and not is_of_options(error):
        raise error
    if isinstance(error, RunFailed):
        with suppress(SystemExit, CannotWrite):  # the failed rows are the more important error
            show(error.report)
    print(f"error: {message_of(error) if ours else explain(error)}", file=sys.stderr)
    sys.exit(_STATUS[type(error)] if ours else 2)
