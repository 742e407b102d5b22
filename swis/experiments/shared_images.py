"""Images that several runs share: they are listed and decoded once."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from swis.data.decoding import shown
from swis.data.image_sets import Split, batched, can_be_kept, decoded, loader, open_split
from swis.errors import DamagedImage
from swis.experiments.shared import in_memory, on_disk
from swis.options.choices import Damaged
from swis.options.data import DataConfig
from swis.runtime.notices import warn_once


def shared_split(data: DataConfig, name: str) -> Split:
    """Return all images of a split, not yet decoded; errors are those of ``swis.data.image_sets.open_split``.

    >>> from swis.experiments.config import load
    >>> len(shared_split(load().data, "test"))
    10000
    """
    place = [data.name, data.root, str(Path.cwd()), data.download, data.class_order, name]
    return in_memory("split", place, lambda: open_split(data, name), lambda split: split.origin.is_current)


def drawn(data: DataConfig, name: str, count: int | None, seed: int, decode: bool = True) -> Split:
    """Return ``count`` random images of a split, chosen by a seed; none is damaged.

    Every file is decoded once to check it, unless ``decode`` is false. A damaged file raises
    ``DamagedImage``, or is left out with ``data.damaged=skip``.
    """
    skip = data.damaged is Damaged.skip
    return shared_split(data, name).sample(count, seed).looked_at(decode or skip, skip)


def in_both(first: Split, second: Split) -> int:
    """Count the images of the second split that are also in the first, byte for byte."""
    return len(_places_of_shared(first, second))


def _places_of_shared(first: Split, second: Split) -> list[int]:
    known = set(first.identities)
    return [place for place, identity in enumerate(second.identities) if identity in known]


def apart(images: Split, measured: Split) -> Split:
    """Return ``images`` without those in ``measured``, with a warning; all, if that leaves less than half."""
    places = _places_of_shared(measured, images)
    if not places or 2 * len(places) > len(images):
        return images
    first = images.sources[places[0]]
    name = shown(first) if isinstance(first, Path) else f"number {places[0]} of them"
    warn_once(
        f"{len(places)} of {len(images)} calibration or training images of {shown(images.origin.folder)} are "
        f"left out, because they are measured on; the first: {name}"
    )
    return replace(images.without(places), shared=images.shared + len(places))


def left_over(images: Split, used: Iterable[Split]) -> Split:
    """Return the images that are in none of the ``used`` splits, byte for byte; there may be none."""
    known = {identity for split in used for identity in split.identities}
    return images.without([place for place, each in enumerate(images.identities) if each in known])


def shared_images(
    split: Split, inputs: dict[str, Any], folder: Path | None, workers: int
) -> dict[str, Tensor]:
    """Return the decoded images [N, C, H, W] and labels [N] of a split prepared for ``inputs``."""

    def decode() -> dict[str, Tensor]:
        made = decoded(split, workers)
        if split.contents is not None and split.looked_at(decode=False).contents != split.contents:
            raise DamagedImage(f"images in {shown(split.origin.folder)} changed meanwhile; run again")
        return made

    return on_disk("images", [split.digest, inputs], folder, decode)


def shared_batches(
    split: Split, inputs: dict[str, Any], folder: Path | None, data: DataConfig, batch_size: int | None
) -> Collection[tuple[Tensor, Tensor]]:
    """Return batches (images, labels) of a split prepared for a network's ``inputs``.

    If the images do not fit into memory, they are decoded when they are needed.
    """
    if not can_be_kept(split):
        return loader(split, batch_size, data.workers)
    return batched(**shared_images(split, inputs, folder, data.workers), batch_size=batch_size)
