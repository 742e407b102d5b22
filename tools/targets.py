"""Print the targets of the Makefile with what they do: python -m tools.targets (make help, without make)."""

import re
from pathlib import Path

MAKEFILE = Path(__file__).parents[1] / "Makefile"

if __name__ == "__main__":
    for name, said in re.findall(r"^([a-z]+):.*## (.+)$", MAKEFILE.read_text(), re.MULTILINE):
        print(f"make {name:9} {said}")
