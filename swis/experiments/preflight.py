"""Checks before any work starts: the results folder, and weights that fit the data set."""

from __future__ import annotations

import tempfile
from pathlib import Path

from swis.data.decoding import shown
from swis.errors import InputError
from swis.experiments.config import Config
from swis.networks.models import Network


def results_folder(config: Config) -> Path:
    """Create and return the folder of the rows; a dry run does not create it. Raises ``InputError``."""
    folder = Path(config.results_dir)
    if shown(folder) != str(folder):
        raise InputError(f"results_dir={shown(folder)} must be a folder with a name in UTF-8")
    if config.dry_run:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"results_dir={folder} cannot be created: {error.strerror}") from error
    try:  # permissions alone do not show a read-only file system
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"results_dir={folder} cannot be written to: {error.strerror}") from error
    return folder


def check_fit(label: str, network: Network, data: str, num_classes: int) -> None:
    """Raise ``InputError`` if the weights were not trained for this data set."""
    if num_classes != network.num_classes:
        raise InputError(
            f"{label} with weights {network.weights} has {network.num_classes} classes, but data={data} has "
            f"{num_classes}; choose model.weights that were trained on this data"
        )
    trained_on = network.metadata.get("data", data)
    if trained_on != data:
        raise InputError(f"the weights were trained on {trained_on}, not on data={data}")
