"""Names that are not known, and the nearest one that is."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from swis.errors import InputError


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` is probably a misspelling of.

    >>> nearest("bit", ["alpha", "bits"]), nearest("colour", ["alpha", "bits"])
    ('bits', None)
    """
    lower = {each.lower(): each for each in known}
    found = get_close_matches(name.lower(), lower, n=1)
    return lower[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question after a message that a name is not known; nothing if none is like it.

    >>> did_you_mean("swsi", ["round", "swis"])
    '; did you mean swis?'
    """
    found = nearest(name, known)
    return f"; did you mean {found}?" if found else ""


def require_known(what: str, name: str, known: Iterable[str]) -> None:
    """Raise ``InputError`` if a name is none of the known ones.

    >>> require_known("method", "swsi", ["round", "swis"])
    Traceback (most recent call last):
    swis.errors.InputError: method is one of round, swis, not 'swsi'; did you mean swis?
    """
    names = [str(each) for each in known]
    if name not in names:
        question = did_you_mean(str(name), names)
        raise InputError(f"{what} is one of {', '.join(names)}, not {str(name)!r}{question}")
