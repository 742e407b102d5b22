"""What a command prints, run while the site is built."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]


class ProgramOutput(SphinxDirective):
    """The command, to be copied, and below it what it prints; it must succeed."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        command = self.arguments[0]
        program, *arguments = shlex.split(command)
        assert program == "python", command
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        printed = done.stdout.strip("\n")
        return [
            nodes.literal_block(command, command, language="bash"),
            nodes.literal_block(printed, printed, language="text", classes=["printed"]),
        ]
