"""Directives of the pages: tables and figures of the committed results."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from docs.extension.registry import tables
from docs.extension.table_nodes import table_node
from swis.errors import InputError
from swis.gallery import RESULTS
from swis.gallery.registry import figures
from swis.options.names import require_known


class _Results(SphinxDirective):
    required_arguments = 1

    def known(self, what: str, name: str, names: Iterable[str]) -> None:
        try:
            require_known(what, name, names)
        except InputError as error:
            raise self.error(str(error)) from error

    def inline(self, text: str) -> list[nodes.Node]:
        parsed, messages = self.state.inline_text(text, self.lineno)
        return [*parsed, *messages]

    def commands(self, lines: Sequence[str]) -> list[nodes.Node]:
        """A block that can be copied."""
        if not lines:
            return []
        text = "\n".join(lines)
        return [nodes.literal_block(text, text, language="bash", classes=["made-by"])]


class ResultsTable(_Results):
    """A table by its name in ``docs.tables``, its caption above, below it the commands of its rows."""

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        self.known("table", name, tables())
        found = tables()[name]
        self.env.note_dependency(str(found.source))
        rows = found.make(RESULTS)
        table = table_node(rows, self.inline(found.caption), found.numbers, self.inline)
        self.add_name(table)
        return [table, *self.commands(found.commands)]


class ResultsFigure(_Results):
    """A figure by its name in ``swis.gallery``, its caption below, and commands of rows that no table has."""

    option_spec: ClassVar = {"command": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        self.known("figure", name, figures())
        found = figures()[name]
        folder = os.path.relpath(RESULTS / "figures", self.env.srcdir)
        # Sphinx makes an image that has a width a link to its file
        image = nodes.image(uri=f"/{folder}/{name}.png", alt=found.title, width="100%")
        caption = self.inline(f"{found.caption} Drawn by `python -m swis.gallery {name}`.")
        figure = nodes.figure("", image, nodes.caption("", "", *caption))
        self.add_name(figure)
        return [figure, *self.commands(self.options.get("command", "").splitlines())]
