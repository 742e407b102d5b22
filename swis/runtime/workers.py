"""Processes that load images."""

from __future__ import annotations

import multiprocessing


def start_method(workers: int) -> str | None:
    """Return how ``workers`` processes of a DataLoader start; None if there are none.

    A process of joblib has another default, with which torch cannot start processes.

    >>> start_method(0) is None
    True
    """
    return multiprocessing.get_all_start_methods()[0] if workers else None
