"""SWIS: shared weight bit sparsity, from decomposition to accuracy, cycles and storage."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["load_packed", "load_table", "save_packed"]

if TYPE_CHECKING:
    from swis.packed import load_packed, save_packed
    from swis.records import load_table

_HOMES = {"load_packed": "swis.packed", "load_table": "swis.records", "save_packed": "swis.packed"}


def __getattr__(name: str) -> Any:
    # loaded on first use: ``import swis.config`` must not import torch and pandas
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'swis' has no attribute {name!r}")
