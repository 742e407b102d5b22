"""Run one configuration: python run.py model=mobilenet_v2 bits=2 (python run.py --help)."""

import os
import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from swis.config import one_line, register, resolve
from swis.errors import CannotWrite, InputError, RunFailed

STATUS = {InputError: 2, RunFailed: 1, CannotWrite: 1}

register()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(composed: DictConfig) -> None:
    try:
        config = resolve(composed)
        # torch loads here and not above, which keeps --help and tab completion quick
        from swis.experiment import run
        from swis.memory import keep_freed_memory

        keep_freed_memory()
        print(run(config, command=f"python run.py {' '.join(sys.argv[1:])}"))
    except tuple(STATUS) as error:
        if isinstance(error, RunFailed):
            print(error.report)
        # of an error in another process the last line says it, those before where
        print(f"error: {str(error).splitlines()[-1]}", file=sys.stderr)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # Hydra goes on with the sweep's other jobs and raises the first failure at the end
        sys.exit(STATUS[type(error)])


if __name__ == "__main__":
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands exceptions on, so that they become one line here
    try:
        main()
    except tuple(STATUS) as error:  # of a sweep: its line is printed
        sys.exit(STATUS[type(error)])
    except (HydraException, OmegaConfBaseException) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; the rows already computed are kept", file=sys.stderr)
        sys.exit(130)
