"""Where the written configuration is: conf/ of the repository, which an installed package has inside it."""

from __future__ import annotations

from pathlib import Path

_INSTALLED = Path(__file__).parents[1] / "conf"

CONF = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[2] / "conf"
