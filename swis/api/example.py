"""A trained network and images that come with the package, to try things on."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from swis.data.image_sets import decoded, open_split
from swis.networks.models import load_network
from swis.options.conf_files import data_named, model_named
from swis.options.names import require_known
from swis.options.ranges import at_least, require


class Example(NamedTuple):
    """A float network, and images [N, C, H, W] with their labels [N] to train, and to measure on."""

    network: nn.Module
    training: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def example(
    name: str = "mobilenet_v2", *, training: int | None = 256, test: int | None = 1000, seed: int = 0
) -> Example:
    """Return a trained network with images of Fashion-MNIST; all of it comes with the package.

    ``name`` is "mobilenet_v2" or "resnet18". There are 10,000 images to train and as many to measure on;
    ``training`` and ``test`` say how many of each are taken (None: all), the same ones that the command line
    takes for a ``seed``. They are prepared as the network takes them. ``swis.quantize`` calibrates on the
    training images, without their labels, and ``swis.retrain`` trains on them. Raises ``InputError`` for
    other networks.

    >>> network, training, (images, labels) = example(training=4, test=10)
    >>> len(training[0]), images.shape, labels.shape
    (4, torch.Size([10, 1, 64, 64]), torch.Size([10]))
    """
    require_known("the example", name, _names())
    for option, count in {"training": training, "test": test}.items():
        require(count is None or type(count) is int, f"{option} must be a whole number, not {count!r}")
    at_least(1, training=training, test=test)
    at_least(0, seed=seed)
    network = load_network(model_named(name))
    data = data_named(network.metadata["data"])

    def prepared(split: str, count: int | None) -> tuple[Tensor, Tensor]:
        some = open_split(data, split).sample(count, seed).prepared(network.transform(), network.channels)
        found = decoded(some, workers=0)
        return found["images"], found["labels"]

    return Example(network.module, prepared(data.calibration_split, training), prepared(data.split, test))


def _names() -> list[str]:
    """Return the networks whose weights come with the package, trained on images that do."""
    folder = Path(str(resources.files("swis") / "assets"))
    return sorted(path.stem for path in folder.glob("*.safetensors"))
