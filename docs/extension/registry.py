"""The tables of results by name: every function of ``docs.tables`` that is marked with ``@table``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pandas as pd

from docs.extension.numbers import Numbers

Make = Callable[[Path], pd.DataFrame]

_TABLES: dict[str, Table] = {}


@dataclass(frozen=True)
class Table:
    """A table of results: what makes it, what it is called, and the commands that make its rows."""

    make: Make
    caption: str
    commands: tuple[str, ...]
    numbers: Numbers

    @property
    def source(self) -> Path:
        """The file with the function."""
        return Path(self.make.__code__.co_filename)


def table(*commands: str, decimals: dict[str, int] | None = None) -> Callable[[Make], Make]:
    """Register a function as the table of its name; it gets the folder of results and returns the rows.

    The first paragraph of its docstring is the caption. ``commands`` are the lines, to be copied, that
    compute the rows. Columns have names that a stranger understands, with their unit in brackets:
    ``top-1 [%]``. The unit decides how many decimals are shown; ``decimals`` overrides it by column.
    """

    def register(make: Make) -> Make:
        caption = " ".join((make.__doc__ or "").split("\n\n")[0].split())
        assert caption, f"the table {make.__name__} needs a docstring, its caption"
        assert make.__name__ not in _TABLES, f"two tables are called {make.__name__}"
        _TABLES[make.__name__] = Table(make, caption, commands, Numbers(decimals or {}))
        return make

    return register


@cache
def tables() -> dict[str, Table]:
    """Return all tables by name."""
    import docs.tables

    for module in iter_modules(docs.tables.__path__):
        import_module(f"docs.tables.{module.name}")
    return dict(sorted(_TABLES.items()))
