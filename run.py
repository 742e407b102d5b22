"""Run one configuration, or a sweep: python run.py model=mobilenet_v2 bits=2 (python run.py --help)."""

import os
import pickle
import signal
import sys
from contextlib import suppress

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while all is loaded needs no traceback

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

from hydra_plugins.swis_sweeper import StudySweeper
from swis.errors import CannotWrite, DamagedImage, InputError, RunFailed, message_of
from swis.experiments.command import command_line, explain, hydra_prints, is_of_options, show
from swis.experiments.config import Config, register, resolve
from swis.sweeps.sweeper import log_file

STATUS = {InputError: 2, DamagedImage: 2, RunFailed: 1, CannotWrite: 1}

register()
Plugins.instance().register(StudySweeper)  # Hydra may not find it by itself


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(composed: DictConfig) -> str | None:
    job = HydraConfig.get()
    if job.mode == RunMode.MULTIRUN:  # a point of a sweep, maybe on another machine
        os.chdir(job.runtime.cwd)
        with log_file(job):
            try:
                return report(composed)
            except Exception as error:
                if can_be_sent(error):
                    raise
                raise RuntimeError(f"{type(error).__name__}: {error}") from error
    try:
        report(composed)
    except tuple(STATUS) as error:
        end(error)  # here, for Hydra would add a line


def report(composed: DictConfig) -> str:
    config = resolve(composed)
    command = f"python run.py {' '.join(HydraConfig.get().overrides.task)}"
    # here and not above, which keeps --help and tab completion quick
    from swis.experiments.run import run

    text = run(config, command)
    show(text)
    return text


def can_be_sent(error: Exception) -> bool:
    """Say whether another process, that of the sweep, can make the exception anew."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


pressed: list[int] = []  # of Ctrl-C, whose exception may be lost where a library reads configurations


def interrupt(number: int, _: object) -> None:
    pressed.append(number)
    raise KeyboardInterrupt


def interrupted() -> None:
    print("interrupted; the rows already computed are kept", file=sys.stderr)
    sys.exit(130)


def end(error: Exception) -> None:
    if pressed:
        interrupted()
    ours = type(error) in STATUS
    if not ours and not is_of_options(error):
        raise error
    if isinstance(error, RunFailed):
        with suppress(SystemExit, CannotWrite):  # what failed is the greater trouble
            show(error.report)
    print(f"error: {message_of(error) if ours else explain(error)}", file=sys.stderr)
    sys.exit(STATUS[type(error)] if ours else 2)


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands exceptions on, so that they become one line here
    try:
        signal.signal(signal.SIGINT, interrupt)
        sys.argv[1:] = command_line(sys.argv[1:], Config)
        with hydra_prints():
            main()
    except KeyboardInterrupt:
        interrupted()
    except Exception as error:  # of the command line, or of a sweep
        end(error)
