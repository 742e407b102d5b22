"""Errors for unknown names, with the most similar known name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from swis.errors import InputError


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to ``name``; None if none is similar.

    >>> nearest("bit", ["alpha", "bits"]), nearest("colour", ["alpha", "bits"])
    ('bits', None)
    """
    lower = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), lower, n=1)
    return lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name; empty if no known name is similar.

    >>> did_you_mean("swsi", ["round", "swis"])
    '; did you mean swis?'
    """
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""


def require_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ``InputError`` if a name is not a known one.

    >>> require_known("method", "swsi", ["round", "swis"])
    Traceback (most recent call last):
    swis.errors.InputError: method must be one of round, swis, not 'swsi'; did you mean swis?
    """
    names = [str(each) for each in known]
    if name not in names:
        question = did_you_mean(str(name), names)
        raise InputError(f"{what} must be one of {', '.join(names)}, not {str(name)!r}{question}")
