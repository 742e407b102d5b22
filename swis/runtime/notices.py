"""Warnings that are given once."""

from __future__ import annotations

import logging
from functools import cache

log = logging.getLogger("swis")


@cache
def warn_once(line: str) -> None:
    """Log a warning, unless this process has given it before: every point of a sweep would."""
    log.warning(line)
