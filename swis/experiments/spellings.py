"""Guesses at what somebody meant who typed words that are no NAME=VALUE."""

from __future__ import annotations

import re

OVERRIDE = re.compile(r"(\+\+|\+)?[^=\s]+=|~")


def split(given: str) -> str:
    """Return several NAME=VALUE that were given as one word, or with commas; else an empty text."""
    words = [word.rstrip(",") for word in given.split()]
    return " ".join(words) if all(map(OVERRIDE.match, words)) else ""


def joined(given: str) -> str:
    """Join words to one NAME=VALUE.

    >>> joined("methods = [swis, truncate]"), joined("bits 3")
    ('methods=[swis,truncate]', 'bits=3')
    """
    text = re.sub(r"\s*[=:]+\s*", "=", given, count=1)
    text = text if "=" in text else re.sub(r"\s+", "=", text, count=1)
    text = re.sub(r"\s*([\[\],])\s*", r"\1", text)
    return re.sub(r"[,\s]+", ",", text) if "[" in text else text


def dotted(given: str) -> str:
    """Replace the brackets around the numbers of list elements by dots.

    >>> dotted("recipe.stages[0].epochs=3")
    'recipe.stages.0.epochs=3'
    """
    name, equals, value = given.partition("=")
    return re.sub(r"\[(\d+)\]", r".\1", name) + equals + value


def unquoted(given: str) -> str:
    """Remove quotes at the ends of a value."""
    name, equals, value = given.partition("=")
    return name + equals + value.strip("'\"") if equals else ""


def quoted(given: str) -> str:
    """Put quotes around a value, for Hydra's grammar, and around the whole text, for the shell."""
    name, equals, value = given.partition("=")
    return f"'{name}=\"{value}\"'" if equals and not set(value) & set("\"'$\\") else ""
