"""The figures by name: every module of ``swis.gallery`` that has one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from matplotlib.figure import Figure

import swis.gallery

Draw = Callable[[Path], Figure]

_FIGURES: dict[str, Draw] = {}


def figure(draw: Draw) -> Draw:
    """Register a function as the figure that its module is called after; it gets the folder of results."""
    _FIGURES[draw.__module__.rpartition(".")[2]] = draw
    return draw


@cache
def figures() -> dict[str, Draw]:
    """Return what draws each figure, by name.

    >>> list(figures())[:3]
    ['accuracy', 'calibration', 'compression']
    """
    for module in iter_modules(swis.gallery.__path__):
        if module.name != "__main__":
            import_module(f"{swis.gallery.__name__}.{module.name}")
    return dict(sorted(_FIGURES.items()))
