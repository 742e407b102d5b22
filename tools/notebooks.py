"""Execute notebooks/*.py and write them as .ipynb with outputs: python tools/notebooks.py [NAME ...]."""

import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

from swis.runtime.progress import tqdm

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def executed(path: Path) -> nbformat.NotebookNode:
    """Return the notebook of a py:percent file after executing it in its folder; only outputs are added."""
    notebook = jupytext.read(path)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL})
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"], cell["metadata"] = f"cell-{number}", {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_bar(output)]
    if not any(_is_widget(output) for cell in notebook.cells for output in cell.get("outputs", ())):
        notebook.metadata.pop("widgets", None)  # the states of bars
    return notebook


def _is_widget(output: nbformat.NotebookNode) -> bool:
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})


def _is_bar(output: nbformat.NotebookNode) -> bool:
    """Say whether an output is a progress bar: a widget without a picture, of no use without its kernel."""
    return _is_widget(output) and "image/png" not in output.data


def main(names: list[str]) -> None:
    """Execute the named notebooks, or all."""
    paths = [NOTEBOOKS / f"{name}.py" for name in names] or sorted(NOTEBOOKS.glob("*.py"))
    for path in tqdm(paths, desc="notebooks"):
        nbformat.write(executed(path), path.with_suffix(".ipynb"))


if __name__ == "__main__":
    main(sys.argv[1:])
