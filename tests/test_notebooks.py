"""Notebooks and their py:percent files are pairs, executed, thin and short (nbmake executes them)."""

import ast
import re

import jupytext
import nbformat
import pytest
from conftest import ROOT

from swis.analysis.claims_table import markdown, scoreboard

SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
STUDIES = [path for path in SOURCES if path.stem != "90_explore"]  # each asks one question
_LOGIC = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.Try)
_ROWS, _COLUMNS, _TABLES = 15, 8, 2
_LARGEST = 600_000  # bytes


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def kept(path) -> nbformat.NotebookNode:
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


def texts(path, kind: str) -> list[str]:
    """The kept outputs of a notebook that are of a kind, such as text/html."""
    outputs = [output for cell in kept(path).cells for output in cell.get("outputs", ())]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def test_every_notebook_has_its_pair():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [path.stem for path in notebooks] == [path.stem for path in SOURCES]


@each(SOURCES)
def test_a_pair_says_the_same_and_its_outputs_are_kept(path):
    written, notebook = jupytext.read(path), kept(path)
    assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.source) for cell in written.cells
    ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs
    assert not [output for output in outputs if output.output_type in ("error", "stream")]


@each(STUDIES)
def test_a_notebook_asks_and_answers(path):
    first, _, parameters, *_ = kept(path).cells  # between the two are imports
    title = first.source.partition("\n")[0]
    assert title.startswith("# ") and title.endswith("?")
    assert parameters.source.startswith("# Change me")
    assert "## Answer" in [cell.source for cell in kept(path).cells]
    answer = texts(path, "text/markdown")[-1]
    assert re.match(r"\*\*[^*]*\d[^*]*\.\*\*", answer)  # one sentence in bold, with a number


@each(STUDIES)
def test_tables_are_short(path):
    bodies = re.findall("<tbody>(.*?)</tbody>", "".join(texts(path, "text/html")), re.DOTALL)
    assert len(bodies) <= _TABLES
    for body in bodies:
        rows = body.split("<tr>")[1:]
        assert len(rows) <= _ROWS
        assert max(row.count("<td") for row in rows) <= _COLUMNS
    assert path.with_suffix(".ipynb").stat().st_size <= _LARGEST


@each(STUDIES)
def test_numbers_are_written_out(path):
    shown = [*texts(path, "text/html"), *texts(path, "text/plain"), *texts(path, "text/markdown")]
    assert not re.findall(r"\d[eE][+-]\d+|[+-]?nan\b|NaN|<NA>", "\n".join(shown))


@each(STUDIES)
def test_no_progress_bar_is_kept(path):
    assert not texts(path, "application/vnd.jupyter.widget-view+json")
    assert "widgets" not in kept(path).metadata


def test_the_scoreboard_kept_in_its_notebook_is_that_of_the_rows():
    pages = texts(ROOT / "notebooks" / "70_claims.py", "text/markdown")
    assert pages[0] == markdown(scoreboard(ROOT / "results"))


@each(SOURCES)
def test_notebooks_are_thin(path):
    logic = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, _LOGIC)]
    assert not logic, f"line {logic[0].lineno} belongs into the package"
