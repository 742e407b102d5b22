"""The pages: their examples run, their numbers and commands are those of the results."""

import doctest
import re
from importlib import import_module
from pkgutil import iter_modules

import pytest
from conftest import ROOT

from docs.extension.values import value
from docs.tables import claims

DOCS = ROOT / "docs"
KINDS = ("explanation", "how_to", "reference", "results", "tutorials")
PAGES = [page for kind in KINDS for page in (DOCS / kind).rglob("*.md")]
EXAMPLES = [page for page in PAGES if ">>> " in page.read_text()]
FOLDERS = ("extension", "tables")
MODULES = [f"docs.{folder}.{each.name}" for folder in FOLDERS for each in iter_modules([str(DOCS / folder)])]


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_examples_of_pages_print_what_they_say(page):
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried
    assert not failed


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_extension_hold(name):
    assert not doctest.testmod(import_module(name)).failed


def test_every_value_in_a_sentence_is_known():
    used = [name for page in PAGES for name in re.findall(r"\{results-value\}`(.+?)`", page.read_text())]
    assert used
    for name in used:
        assert value(*name.split("."))


def test_the_page_of_claims_has_all_of_their_commands():
    blocks = re.findall(
        r"^```bash\n(.*?)^```", (DOCS / "results" / "claims.md").read_text(), re.DOTALL | re.MULTILINE
    )
    shown = {line for block in blocks for line in block.splitlines()}
    assert shown == claims.commands(ROOT / "results")
