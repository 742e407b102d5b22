"""SWIS: shared weight bit sparsity, from decomposition to accuracy, cycles and storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["load_table"]

if TYPE_CHECKING:
    from swis.records import load_table


def __getattr__(name: str) -> Any:
    # loaded on first use: ``import swis.config`` must not import torch and pandas
    if name == "load_table":
        from swis.records import load_table

        return load_table
    raise AttributeError(f"module 'swis' has no attribute {name!r}")
