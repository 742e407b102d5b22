"""Notebooks as pages: what they printed and drew, without widgets, which need a running kernel."""

from __future__ import annotations

import nbformat

WIDGET = "application/vnd.jupyter.widget-view+json"


def read(text: str) -> nbformat.NotebookNode:
    """Return a notebook without the outputs that are widgets, such as bars of progress."""
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    return notebook
