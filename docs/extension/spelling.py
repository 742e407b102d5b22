"""Spelling of all that pages say, captions, tables and docstrings included: an unknown word is a warning."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from spellchecker import SpellChecker
from sphinx.application import Sphinx
from sphinx.util import logging

WORDS = Path(__file__).parents[1] / "words.txt"
# What is no prose: code, formulas, addresses, and what is written below a notebook's cells.
_CODE = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw, nodes.comment)
_NO_WORDS = re.compile(r"https?://\S+|\S*[\w)][./_=]\w\S*|\S*\d\S*")
_WORD = re.compile(r"[A-Za-zÀ-ÿ]+(?:['’][a-z]+)?")  # noqa: RUF001

_log = logging.getLogger(__name__)


@cache
def dictionary() -> SpellChecker:
    """Return the dictionary of English, with the project's words."""
    known = SpellChecker()
    known.word_frequency.load_words(WORDS.read_text().split())
    return known


def unknown(text: str) -> list[str]:
    """Return the words of a text that are in no dictionary.

    >>> unknown("Weights of swis/formats become integers, tehy do")
    ['tehy']
    """
    words = {word for word in _WORD.findall(_NO_WORDS.sub(" ", text)) if len(word) > 1}
    stems = {word: re.sub(r"['’]s?$", "", word) for word in words}  # noqa: RUF001
    wrong = dictionary().unknown(stems.values())
    return sorted(word for word, stem in stems.items() if stem.lower() in wrong)


def check(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Warn of every unknown word of a page, once."""
    said = set()
    for node in doctree.findall(nodes.Text):
        if _is_code(node):
            continue
        for word in unknown(node.astext()):
            if word not in said:
                said.add(word)
                where = node.parent if node.parent.line else page
                _log.warning("unknown word: %s (docs/words.txt has the project's)", word, location=where)


def _is_code(node: nodes.Node) -> bool:
    while (node := node.parent) is not None:
        if isinstance(node, _CODE) or "desc_signature" in type(node).__name__:
            return True
    return False
