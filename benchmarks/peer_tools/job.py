"""What the script of a tool shares: the job it is given, and the answer that it writes.

These scripts run in the environment of the tool, which has torch, timm and safetensors, and not this suite.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import timm
import torch
from plain_layers import plain
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

BATCH = 32  # images of a batch, for calibration and for measuring
SCALE_BITS = 32  # a scale or zero point is stored as float32
TOLERANCE = 1e-3  # of the logits of a network that is prepared, and must still compute the same
REFUSED = 3  # exit status of a script whose tool does not offer what is asked
_OF_A_JOB = ("recipe", "bits", "activation_bits", "seed", "options")


class Refused(Exception):
    """The tool does not offer what is asked; the message says what."""


@dataclass(frozen=True)
class Job:
    """A float network of plain layers, its images, and the number of bits to quantize it to.

    ``calibration`` [N, C, H, W] are the images that a tool may look at. ``options`` are those of the recipe.
    """

    network: nn.Module
    calibration: Tensor
    recipe: str
    bits: int
    activation_bits: int
    seed: int
    options: dict[str, Any]

    @property
    def batches(self) -> tuple[Tensor, ...]:
        """The calibration images in batches."""
        return self.calibration.split(BATCH)

    @property
    def layers(self) -> dict[str, nn.Module]:
        """The layers that have weights to quantize."""
        kinds = (nn.Conv2d, nn.Linear)
        return {name: each for name, each in self.network.named_modules() if isinstance(each, kinds)}


@dataclass(frozen=True)
class Made:
    """A quantized network, the settings that it is made with, and the bits that its weights take in all."""

    network: Callable[[Tensor], Tensor]
    settings: dict[str, Any]
    stored_bits: int


def answer(package: str, quantize: Callable[[Job], Made]) -> None:
    """Do the job in the folder ``argv[1]``: write the logits of all its images, and a report, to ``argv[2]``.

    The exit status is ``REFUSED`` if the tool does not offer what is asked.
    """
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    facts = json.loads((output / "job.json").read_text())
    torch.manual_seed(facts["seed"])
    torch.set_num_threads(facts["threads"])
    images = load_file(folder / "images.safetensors")
    calibration = images.pop("calibration")
    given = timm.create_model(facts["architecture"], **facts["kwargs"]).eval()
    given.load_state_dict(load_file(folder / "network.safetensors"))
    network = plain(given, calibration[:1])
    check_same(given, network, calibration[:BATCH])
    job = Job(network, calibration, *(facts[name] for name in _OF_A_JOB))
    weights = sum(layer.weight.numel() for layer in job.layers.values())
    start = time.perf_counter()
    try:
        made = quantize(job)
    except Refused as reason:
        print(reason, file=sys.stderr)
        sys.exit(REFUSED)
    seconds = time.perf_counter() - start
    found = {name: logits(made.network, each) for name, each in images.items()}
    save_file(found, output / "logits.safetensors")
    report = {
        "settings": made.settings,
        "weight_bits": made.stored_bits / weights,
        "seconds": seconds,
        "packages": {name: metadata.version(name) for name in (package, "torch", "timm", "numpy")},
    }
    (output / "report.json").write_text(json.dumps(report))


@torch.no_grad()
def logits(network: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the logits of a network for images, as a plain float tensor."""
    return torch.cat([torch.as_tensor(network(batch)).float() for batch in images.split(BATCH)])


def check_same(
    network: Callable[[Tensor], Tensor], changed: Callable[[Tensor], Tensor], images: Tensor
) -> None:
    """Raise ``ValueError`` if a prepared network computes other logits than the float network."""
    difference = (logits(changed, images) - logits(network, images)).abs().max().item()
    if not difference <= TOLERANCE:
        raise ValueError(f"preparation changed the float network: its logits differ by {difference:.3g}")
