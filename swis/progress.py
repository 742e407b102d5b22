"""Progress bars, which a job that writes into a log file does without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import auto

_hidden = False


class tqdm(auto.tqdm):
    """A bar of tqdm, in a terminal or a notebook; an iterable alone within ``no_bars``.

    >>> with no_bars():
    ...     list(tqdm([1, 2]))
    [1, 2]
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | ({"disable": True} if _hidden else {}))


@contextmanager
def no_bars() -> Iterator[None]:
    """Let bars that are made meanwhile not be drawn."""
    global _hidden
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before
