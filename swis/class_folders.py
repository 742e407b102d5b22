"""The image files of a folder that has a folder for each class."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from swis.choices import ClassOrder
from swis.errors import InputError
from swis.notices import warn_once
from swis.pictures import shown

# Folders that programs make beside those of classes: never classes, and not unless they hold images.
_HIDDEN = {"__MACOSX", "__PYCACHE__"}
_MADE_BY_PROGRAMS = {"checkpoints", "logs", "lost+found", "outputs", "runs", "wandb"}


@dataclass(frozen=True)
class ClassFolders:
    """Images by the name of their class's folder, in order of their paths, and all folders looked at."""

    images: dict[str, list[Path]]
    folders: list[Path]


def list_classes(folder: Path) -> ClassFolders:
    """Return the image files of every class folder, in alphabetical order; ``InputError`` if there is none.

    Left out, and named in the log: hidden folders and files, __MACOSX and the like, and folders without
    images that programs are known to make. Links are followed.
    """
    classes: dict[str, list[Path]] = {}
    folders, left_out = [folder], []
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        if not entry.is_dir():
            continue
        if _is_hidden(entry.name):
            left_out.append(entry.name)
            continue
        found = _images(Path(entry.path), folders, left_out)
        if not found and entry.name.lower() in _MADE_BY_PROGRAMS:
            left_out.append(entry.name)
        else:
            classes[entry.name] = found
    if left_out:
        names = [shown(name) for name in sorted(set(left_out))]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        warn_once(f"{shown(folder)}: left out as no classes and no images: {', '.join(names[:5])}{more}")
    if not classes:
        raise InputError(f"{shown(folder)} holds no folder; it needs a folder for each class")
    return ClassFolders(classes, folders)


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be listed: {error.strerror}") from error


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.upper() in _HIDDEN


def _images(top: Path, folders: list[Path], left_out: list[str]) -> list[Path]:
    """Return the image files below a folder, in order of their folders and names; note what was looked at."""
    found, waiting, seen = [], [top], set()
    while waiting:
        folder = waiting.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.append(folder)
        for entry in _entries(folder):
            is_image = entry.name.lower().endswith(IMG_EXTENSIONS)
            if entry.is_dir() and not _is_hidden(entry.name):
                waiting.append(Path(entry.path))
            elif entry.is_dir() or (is_image and _is_hidden(entry.name)):
                left_out.append(entry.name)
            elif is_image:
                found.append((os.fspath(folder), entry.name, Path(entry.path)))
    return [path for *_, path in sorted(found)]


def numbered(folder: Path, names: list[str], order: ClassOrder | None) -> dict[str, int]:
    """Return the number of every class: its place in alphabetical order, or the number that its name is.

    Names that are numbers and do not come in the order of 0, 1, 2, ... need ``order``, else ``InputError``.

    >>> numbered(Path("val"), ["0", "1", "10", "2"], ClassOrder.index)["10"]
    10
    """
    ranks = {name: rank for rank, name in enumerate(sorted(names))}
    are_numbers = all(map(_is_number, names))
    if order is ClassOrder.alphabetical or (order is None and not are_numbers):
        return ranks
    if not are_numbers:
        other = next(name for name in sorted(names) if not _is_number(name))
        raise InputError(
            f"data.class_order=index: the folder {shown(other)!r} in {shown(folder)} is not a number"
        )
    indices = {name: int(name) for name in names}
    if order is None and indices != ranks:
        name = next(name for name in sorted(names) if indices[name] != ranks[name])
        raise InputError(
            f"the folders of {shown(folder)} are numbers: {name!r} is class {indices[name]} by its number "
            f"and {ranks[name]} in alphabetical order; say data.class_order=index, or alphabetical"
        )
    if len(set(indices.values())) < len(names):
        raise InputError(f"data.class_order=index: two folders of {shown(folder)} have the same number")
    return indices


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
