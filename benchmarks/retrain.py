"""CPU time of a step of retraining, relative to a step of float training: python benchmarks/retrain.py

The network is MobileNet-v2 at 64 x 64 pixels, with batches of 64, M = 4, N = 2, 8-bit activations and one
thread. Shift sets are updated in every step, except in "sets kept". Networks take turns, so that a busy
machine slows all of them. The fastest of seven steps counts. "all" also freezes oscillating weights and
dampens.
"""

import copy
import time

import timm
import torch
import torch.nn.functional as F
from torch import nn

from swis.formats.registry import weight_format
from swis.networks.activations import observe_ranges, quantize_activations
from swis.networks.apply import encode_layers, weight_layers
from swis.training.parametrization import LatentTraining, add_latents, latents

STEPS = 7
NETWORKS = {
    "float": None,
    "swis": LatentTraining(),
    "swis, sets kept": LatentTraining(set_update_interval=None),
    "swis, all": LatentTraining(freeze_threshold=0.01),
    "truncate": LatentTraining(),
    "uniform": LatentTraining(),
}


def main() -> None:
    """Measure and print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv2_100", num_classes=10, in_chans=1)
    images, labels = torch.randn(64, 1, 64, 64), torch.randint(0, 10, (64,))
    images = images.contiguous(memory_format=torch.channels_last)
    ranges = observe_ranges(network.eval(), weight_layers(network), [images])
    networks = {name: _made(network, name, settings, ranges) for name, settings in NETWORKS.items()}
    optimizers = {name: torch.optim.SGD(made.parameters(), 1e-4, 0.9) for name, made in networks.items()}
    latent_of = {name: list(latents(made).values()) for name, made in networks.items()}
    least = dict.fromkeys(networks, float("inf"))
    for step in range(1, STEPS + 1):
        for name, made in networks.items():
            parts = latent_of[name]
            start = time.process_time()
            loss = F.cross_entropy(made(images), labels)
            optimizers[name].zero_grad()
            loss.backward()
            if name.endswith("all"):
                for latent, weight in parts:
                    latent.dampen(weight, 1e-4)
            optimizers[name].step()
            for latent, weight in parts:
                latent.advance(weight, step)
            least[name] = min(least[name], time.process_time() - start)
    print(f"{'step of':20}{'ms':>8}{'of float':>10}")
    for name, seconds in least.items():
        print(f"{name:20}{1e3 * seconds:8.0f}{seconds / least['float']:9.2f}x")


def _made(network: nn.Module, name: str, settings: LatentTraining | None, ranges: dict) -> nn.Module:
    made = copy.deepcopy(network)
    if settings is not None:
        fmt = weight_format(name.partition(",")[0], shifts=2, group_size=4)
        add_latents(made, encode_layers(made, fmt), settings)
        quantize_activations(weight_layers(made), ranges, 8)
    return made.to(memory_format=torch.channels_last).train()


if __name__ == "__main__":
    main()
