"""The images that several runs have in common: listed once, decoded once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import Tensor

from swis.data import Split, batched, can_be_kept, decoded, loader, open_split
from swis.files import stamps
from swis.settings import DataConfig
from swis.shared import in_memory, on_disk


def shared_split(data: DataConfig, name: str) -> Split:
    """Return all images of a split as they are; raises as ``swis.data.open_split``.

    >>> from swis.config import load
    >>> len(shared_split(load().data, "test"))
    10000
    """
    place = [data.name, data.root, data.download, name]
    now = [] if data.root is None else [stamps(data.root), stamps(f"{data.root}/{name}")]
    return in_memory("split", [*place, now], lambda: open_split(data, name))


def shared_images(
    split: Split, inputs: dict[str, Any], folder: Path | None, workers: int
) -> dict[str, Tensor]:
    """Return the decoded images [N, C, H, W] and labels [N] of a split that is prepared for ``inputs``."""
    return on_disk("images", [split.digest, inputs], folder, lambda: decoded(split, workers))


def shared_batches(
    split: Split, inputs: dict[str, Any], folder: Path | None, data: DataConfig, batch_size: int | None
) -> Collection[tuple[Tensor, Tensor]]:
    """Return the batches of images and labels of a split that is prepared for ``inputs``.

    Too many images to keep are decoded as they are needed.
    """
    if not can_be_kept(split):
        return loader(split, batch_size, data.workers)
    return batched(**shared_images(split, inputs, folder, data.workers), batch_size=batch_size)
