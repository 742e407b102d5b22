"""README.md is short, its claims are those of the rows, and its links and words are right."""

import re

import pytest
from conftest import ROOT

from docs.extension.spelling import unknown
from tools.readme import README, with_rows

TEXT = README.read_text()


def test_it_is_a_page():
    lines = TEXT.splitlines()
    assert len(lines) <= 220
    assert max(map(len, lines)) <= 120


def test_its_numbers_are_those_of_the_rows():
    assert with_rows(TEXT) == TEXT, "make claims writes them"


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_lead_somewhere(name):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text())
    assert targets or name != "README.md"
    for target in targets:
        assert (ROOT / target).exists(), target


def test_its_words_are_spelled_right():
    prose = re.sub(r"```.*?```|<[^>]+>|`[^`]*`|\]\([^)]*\)", " ", TEXT, flags=re.DOTALL)
    assert unknown(prose) == []
