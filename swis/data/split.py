"""A split of a data set: images in memory or in files, their labels, and their identity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from swis.data.class_folders import same_class
from swis.data.contents import Content, examine, identity
from swis.data.decoding import read_image, shown
from swis.errors import DamagedImage, InputError
from swis.runtime.files import stamp
from swis.runtime.notices import warn_once


@dataclass(frozen=True)
class Origin:
    """Where a split was read from: its folder, and stamps of the files and folders that it depends on."""

    folder: Path
    stamps: dict[Path, list[int]]

    @staticmethod
    def of(folder: Path, read: Sequence[Path]) -> Origin:
        return Origin(folder, {path: stamp(path) for path in read})

    @property
    def is_current(self) -> bool:
        """Whether none of the files and folders has changed."""
        return all(stamp(path) == before for path, before in self.stamps.items())


@dataclass(frozen=True)
class Split(Dataset):
    """A split of a data set.

    ``sources``: images as uint8 [images, H, W] or [images, H, W, 3], or paths of image files. ``labels``:
    int64 [images]. Indexing returns (transform(image), label), with the image in PIL's ``mode`` "L" or "RGB".
    ``contents``: the hashes of the files, once they have been read. ``damaged``: the number of files left out
    because they cannot be decoded. ``shared``: the number of images left out because accuracy is measured on
    them. ``classes``: the name of each label's folder, if the folders define the labels.
    """

    name: str
    sources: np.ndarray | list[Path]
    labels: np.ndarray
    num_classes: int
    origin: Origin
    transform: Callable[[Image.Image], Tensor] | None = None
    mode: str = "RGB"
    contents: list[Content] | None = None
    damaged: int = 0
    shared: int = 0
    classes: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(read_image(self.sources[index], self.mode)), int(self.labels[index])

    @property
    def in_files(self) -> bool:
        """Whether every image is a file of its own."""
        return not isinstance(self.sources, np.ndarray)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the labels and the images (the bytes of files), independent of names and times.

        Raises ``DamagedImage`` if a file cannot be read.
        """
        if self.in_files:
            looked_at = self if self.contents is not None else self.looked_at(decode=False)
            return identity(looked_at.contents, self.labels.tolist())
        found = hashlib.sha256(self.sources.tobytes() + self.labels.tobytes())
        if self.sources.shape[1] != self.sources.shape[2]:  # square images have only one possible shape
            found.update(str(self.sources.shape).encode())
        return found.hexdigest()

    @cached_property
    def identities(self) -> list[str]:
        """The SHA-256 of every image (the bytes of a file)."""
        if not self.in_files:
            return [hashlib.sha256(image.tobytes()).hexdigest() for image in self.sources]
        contents = self.contents or self.looked_at(decode=False).contents
        return [content.sha256 for content in contents]

    def looked_at(self, decode: bool, skip: bool = False) -> Split:
        """Return the split with the contents of its files; with ``decode`` every file is decoded once.

        A file that cannot be read or decoded raises ``DamagedImage``. With ``skip`` it is left out instead,
        and a warning names it.
        """
        if not self.in_files:
            return self
        contents = examine(self.origin.folder, self.sources, decode)
        bad = [place for place, content in enumerate(contents) if content.fault is not None]
        if bad:
            first = f"{shown(self.sources[bad[0]])} {contents[bad[0]].fault}"
            others = f"; {len(bad) - 1} more of {len(contents)} images have faults" if len(bad) > 1 else ""
            if not skip:
                raise DamagedImage(f"{first}{others}; data.damaged=skip leaves such files out")
            if len(bad) == len(contents):
                raise DamagedImage(f"{first}{others}; no image is left")
            warn_once(f"{len(bad)} of {len(contents)} images left out: {first}{others}")
        found = replace(self, contents=contents, damaged=self.damaged + len(bad))
        return found.without(bad) if bad else found

    def prepared(self, transform: Callable[[Image.Image], Tensor], channels: int) -> Split:
        """Return the split with a transform, for a network with 1 or 3 input channels."""
        return replace(self, transform=transform, mode="L" if channels == 1 else "RGB")

    def sample(self, count: int | None, seed: int) -> Split:
        """Return a random sample of ``count`` images without replacement, in their order.

        The split itself is returned if ``count`` is None or not below its size.
        """
        if count is None or count >= len(self):
            return self
        generator = torch.Generator().manual_seed(seed)
        return self._at(torch.randperm(len(self), generator=generator)[:count].sort().values.numpy())

    def without(self, places: Sequence[int]) -> Split:
        """Return the split without the images at these indices."""
        return self._at(np.setdiff1d(np.arange(len(self)), places))

    def _at(self, keep: np.ndarray) -> Split:
        """Return the split with only the images at these indices."""

        def of(values: Any) -> Any:
            return values[keep] if isinstance(values, np.ndarray) else [values[i] for i in keep]

        contents = None if self.contents is None else of(self.contents)
        return replace(self, sources=of(self.sources), labels=of(self.labels), contents=contents)


def check_classes(first: Split, second: Split) -> None:
    """Raise ``InputError`` if a label belongs to different classes in two splits of one data set."""
    for label in sorted(first.classes.keys() & second.classes.keys()):
        one, other = first.classes[label], second.classes[label]
        if not same_class(one, other):
            raise InputError(
                f"{shown(first.origin.folder)} and {shown(second.origin.folder)} have different folders: "
                f"class {label} is {shown(one)!r} in the first and {shown(other)!r} in the second"
            )
