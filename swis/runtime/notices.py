"""Warnings: those that are given once, and whether there was one."""

from __future__ import annotations

import logging
from functools import cache

log = logging.getLogger("swis")

_given = False


@cache
def warn_once(line: str) -> None:
    """Log a warning, unless this process has given it before: every point of a sweep would."""
    log.warning(line)


def were_given() -> bool:
    """Say whether this process has warned of anything, however long ago."""
    return _given


def _see(record: logging.LogRecord) -> bool:
    global _given
    _given = _given or record.levelno >= logging.WARNING
    return True


log.addFilter(_see)
