"""Image data sets by name: how to find the images and labels of a split."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import ImageNetInfo
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS

from swis.data.class_folders import ClassFolders, few, list_classes, numbered
from swis.data.decoding import shown
from swis.data.split import Origin, Split
from swis.errors import InputError
from swis.options.data import DataConfig
from swis.runtime.notices import warn_once
from swis.runtime.progress import tqdm
from swis.runtime.workers import loader_of

_FASHION_FILES = {"train": "train", "test": "t10k"}


def open_split(config: DataConfig, split: str) -> Split:
    """Return a split of the configured data set; raise ``InputError`` if it is missing or not valid.

    >>> from swis.experiments.config import load
    >>> len(open_split(load().data, "test"))
    10000
    """
    if config.name not in _OPENERS:
        raise InputError(f"data.name={config.name} is not known; known are {', '.join(sorted(_OPENERS))}")
    return _OPENERS[config.name](config, split)


# Larger batches do not fit into the caches of a CPU.
_PIXELS_OF_A_BATCH = 1 << 20


def loader(split: Split, batch_size: int | None, workers: int) -> DataLoader:
    """Return batches of a prepared split, in its order; by default of about a million pixels.

    >>> from torchvision.transforms.functional import to_tensor
    >>> from swis.experiments.config import load
    >>> loader(open_split(load().data, "test").prepared(to_tensor, channels=1), None, workers=0).batch_size
    1337
    """
    if batch_size is None:
        batch_size = _default_batch(split[0][0].shape[-2:])
    return loader_of(split, batch_size, workers)


def _default_batch(size: Sequence[int]) -> int:
    height, width = size
    return max(1, _PIXELS_OF_A_BATCH // (height * width))


# Prepared images of at most this many bytes are cached.
_KEPT_BYTES = 1 << 31


def can_be_kept(split: Split) -> bool:
    """Return whether the prepared images take at most 2 GiB."""
    return len(split) * split[0][0].nbytes <= _KEPT_BYTES


def decoded(split: Split, workers: int) -> dict[str, Tensor]:
    """Return all prepared "images" [images, C, H, W] and their "labels" [images].

    >>> from torchvision.transforms.functional import to_tensor
    >>> from swis.experiments.config import load
    >>> split = open_split(load().data, "test").sample(100, seed=0).prepared(to_tensor, channels=1)
    >>> tuple(decoded(split, workers=0)["images"].shape)
    (100, 1, 28, 28)
    """
    # copies, because the tensors of workers are in shared memory, which is small
    batches = [
        (images.clone(), labels.clone())
        for images, labels in tqdm(loader(split, None, workers), "images", leave=False)
    ]
    images, labels = zip(*batches, strict=True)
    return {"images": torch.cat(images), "labels": torch.cat(labels)}


def batched(images: Tensor, labels: Tensor, batch_size: int | None) -> list[tuple[Tensor, Tensor]]:
    """Return decoded images and labels in batches, by default of about a million pixels.

    >>> [len(labels) for _, labels in batched(torch.zeros(100, 1, 28, 28), torch.zeros(100), 64)]
    [64, 36]
    """
    size = batch_size or _default_batch(images.shape[-2:])
    return list(zip(images.split(size), labels.split(size), strict=True))


def read_idx(path: Path) -> np.ndarray:
    """Return the array of an IDX file of uint8 values, the format of MNIST; ".gz" files are decompressed.

    Raises ``InputError`` if the file cannot be read.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if raw[:3] != b"\x00\x00\x08":
            raise ValueError("its header is wrong")
        shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not a complete IDX file of uint8 values ({error})") from error


def _fashion_mnist(config: DataConfig, split: str) -> Split:
    if split not in _FASHION_FILES:
        raise InputError(f"fashion_mnist has the splits train and test, not {split!r}")
    if config.download:
        _stored(config, lambda root: datasets.FashionMNIST(root, download=True))
    if config.root is None:
        folders = [Path(str(resources.files("swis") / "assets" / "fashion_mnist"))]
    else:
        folders = [_root(config), _root(config) / "FashionMNIST" / "raw"]
    kinds = ("images-idx3", "labels-idx1")
    names = [[f"{_FASHION_FILES[split]}-{kind}-ubyte{end}" for end in ("", ".gz")] for kind in kinds]
    places = [[folder / name for folder in folders for name in either] for either in names]
    for either, possible in zip(names, places, strict=True):
        if not any(path.is_file() for path in possible):
            raise InputError(
                f"{either[1]} is not in data.root={_short(config.root)}; data.download=true downloads it"
            )
    images, labels = (read_idx(next(path for path in possible if path.is_file())) for possible in places)
    # all possible files are part of the origin, because a new file can be found before the present one
    return _arrays("fashion_mnist", images, labels, 10, Origin.of(folders[0], [*places[0], *places[1]]))


def _cifar(config: DataConfig, split: str) -> Split:
    if split not in ("train", "test"):
        raise InputError(f"{config.name} has the splits train and test, not {split!r}")
    kind = datasets.CIFAR10 if config.name == "cifar10" else datasets.CIFAR100
    stored = _stored(config, lambda root: kind(root, train=split == "train", download=config.download))
    folder = Path(stored.root) / kind.base_folder
    origin = Origin.of(folder, [folder, *sorted(folder.iterdir())])
    return _arrays(config.name, stored.data, np.array(stored.targets), len(stored.classes), origin)


def _arrays(name: str, images: np.ndarray, labels: np.ndarray, num_classes: int, origin: Origin) -> Split:
    return Split(name, images, labels.astype(np.int64), num_classes, origin)


def _imagenette(config: DataConfig, split: str) -> Split:
    if split not in ("train", "val"):
        raise InputError(f"imagenette has the splits train and val, not {split!r}")
    stored = _stored(
        config, lambda root: datasets.Imagenette(root, split, size="160px", download=config.download)
    )
    return _imagenet_folder("imagenette", Path(stored.root) / "imagenette2-160" / split)


def _stored(config: DataConfig, make: Callable[[Path], Any]) -> Any:
    """Let torchvision find or download a data set below data.root."""
    root = _root(config, must_exist=False)
    datasets.utils.tqdm = tqdm  # downloads use the project's progress bar
    try:
        return make(root)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if config.download:
            raise InputError(f"{config.name} could not be downloaded to {_short(root)}: {reason}") from error
        raise InputError(
            f"{config.name} is not in data.root={_short(root)}; data.download=true downloads it"
        ) from error


def _imagenet(config: DataConfig, split: str) -> Split:
    return _imagenet_folder("imagenet", _split_folder(config, split))


def _imagenet_folder(name: str, folder: Path) -> Split:
    # the rank among all 1,000 ids is the label, so that a part of ImageNet has the same labels
    ranks = {wordnet_id: rank for rank, wordnet_id in enumerate(ImageNetInfo().label_names())}
    found = list_classes(folder)
    unknown = [entry for entry in found.images if entry not in ranks]
    if unknown:
        raise InputError(
            f"{shown(folder)} must have class folders named by WordNet id, such as n01440764, "
            f"but {shown(unknown[0])!r} is not one"
        )
    return _files(name, folder, found, ranks, len(ranks))


def _image_folder(config: DataConfig, split: str) -> Split:
    folder = _split_folder(config, split)
    found = list_classes(folder)
    numbers = numbered(folder, list(found.images), config.class_order)
    missing = sorted(set(range(max(numbers.values()) + 1)) - set(numbers.values()))
    empty = [*(name for name, images in found.images.items() if not images), *map(str, missing)]
    if empty:
        without = f"no images of class {few(empty)}; classes without images ({len(empty)}) still count"
        warn_once(f"{shown(folder)}: {without}")
    split = _files("image_folder", folder, found, numbers, max(numbers.values()) + 1)
    return replace(split, classes={number: name for name, number in numbers.items()})


def _files(name: str, folder: Path, found: ClassFolders, numbers: dict[str, int], num_classes: int) -> Split:
    sources = [path for images in found.images.values() for path in images]
    labels = [numbers[class_name] for class_name, images in found.images.items() for _ in images]
    if not sources:
        raise InputError(f"{shown(folder)} has no images ({' '.join(IMG_EXTENSIONS)})")
    origin = Origin.of(folder, found.folders)
    return Split(name, sources, np.array(labels, np.int64), num_classes, origin)


def _root(config: DataConfig, must_exist: bool = True) -> Path:
    if config.root is None:
        raise InputError(f"data={config.name} needs data.root=FOLDER")
    name = _short(config.root)
    try:
        root = Path(config.root).expanduser()
    except RuntimeError as error:
        raise InputError(f"data.root={name} is not a folder: there is no such user") from error
    if must_exist and not _is_folder(root):
        raise InputError(f"data.root={name} is not a folder")
    return root


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:  # the name is too long, or a parent folder is not accessible
        raise InputError(f"{_short(path)} cannot be accessed: {error.strerror}") from error


def _short(path: str | Path) -> str:
    text = shown(path)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _split_folder(config: DataConfig, split: str) -> Path:
    parts = Path(split).parts
    if not parts or ".." in parts or Path(split).is_absolute():
        raise InputError(
            f"{_short(split)!r} is not a split: data.split, data.calibration_split and retrain.split "
            "must name folders in data.root"
        )
    folder = _root(config) / split
    if not _is_folder(folder):
        raise InputError(
            f"{shown(folder)} is not a folder; data.root must have a folder named {split!r} (data.split and "
            "data.calibration_split name the folders)"
        )
    return folder


_OPENERS: dict[str, Callable[[DataConfig, str], Split]] = {
    "fashion_mnist": _fashion_mnist,
    "cifar10": _cifar,
    "cifar100": _cifar,
    "imagenette": _imagenette,
    "imagenet": _imagenet,
    "image_folder": _image_folder,
}
