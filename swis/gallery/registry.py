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
from swis.plots.style import message, style

Draw = Callable[[Path], Figure]


@dataclass(frozen=True)
class Registered:
    """A figure: what draws it from the folder of results, what it says, and its caption."""

    draw: Draw
    title: str
    caption: str

    def __call__(self, results: Path) -> Figure:
        """Draw it in the style of all figures, with its title above."""
        with style():
            drawn = self.draw(results)
            message(drawn, self.title)
        return drawn


_FIGURES: dict[str, Registered] = {}


def figure(title: str, caption: str) -> Callable[[Draw], Draw]:
    """Register a function as the figure that its module is called after; it gets the folder of results.

    ``title``: what the figure says, in one line above it. ``caption``: what is shown, and of which data, in a
    few short sentences.
    """

    def register(draw: Draw) -> Draw:
        words = " ".join(cleandoc(caption).split())
        _FIGURES[draw.__module__.rpartition(".")[2]] = Registered(draw, title, words)
        return draw

    return register


@cache
def figures() -> dict[str, Registered]:
    """Return the figures by name.

    >>> list(figures())[:3]
    ['ablation', 'accuracy', 'bits']
    """
    for module in iter_modules(swis.gallery.__path__):
        if module.name != "__main__":
            import_module(f"{swis.gallery.__name__}.{module.name}")
    return dict(sorted(_FIGURES.items()))
