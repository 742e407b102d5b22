"""A network of few bits trained on, its float network as the teacher."""

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

from swis.api.checks import check_quantized
from swis.api.quantized import Quantized
from swis.errors import InputError
from swis.networks.activations import quantize_activations
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import weight_layers
from swis.options.training import RetrainConfig
from swis.results import records
from swis.runtime.checksums import of_tensors
from swis.runtime.devices import pick_device
from swis.training.retrained import retrained

# Images that tell a data set from others, at most.
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
    """Return a network of few bits trained on images and labels; ``network`` itself is not changed.

    ``data`` is a data set of (image [C, H, W], label), the DataLoader of one, whose own batches are not used,
    or a pair (images, labels) of tensors. ``settings`` have the epochs, the rates, and how much is learned
    from the float network. In a ``folder`` the state after every epoch is kept, and an interrupted training
    goes on from there. Raises ``InputError`` for data that do not fill a batch, and for a network that was
    read from a file while there is to be a teacher, ``FloatingPointError`` when the loss is no number any
    more.
    """
    check_quantized(network, "retrain")
    device = pick_device(device)
    settings = settings or RetrainConfig()
    images = _data_set(data)
    if len(images) < settings.batch_size:
        raise InputError(f"{len(images)} images do not fill a batch of batch_size={settings.batch_size}")
    if torch.as_tensor(images[0][0]).ndim != 3:
        raise InputError("retraining is on images [C, H, W], which it shifts and mirrors")
    if network.reference is None and settings.distillation > 0:
        raise InputError("a network from a file has no float one to learn from; set distillation=0")
    made = network.made
    identity = [asdict(settings), seed, _digest(network, images)]
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


def _digest(network: Quantized, images: Dataset) -> str:
    """Return a name for what a training starts from: the network's tensors, and some of the images."""
    step = max(1, len(images) // _LOOKED_AT)
    tensors = {
        f"image {at} {number}": torch.as_tensor(value)
        for at in range(0, len(images), step)
        for number, value in enumerate(images[at])
    }
    return of_tensors(tensors | network.module.state_dict(), f"{len(images)} images".encode())


def _data_set(data: Any) -> Dataset:
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        return TensorDataset(*data)
    if isinstance(data, DataLoader):
        plain = isinstance(data.sampler, SequentialSampler | RandomSampler)
        if not plain or data.collate_fn is not default_collate:
            raise InputError("the loader chooses or joins images in its own way; give a data set of these")
        data = data.dataset
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        kind = type(data).__name__
        raise InputError(f"data are a data set of (image, label) or a DataLoader of one, not {kind}")
    return data
