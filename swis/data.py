"""Image data sets: one split as a list of images with labels, whatever it is stored in."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import ImageNetInfo
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

from swis.errors import InputError
from swis.progress import tqdm
from swis.settings import DataConfig

_FASHION_FILES = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class Split(Dataset):
    """One split: images as uint8 [images, H, W] or [images, H, W, 3], or as paths of image files.

    ``labels`` [images] int64. Indexing gives (transform(image), label) with the image in PIL's
    ``mode`` ("L" or "RGB").
    """

    name: str
    sources: np.ndarray | list[Path]
    labels: np.ndarray
    num_classes: int
    transform: Callable[[Image.Image], Tensor] | None = None
    mode: str = "RGB"

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        source = self.sources[index]
        try:
            image = Image.open(source) if isinstance(source, Path) else Image.fromarray(source)
            image = image.convert(self.mode)
        except OSError as error:
            raise InputError(f"{source} is not a whole image ({error})") from error
        return self.transform(image), int(self.labels[index])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the labels and the images; of files, of their names and sizes."""
        if isinstance(self.sources, np.ndarray):
            content = self.sources.tobytes()
        else:
            lines = [f"{path.parent.name}/{path.name} {path.stat().st_size}" for path in self.sources]
            content = "\n".join(lines).encode()
        return hashlib.sha256(content + self.labels.tobytes()).hexdigest()

    def prepared(self, transform: Callable[[Image.Image], Tensor], channels: int) -> Split:
        """Return the split with a transform, for a network of 1 or 3 input channels."""
        return replace(self, transform=transform, mode="L" if channels == 1 else "RGB")

    def sample(self, count: int | None, seed: int) -> Split:
        """Keep ``count`` images drawn without replacement (in their order); all if null or too few."""
        if count is None or count >= len(self):
            return self
        generator = torch.Generator().manual_seed(seed)
        keep = torch.randperm(len(self), generator=generator)[:count].sort().values.numpy()
        arrays = isinstance(self.sources, np.ndarray)
        sources = self.sources[keep] if arrays else [self.sources[i] for i in keep]
        return replace(self, sources=sources, labels=self.labels[keep])


def open_split(config: DataConfig, split: str) -> Split:
    """Open a split of the configured data set; raise ``InputError`` when it is not there.

    >>> from swis.config import load
    >>> len(open_split(load().data, "test"))
    10000
    """
    if config.name not in _OPENERS:
        raise InputError(f"data.name={config.name} is not known; there are {', '.join(sorted(_OPENERS))}")
    return _OPENERS[config.name](config, split)


# Feature maps of more pixels than this leave a CPU's caches, and their memory is not used again.
_PIXELS_OF_A_BATCH = 1 << 20


def loader(split: Split, batch_size: int | None, workers: int) -> DataLoader:
    """Batches of a prepared split in its own order, by default of a million pixels.

    >>> from torchvision.transforms.functional import to_tensor
    >>> from swis.config import load
    >>> loader(open_split(load().data, "test").prepared(to_tensor, channels=1), None, workers=0).batch_size
    1337
    """
    if batch_size is None:
        batch_size = _default_batch(split[0][0].shape[-2:])
    return DataLoader(split, batch_size, num_workers=workers)


def _default_batch(size: Sequence[int]) -> int:
    height, width = size
    return max(1, _PIXELS_OF_A_BATCH // (height * width))


# Prepared images of at most this many bytes are kept, not decoded again.
_KEPT_BYTES = 1 << 31


def can_be_kept(split: Split) -> bool:
    """Tell whether the prepared images take 2 GiB at most."""
    return len(split) * split[0][0].nbytes <= _KEPT_BYTES


def decoded(split: Split, workers: int) -> dict[str, Tensor]:
    """Return all prepared "images" [images, C, H, W] and their "labels" [images].

    >>> from torchvision.transforms.functional import to_tensor
    >>> from swis.config import load
    >>> split = open_split(load().data, "test").sample(100, seed=0).prepared(to_tensor, channels=1)
    >>> tuple(decoded(split, workers=0)["images"].shape)
    (100, 1, 28, 28)
    """
    # copies, since what workers hand over lies in shared memory, of which there is little
    batches = [
        (images.clone(), labels.clone())
        for images, labels in tqdm(loader(split, None, workers), "images", leave=False)
    ]
    images, labels = zip(*batches, strict=True)
    return {"images": torch.cat(images), "labels": torch.cat(labels)}


def batched(images: Tensor, labels: Tensor, batch_size: int | None) -> list[tuple[Tensor, Tensor]]:
    """Cut decoded images into batches, by default of a million pixels.

    >>> [len(labels) for _, labels in batched(torch.zeros(100, 1, 28, 28), torch.zeros(100), 64)]
    [64, 36]
    """
    size = batch_size or _default_batch(images.shape[-2:])
    return list(zip(images.split(size), labels.split(size), strict=True))


def read_idx(path: Path) -> np.ndarray:
    """Read an IDX file of uint8 (optionally gzipped), the format of MNIST and Fashion-MNIST."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if raw[:3] != b"\x00\x00\x08":
            raise ValueError("its first bytes are others")
        shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} is not a whole IDX file of bytes ({error})") from error


def _fashion_mnist(config: DataConfig, split: str) -> Split:
    if split not in _FASHION_FILES:
        raise InputError(f"fashion_mnist has the splits train and test, not {split!r}")
    if config.download:
        _stored(config, lambda root: datasets.FashionMNIST(root, download=True))
    if config.root is None:
        folders = [Path(str(resources.files("swis") / "assets" / "fashion_mnist"))]
    else:
        folders = [_root(config), _root(config) / "FashionMNIST" / "raw"]

    def find(kind: str) -> Path:
        names = [f"{_FASHION_FILES[split]}-{kind}-ubyte{end}" for end in ("", ".gz")]
        found = [folder / name for folder in folders for name in names if (folder / name).is_file()]
        if not found:
            raise InputError(f"{names[1]} is not in data.root={config.root}; data.download=true fetches it")
        return found[0]

    return _arrays("fashion_mnist", read_idx(find("images-idx3")), read_idx(find("labels-idx1")), 10)


def _cifar(config: DataConfig, split: str) -> Split:
    if split not in ("train", "test"):
        raise InputError(f"{config.name} has the splits train and test, not {split!r}")
    kind = datasets.CIFAR10 if config.name == "cifar10" else datasets.CIFAR100
    stored = _stored(config, lambda root: kind(root, train=split == "train", download=config.download))
    return _arrays(config.name, stored.data, np.array(stored.targets), len(stored.classes))


def _arrays(name: str, images: np.ndarray, labels: np.ndarray, num_classes: int) -> Split:
    return Split(name, images, labels.astype(np.int64), num_classes)


def _imagenette(config: DataConfig, split: str) -> Split:
    if split not in ("train", "val"):
        raise InputError(f"imagenette has the splits train and val, not {split!r}")
    stored = _stored(
        config, lambda root: datasets.Imagenette(root, split, size="160px", download=config.download)
    )
    return _imagenet_folder("imagenette", Path(stored.root) / "imagenette2-160" / split)


def _stored(config: DataConfig, make: Callable[[Path], Any]) -> Any:
    """Let torchvision find, or download, a data set below data.root."""
    root = _root(config, must_exist=False)
    try:
        return make(root)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        if config.download:
            raise InputError(f"{config.name} could not be downloaded to {root}: {reason}") from error
        raise InputError(
            f"{config.name} is not in data.root={root}; data.download=true fetches it"
        ) from error


def _imagenet(config: DataConfig, split: str) -> Split:
    return _imagenet_folder("imagenet", _split_folder(config, split))


def _imagenet_folder(name: str, folder: Path) -> Split:
    # a class is numbered by its id's rank among all 1,000 ids: a partial copy keeps the labels
    ranks = {wordnet_id: rank for rank, wordnet_id in enumerate(ImageNetInfo().label_names())}
    found = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    unknown = [entry for entry in found if entry not in ranks]
    if unknown or not found:
        raise InputError(
            f"{folder} must hold folders named by ImageNet WordNet ids, such as n01440764; "
            + (f"{unknown[0]!r} is none" if unknown else "it holds no folder")
        )
    return _files(name, folder, {wordnet_id: ranks[wordnet_id] for wordnet_id in found}, len(ranks))


def _image_folder(config: DataConfig, split: str) -> Split:
    folder = _split_folder(config, split)
    try:
        _, classes = find_classes(folder)
    except FileNotFoundError as error:
        raise InputError(f"{folder} holds no folder; image_folder needs a folder for each class") from error
    return _files("image_folder", folder, classes, len(classes))


def _files(name: str, folder: Path, classes: dict[str, int], num_classes: int) -> Split:
    try:
        samples = make_dataset(folder, classes, IMG_EXTENSIONS, allow_empty=True)
    except FileNotFoundError as error:
        raise InputError(f"{folder}: {error}") from error
    if not samples:
        raise InputError(f"{folder} holds no images ({' '.join(IMG_EXTENSIONS)})")
    labels = np.array([label for _, label in samples], np.int64)
    return Split(name, [Path(path) for path, _ in samples], labels, num_classes)


def _root(config: DataConfig, must_exist: bool = True) -> Path:
    if config.root is None:
        raise InputError(f"data={config.name} needs data.root, a folder")
    root = Path(config.root).expanduser()
    if must_exist and not root.is_dir():
        raise InputError(f"data.root={config.root} is not a folder")
    return root


def _split_folder(config: DataConfig, split: str) -> Path:
    folder = _root(config) / split
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a folder; data.root must hold one named {split!r} (data.split and "
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
