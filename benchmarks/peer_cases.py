"""The cases that benchmarks/peers.py measures: tools, their recipes and the options of these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swis.errors import InputError
from swis.experiments.study import Study
from swis.results.schema import digest

SCRIPTS = Path(__file__).parent / "peer_tools"
OWN = {"tools": "brevitas,aimet,nncf,quanto", "bits": "4", "out": "results/peers.csv"}
OWN |= {"folder": "outputs/peers", "force": "false"}
# The recipes of each tool, the first one first, with the options that each has.
TOOLS: dict[str, dict[str, dict[str, float]]] = {
    "brevitas": {
        "gptq": {},
        "qronos": {},
        "learned_rounding": {"iterations": 1000, "rate": 0.001, "batch": 1},  # Brevitas's defaults
    },
    "aimet": {"adaround": {"iterations": 15000}},  # AIMET's default for less than 8 bits
    "nncf": {"ptq": {}},
    "quanto": {"hqq": {}},
}
PACKAGES = {"brevitas": "brevitas", "aimet": "aimet-torch", "nncf": "nncf", "quanto": "optimum-quanto"}


@dataclass(frozen=True)
class Case:
    """A tool, its recipe, the bits of a weight, and the options of the recipe."""

    tool: str
    recipe: str
    bits: int
    options: dict[str, float] = field(default_factory=dict)

    @property
    def requirements(self) -> str:
        return (SCRIPTS / f"{self.tool}.txt").read_text()

    @property
    def version(self) -> str:
        """The version of the tool, from its requirements."""
        found = re.search(rf"^{PACKAGES[self.tool]}==(\S+)$", self.requirements, re.MULTILINE)
        return found[1]

    def key(self, study: Study) -> str:
        """Return the identity of the row: what its numbers depend on, versions included."""
        return digest([digest_of(study), self.requirements, self.job(study)])

    def job(self, study: Study) -> dict[str, Any]:
        """Return what the script of the tool is told, besides tensors."""
        return {
            "architecture": study.network.architecture,
            "kwargs": study.network.kwargs,
            "recipe": self.recipe,
            "bits": self.bits,
            "activation_bits": study.config.activation_bits,
            "seed": study.config.seed,
            "options": self.options,
        }


def digest_of(study: Study) -> str:
    """Return the identity of what all tools get: the float network and the images."""
    images = (study.calibration, study.split, study.held_out)
    digests = [None if split is None else split.digest for split in images]
    return digest([study.network.digest, study.network.inputs, digests])


def split_overrides(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Return our own options and those of recipes, and the overrides of run.py.

    >>> split_overrides(["bits=3", "aimet.iterations=9", "model=resnet18"])[1]
    ['model=resnet18']
    """
    names = {*OWN, *(f"{tool}.{name}" for tool in TOOLS for each in TOOLS[tool].values() for name in each)}
    mine = {}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name in names:
            mine[name] = value
        elif name.partition(".")[0] in TOOLS:
            raise InputError(f"{name} is not an option; known are {', '.join(sorted(names))}")
    return OWN | mine, [each for each in arguments if each.partition("=")[0] not in names]


def cases(own: dict[str, str]) -> Iterator[Case]:
    """Yield the cases to measure; raise ``InputError`` for an unknown tool, recipe or number."""
    for name in own["tools"].split(","):
        tool, _, recipe = name.partition("/")
        if tool not in TOOLS:
            raise InputError(f"there is no tool {tool!r}; known are {', '.join(TOOLS)}")
        recipe = recipe or next(iter(TOOLS[tool]))
        if recipe not in TOOLS[tool]:
            raise InputError(f"{tool} has no recipe {recipe!r}; it has {', '.join(TOOLS[tool])}")
        given = {each: own.get(f"{tool}.{each}", default) for each, default in TOOLS[tool][recipe].items()}
        for bits in own["bits"].split(","):
            try:
                options = {each: type(TOOLS[tool][recipe][each])(value) for each, value in given.items()}
                yield Case(tool, recipe, int(bits), options)
            except ValueError as error:
                raise InputError(f"{tool} with bits={bits}: {error}") from error
