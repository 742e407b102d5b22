"""Numbers of the results within a sentence: the role ``{results-value}`` and the functions behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from docs.extension.registry import tables
from swis.gallery import RESULTS
from swis.options.names import require_known

Make = Callable[[Path], Mapping[str, str]]

_VALUES: dict[str, Make] = {}


def values(make: Make) -> Make:
    """Register a function of ``docs.tables``: from the folder of results to texts by name.

    A page has the text of the name ``fair`` of the function ``speedup`` by {results-value}`speedup.fair`.
    """
    assert make.__name__ not in _VALUES, f"two functions of values are called {make.__name__}"
    _VALUES[make.__name__] = make
    return make


@cache
def value(group: str, name: str, results: Path = RESULTS) -> str:
    """Return the text of a value; raise ``InputError`` if there is none of that name."""
    tables()  # which registers values too
    require_known("values", group, _VALUES)
    found = _made(group, results)
    require_known(f"value of {group}", name, found)
    return found[name]


@cache
def _made(group: str, results: Path) -> Mapping[str, str]:
    return _VALUES[group](results)


class ResultsValue(SphinxRole):
    """A number of the results, such as {results-value}`speedup.fair`."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        group, _, name = self.text.partition(".")
        text = value(group, name)
        self.env.note_dependency(_VALUES[group].__code__.co_filename)
        return [nodes.Text(text)], []
