"""Progress bars and notes in terminals and notebooks; none is written to a pipe or a log."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import auto

_hidden = False


def watched() -> bool:
    """Return whether progress can be shown: stderr is a terminal that can draw, or this is a notebook."""
    return not _hidden and (auto.notebook_tqdm is not auto.std_tqdm or _in_terminal())


def _in_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


class tqdm(auto.tqdm):
    """A tqdm bar in a terminal or a notebook; elsewhere, and within ``no_bars``, it shows nothing.

    >>> with no_bars():
    ...     list(tqdm([1, 2]))
    [1, 2]
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings | ({} if watched() else {"disable": True}))


def note(text: str) -> None:
    """Print in a terminal what starts now and takes a while; a notebook would keep it among its outputs."""
    if not _hidden and _in_terminal():
        print(f"{text} ...", file=sys.stderr, flush=True)


@contextmanager
def no_bars() -> Iterator[None]:
    """Hide the bars and notes that are made within this context."""
    global _hidden
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before
