"""Notebooks and their py:percent files are pairs, executed and thin (nbmake executes them)."""

import ast

import jupytext
import nbformat
import pytest
from conftest import ROOT

from swis.analysis.claims_table import scoreboard

SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
_LOGIC = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try)


def test_every_notebook_has_its_pair():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [path.stem for path in notebooks] == [path.stem for path in SOURCES]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_pair_says_the_same_and_its_outputs_are_kept(path):
    written, kept = jupytext.read(path), nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.cell_type, cell.source) for cell in written.cells
    ]
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type in ("error", "stream")]


def test_the_scoreboard_kept_in_its_notebook_is_that_of_the_rows():
    kept = nbformat.read(ROOT / "notebooks" / "70_claims.ipynb", as_version=4)
    pages = [out.data["text/html"] for cell in kept.cells for out in cell.get("outputs", ()) if "data" in out]
    board = scoreboard(ROOT / "results").set_index("claim")
    shown = board[["paper", "most", "fair", "fair_low", "fair_high", "against", "verdict"]].round(2)
    assert shown.to_html(notebook=True) in pages[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_notebooks_are_thin(path):
    logic = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, _LOGIC)]
    assert not logic, f"line {logic[0].lineno} belongs into the package"
