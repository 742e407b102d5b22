"""Warnings that are logged once per process, and whether any warning was logged."""

from __future__ import annotations

import logging
from functools import cache

log = logging.getLogger("swis")

_given = False


@cache
def warn_once(line: str) -> None:
    """Log a warning once per process, so that the points of a sweep do not repeat it."""
    log.warning(line)


def were_given() -> bool:
    """Return whether this process has logged any warning so far."""
    return _given


def _see(record: logging.LogRecord) -> bool:
    global _given
    _given = _given or record.levelno >= logging.WARNING
    return True


log.addFilter(_see)
