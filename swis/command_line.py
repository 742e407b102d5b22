"""The command ``swis``; run.py in the repository is the same program."""

import signal


def main(program: str = "swis") -> None:
    """Run the configuration or the sweep of the command line; ``program`` is its name in help texts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # so that Ctrl-C during the imports gives no traceback
    from swis.sweeps.program import run_command_line

    run_command_line(program)
