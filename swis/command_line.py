"""The command ``swis``; run.py of the repository is the same program."""

import signal


def main(program: str = "swis") -> None:
    """Run one configuration, or a sweep, as the command line says; users call this ``program``."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while all is loaded needs no traceback
    from swis.sweeps.program import run_command_line

    run_command_line(program)
