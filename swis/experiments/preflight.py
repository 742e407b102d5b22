"""What every task checks before any work starts: its folder, its device, weights that fit the images."""

from __future__ import annotations

import tempfile
from pathlib import Path

from swis.data.decoding import shown
from swis.errors import InputError
from swis.experiments.config import Config
from swis.networks.models import Network


def results_folder(config: Config) -> Path:
    """Return the folder of the rows, made if need be; a dry run only looks into it."""
    folder = Path(config.results_dir)
    if shown(folder) != str(folder):
        raise InputError(f"results_dir={shown(folder)} must be a name in UTF-8; those of images need not be")
    if config.dry_run:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"results_dir={folder} cannot be created: {error.strerror}") from error
    try:  # asking for permission would not tell of file systems that take no files
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"results_dir={folder} cannot be written to: {error.strerror}") from error
    return folder


def check_fit(label: str, network: Network, data: str, num_classes: int) -> None:
    """Raise ``InputError`` if the weights are not for this data set."""
    if num_classes != network.num_classes:
        raise InputError(
            f"{label} with weights {network.weights} tells {network.num_classes} classes apart, "
            f"data={data} has {num_classes}; choose model.weights made for this data"
        )
    trained_on = network.metadata.get("data", data)
    if trained_on != data:
        raise InputError(f"the weights were trained on {trained_on}, not on data={data}")
