"""Loading of images in other processes."""

from __future__ import annotations

import multiprocessing
from typing import Any

from torch.utils.data import DataLoader, Dataset


def loader_of(dataset: Dataset[Any], batch_size: int, workers: int, **options: Any) -> DataLoader[Any]:
    """Return a DataLoader with its images loaded by ``workers`` processes, or by this one if there are none.

    A process of joblib has another way to start processes, with which torch cannot start any. So the way of
    the platform is named. ``options`` are those of ``DataLoader``.

    >>> import torch
    >>> [batch.tolist() for batch in loader_of(torch.arange(3), 2, workers=0)]
    [[0, 1], [2]]
    """
    start = multiprocessing.get_all_start_methods()[0] if workers else None
    return DataLoader(dataset, batch_size, num_workers=workers, multiprocessing_context=start, **options)
