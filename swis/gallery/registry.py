"""The figures by name: every module of ``swis.gallery`` that has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from pkgutil import iter_modules

from matplotlib.figure import Figure

import swis.gallery
from swis.plots.style import style

Draw = Callable[[Path], Figure]


@dataclass(frozen=True)
class Registered:
    """A figure: what draws it from the folder of results, and what its caption says."""

    draw: Draw
    caption: str

    def __call__(self, results: Path) -> Figure:
        """Draw it in the style of all figures."""
        with style():
            return self.draw(results)


_FIGURES: dict[str, Registered] = {}


def figure(caption: str) -> Callable[[Draw], Draw]:
    """Register a function as the figure that its module is called after; it gets the folder of results.

    ``caption``: what to see, and of which data, in one to three sentences.
    """

    def register(draw: Draw) -> Draw:
        words = " ".join(cleandoc(caption).split())
        _FIGURES[draw.__module__.rpartition(".")[2]] = Registered(draw, words)
        return draw

    return register


@cache
def figures() -> dict[str, Registered]:
    """Return the figures by name.

    >>> list(figures())[:3]
    ['accuracy', 'calibration', 'compression']
    """
    for module in iter_modules(swis.gallery.__path__):
        if module.name != "__main__":
            import_module(f"{swis.gallery.__name__}.{module.name}")
    return dict(sorted(_FIGURES.items()))
