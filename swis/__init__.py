"""SWIS: shared weight bit sparsity, from decomposition to accuracy, cycles and storage."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["columns", "load_packed", "load_table", "save_packed"]

if TYPE_CHECKING:
    from swis.packing.file import load_packed, save_packed
    from swis.results.dictionary import columns
    from swis.results.records import load_table

_HOMES = {
    "columns": "swis.results.dictionary",
    "load_packed": "swis.packing.file",
    "load_table": "swis.results.records",
    "save_packed": "swis.packing.file",
}


def __getattr__(name: str) -> Any:
    # loaded on first use: ``import swis.experiments.config`` must not import torch and pandas
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'swis' has no attribute {name!r}")
