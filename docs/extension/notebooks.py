"""Notebooks as pages: what they printed and drew, without widgets, which need a running kernel."""

from __future__ import annotations

import re

import nbformat

from swis.gallery.registry import figures

WIDGET = "application/vnd.jupyter.widget-view+json"
_FIGURE = re.compile(r'gallery\.draw\("(\w+)"\)')


def read(text: str) -> nbformat.NotebookNode:
    """Return a notebook with named pictures, and without widgets, such as bars of progress."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
            cell.metadata["mystnb"] = _names(cell.source)
    return notebook


def _names(source: str) -> dict[str, dict[str, str]]:
    """Return how MyST shows the pictures of a cell: those of the study have their title and caption."""
    shown = _FIGURE.search(source)
    if shown is None:
        return {"image": {"alt": "What the code above draws", "width": "100%"}}
    found = figures()[shown[1]]
    return {"image": {"alt": found.title, "width": "100%"}, "figure": {"caption": found.caption}}
