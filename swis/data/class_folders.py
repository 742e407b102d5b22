"""The image files of a data set with one folder per class."""

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

# Folders that operating systems and storage devices make, in capitals; they are never classes.
_HIDDEN = {"__MACOSX", "__PYCACHE__", "@EADIR", "$RECYCLE.BIN", "SYSTEM VOLUME INFORMATION"}
# Folders that programs make; they are classes only if they contain images.
_MADE_BY_PROGRAMS = {"checkpoints", "logs", "lost+found", "outputs", "runs", "wandb"}

# The largest class number. A network has an output for every class up to the largest number.
_LARGEST_INDEX = 100_000


@dataclass(frozen=True)
class ClassFolders:
    """The images of each class folder, sorted by path, and all folders that were read."""

    images: dict[str, list[Path]]
    folders: list[Path]


def list_classes(folder: Path) -> ClassFolders:
    """Return the image files of every class folder, in alphabetical order.

    Hidden files and folders, folders such as __MACOSX, and folders of programs without images are left out; a
    warning names them. Links are followed. Raises ``InputError`` if there is no class folder.
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
        names = few(sorted(set(left_out)))
        warn_once(f"{shown(folder)}: left out, because they are not classes or images: {names}")
    if not classes:
        raise InputError(f"{shown(folder)} has no class folders; it must have one folder per class")
    return ClassFolders(classes, folders)


def few(names: Sequence[str]) -> str:
    """Return the first five names and the number of the others, as text.

    >>> few(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(map(shown, names[:5]))}{more}"


def _listed(folder: Path) -> tuple[os.stat_result, list[os.DirEntry]]:
    """Return the status of a folder, and its entries; raise ``InputError`` if it cannot be read."""
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
    """Return the image files below a folder, sorted by folder and name; extend the two lists."""
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
    """Return the number of every class: its rank in alphabetical order, or the number that is its name.

    Raises ``InputError`` if the two differ and ``order`` is None, and for names that are not valid numbers.

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
            f"the class folders of {shown(folder)} are numbers: {name!r} is class {indices[name]} by its "
            f"number, but {ranks[name]} in alphabetical order; set data.class_order to index or alphabetical"
        )
    largest = max(names, key=indices.get)
    if indices[largest] > _LARGEST_INDEX:
        raise InputError(
            f"data.class_order=index: the folder {largest!r} in {shown(folder)} is a class number above "
            f"{_LARGEST_INDEX:,}; use data.class_order=alphabetical to number the folders in order"
        )
    if len(set(indices.values())) < len(names):
        raise InputError(f"data.class_order=index: two folders of {shown(folder)} have the same number")
    return indices


def same_class(one: str, other: str) -> bool:
    """Return whether two folders are the same class: equal names, or equal numbers.

    >>> same_class("1", "01"), same_class("1", "a")
    (True, False)
    """
    return one == other or (_is_number(one) and _is_number(other) and int(one) == int(other))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
