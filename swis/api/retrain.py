"""Retraining of a quantized network, with its float network as the teacher."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from swis.api.checks import check_labels, check_quantized, run_checked
from swis.api.quantized import HowMade, Quantized
from swis.errors import InputError
from swis.networks.activations import quantize_activations
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Inputs, class_logits, is_pair
from swis.networks.layers import weight_layers
from swis.options.ranges import at_least
from swis.options.training import RetrainConfig
from swis.results import records
from swis.runtime.checksums import of_tensors
from swis.runtime.devices import pick_device
from swis.training.retrained import retrained

# Number of images that identify a data set, at most.
_LOOKED_AT = 64


def retrain(
    network: Quantized,
    data: Any,
    *,
    settings: RetrainConfig | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    device: torch.device | str = "cpu",
    workers: int = 0,
) -> Quantized:
    """Return a retrained copy of a quantized network; ``network`` itself is not changed.

    * ``data``: a data set of (image [C, H, W], label), a DataLoader of such a data set (its batch size is
      not used), or a pair (images [N, C, H, W], labels [N]) of tensors.
    * ``settings``: epochs, batch size, learning rates, distillation and others.
    * ``folder``: a folder for the state after every epoch; an interrupted training continues from it.
    * ``workers``: number of processes that load images.

    Raises ``InputError`` for fewer images than a batch, and for distillation of a network from a file, which
    has no float network. Raises ``FloatingPointError`` if the loss is not finite.

    >>> from torch import nn
    >>> from swis.api.quantize import quantize
    >>> from swis.formats.swis import Swis
    >>> network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(288, 2)).eval()
    >>> images, labels = torch.rand(16, 1, 8, 8), torch.arange(16) % 2
    >>> low = quantize(network, Swis(shifts=2), images)
    >>> better = retrain(low, (images, labels), settings=RetrainConfig(epochs=1, batch_size=8))
    >>> better(images).shape
    torch.Size([16, 2])
    """
    check_quantized(network, "retrain")
    device = pick_device(device)
    settings = settings or RetrainConfig()
    if not isinstance(settings, RetrainConfig):
        raise InputError(f"settings must be a RetrainConfig, not {type(settings).__name__}")
    at_least(0, seed=seed, workers=workers)
    images = _data_set(data)
    if len(images) < settings.batch_size:
        raise InputError(f"{len(images)} images do not fill a batch of batch_size={settings.batch_size}")
    _check_images(network, images)
    if network.reference is None and settings.distillation > 0:
        raise InputError("a network from a file has no float network to learn from; set distillation=0")
    made = network.made
    identity = [asdict(settings), seed, network.fmt.settings(), _how_made(made), _digest(network, images)]
    with tempfile.TemporaryDirectory() if folder is None else nullcontext(folder) as place:
        module, encoded = retrained(
            network.module if network.reference is None else network.reference,
            plain_copy(network.module),
            network.encoded,
            images,
            settings,
            seed=seed,
            key=records.digest(identity),
            folder=Path(place),
            device=device,
            workers=workers,
        )
    if made.activation_bits is not None:
        quantize_activations(weight_layers(module), made.ranges, made.activation_bits)
    made = replace(made, retrained=asdict(settings))
    return Quantized(module, network.reference, network.fmt, encoded, network.example, made)


def _check_images(network: Quantized, images: Dataset) -> None:
    """Raise ``InputError`` for a data set whose first image or label the network cannot learn from."""
    item = images[0]
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InputError("retraining needs a data set of (image, label)")
    if not isinstance(item[0], Tensor):
        kind = type(item[0]).__name__
        raise InputError(f"retraining needs images as tensors [C, H, W], not {kind}; give a transform")
    image, label = map(torch.as_tensor, item)
    if image.ndim != 3 or not image.is_floating_point():
        raise InputError("retraining needs images [C, H, W] of floats, because it shifts and mirrors them")
    with torch.no_grad():
        classes = class_logits(run_checked(network.module, Inputs.of(image[None]))).shape[-1]
    labels = images.tensors[1] if isinstance(images, TensorDataset) else label
    check_labels(labels, classes)


def _how_made(made: HowMade) -> dict[str, Any]:
    """Return how a network was made, as JSON can hold it."""
    return asdict(made) | {"skip": sorted(made.skip)}


def _digest(network: Quantized, images: Dataset) -> str:
    """Return a hash of the images (of a data set, of some), of the network and of its float network."""
    if isinstance(images, TensorDataset):
        tensors = {f"images {number}": values for number, values in enumerate(images.tensors)}
    else:
        step = max(1, len(images) // _LOOKED_AT)
        tensors = {
            f"image {at} {number}": torch.as_tensor(value)
            for at in range(0, len(images), step)
            for number, value in enumerate(images[at])
        }
    tensors |= {f"network {name}": values for name, values in network.module.state_dict().items()}
    if network.reference is not None:
        tensors |= {f"teacher {name}": values for name, values in network.reference.state_dict().items()}
    for name, encoded in network.encoded.items():
        parts = {"codes": encoded.codes, "sets": encoded.shift_sets, "scale": encoded.scale}
        if encoded.schedule is not None:
            parts |= {"shifts": torch.from_numpy(encoded.schedule.shifts)}
        tensors |= {f"{name} {part}": values for part, values in parts.items() if values is not None}
    return of_tensors(tensors, f"{len(images)} images".encode())


def _data_set(data: Any) -> Dataset:
    if is_pair(data) and data[1] is not None:
        images, labels = data[0], torch.as_tensor(data[1])
        if len(images) != len(labels):
            raise InputError(f"there are {len(labels)} labels for {len(images)} images")
        whole = not labels.is_floating_point()
        return TensorDataset(images.float(), labels.long() if whole else labels)
    if isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        raise InputError(f"labels must have the shape [{len(data[0])}], not {list(data[1].shape)}")
    if isinstance(data, DataLoader):
        plain = isinstance(data.sampler, SequentialSampler | RandomSampler)
        if not plain or data.collate_fn is not default_collate:
            raise InputError("the DataLoader has its own sampler or collate_fn; give its data set instead")
        data = data.dataset
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        kind = type(data).__name__
        raise InputError(f"data must be a data set of (image, label) or a DataLoader of one, not {kind}")
    return data
