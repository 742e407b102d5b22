"""The images that several runs have in common: listed once, decoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from swis.choices import Damaged
from swis.data import Split, batched, can_be_kept, decoded, loader, open_split
from swis.errors import DamagedImage
from swis.pictures import shown
from swis.settings import DataConfig
from swis.shared import in_memory, on_disk


def shared_split(data: DataConfig, name: str) -> Split:
    """Return all images of a split as they are; raises as ``swis.data.open_split``.

    >>> from swis.config import load
    >>> len(shared_split(load().data, "test"))
    10000
    """
    place = [data.name, data.root, str(Path.cwd()), data.download, data.class_order, name]
    return in_memory("split", place, lambda: open_split(data, name), lambda split: split.origin.is_current)


def drawn(data: DataConfig, name: str, count: int | None, seed: int, decode: bool = True) -> Split:
    """Return ``count`` images of a split, drawn by a seed, none of which is damaged.

    Files are decoded once, unless not to ``decode``; one that cannot raises ``DamagedImage``, or is left out
    with ``data.damaged=skip``.
    """
    skip = data.damaged is Damaged.skip
    return shared_split(data, name).sample(count, seed).looked_at(decode or skip, skip)


def in_both(first: Split, second: Split) -> int:
    """Count the images of the second split that the first holds as well, byte for byte."""
    known = set(_identities(first))
    return sum(identity in known for identity in _identities(second))


def _identities(split: Split) -> Iterator[str]:
    if isinstance(split.sources, np.ndarray):
        return (hashlib.sha256(image.tobytes()).hexdigest() for image in split.sources)
    contents = split.contents or split.looked_at(decode=False).contents
    return (content.sha256 for content in contents)


def shared_images(
    split: Split, inputs: dict[str, Any], folder: Path | None, workers: int
) -> dict[str, Tensor]:
    """Return the decoded images [N, C, H, W] and labels [N] of a split that is prepared for ``inputs``."""

    def decode() -> dict[str, Tensor]:
        made = decoded(split, workers)
        if split.contents is not None and split.looked_at(decode=False).contents != split.contents:
            raise DamagedImage(f"images of {shown(split.origin.folder)} changed meanwhile; run again")
        return made

    return on_disk("images", [split.digest, inputs], folder, decode)


def shared_batches(
    split: Split, inputs: dict[str, Any], folder: Path | None, data: DataConfig, batch_size: int | None
) -> Collection[tuple[Tensor, Tensor]]:
    """Return the batches of images and labels of a split that is prepared for ``inputs``.

    Too many images to keep are decoded as they are needed.
    """
    if not can_be_kept(split):
        return loader(split, batch_size, data.workers)
    return batched(**shared_images(split, inputs, folder, data.workers), batch_size=batch_size)
