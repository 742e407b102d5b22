"""The image files of a folder that has a folder for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from swis.data.decoding import shown
from swis.errors import InputError
from swis.options.choices import ClassOrder
from swis.runtime.notices import warn_once

# Folders of operating systems and of storage, in capitals: no classes, whatever images they hold.
_HIDDEN = {"__MACOSX", "__PYCACHE__", "@EADIR", "$RECYCLE.BIN", "SYSTEM VOLUME INFORMATION"}
# Folders that programs write into where they run: classes if they hold images, for a class may be named so.
_MADE_BY_PROGRAMS = {"checkpoints", "logs", "lost+found", "outputs", "runs", "wandb"}

# A number above this is no class's: networks have an output for every class up to the last.
_LARGEST_INDEX = 100_000


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
    for entry in sorted(_listed(folder)[1], key=lambda entry: entry.name):
        if not _is_folder(entry):
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
        warn_once(f"{shown(folder)}: left out as no classes and no images: {few(sorted(set(left_out)))}")
    if not classes:
        raise InputError(f"{shown(folder)} holds no folder; it needs a folder for each class")
    return ClassFolders(classes, folders)


def few(names: Sequence[str]) -> str:
    """Name the first five, and count the others.

    >>> few(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(map(shown, names[:5]))}{more}"


def _listed(folder: Path) -> tuple[os.stat_result, list[os.DirEntry]]:
    """Return what tells a folder from others, and its entries."""
    try:
        with os.scandir(folder) as entries:
            return folder.stat(), list(entries)
    except OSError as error:
        raise InputError(f"{shown(folder)} cannot be listed: {error.strerror}") from error


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # such as a link to itself
        return False


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.upper() in _HIDDEN


def _images(top: Path, folders: list[Path], left_out: list[str]) -> list[Path]:
    """Return the image files below a folder, in order of their folders and names; note what was looked at."""
    found, waiting, seen = [], [top], set()
    while waiting:
        folder = waiting.pop()
        status, entries = _listed(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above
            continue
        seen.add((status.st_dev, status.st_ino))
        folders.append(folder)
        for entry in entries:
            is_folder, is_image = _is_folder(entry), entry.name.lower().endswith(IMG_EXTENSIONS)
            if _is_hidden(entry.name):
                left_out.extend([entry.name] if is_folder or is_image else [])
            elif is_folder:
                waiting.append(Path(entry.path))
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
    largest = max(names, key=indices.get)
    if indices[largest] > _LARGEST_INDEX:
        raise InputError(
            f"data.class_order=index: the folder {largest!r} in {shown(folder)} would be a class above "
            f"{_LARGEST_INDEX:,}; data.class_order=alphabetical numbers folders in order"
        )
    if len(set(indices.values())) < len(names):
        raise InputError(f"data.class_order=index: two folders of {shown(folder)} have the same number")
    return indices


def same_class(one: str, other: str) -> bool:
    """Tell whether two folders have the name, or as numbers the value, of one class.

    >>> same_class("1", "01"), same_class("1", "a")
    (True, False)
    """
    return one == other or (_is_number(one) and _is_number(other) and int(one) == int(other))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
