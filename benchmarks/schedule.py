"""Time and loss of schedules: python benchmarks/schedule.py [BITS]

The networks have trained weights, except VGG-16, which has random weights. M = 4 and N = 1..7. "tables" is
the time to compute the loss of every filter with every number of shifts; "seconds" is the time to compute a
schedule from these losses. "loss" is relative to the loss of the uniform policy. "gap" is how far the loss of
greedy is above the optimum, or above its lower bound if no optimum was proven.
"""

import resource
import sys
import time

import timm
import torch
from torch import nn

from swis.experiments.config import load
from swis.formats.registry import weight_format
from swis.networks.apply import weight_layers
from swis.networks.models import load_network
from swis.scheduling.allocation import LayerTable, Schedule, allocate
from swis.scheduling.sensitivity import filter_losses

CASES = {
    "uniform": Schedule("uniform"),
    "greedy": Schedule("greedy"),
    "optimal": Schedule("optimal"),
    "greedy, over layers": Schedule("greedy", "network"),
    "optimal, over layers": Schedule("optimal", "network"),
    "greedy, tiles of 8": Schedule("greedy", "network", filters_per_tile=8),
    "optimal, tiles of 8": Schedule("optimal", "network", filters_per_tile=8),
    "greedy, tiles, double": Schedule("greedy", "network", 2, 8),
    "optimal, tiles, double": Schedule("optimal", "network", 2, 8),
}


def networks() -> dict[str, nn.Module]:
    """Return the networks to schedule."""
    names = ("mobilenet_v2", "resnet18", "efficientnet_lite0")
    found = {name: load_network(load([f"model={name}"]).model).module for name in names}
    return found | {"vgg16": timm.create_model("vgg16_bn")}


def main(bits: float = 2.5) -> None:
    """Measure and print the tables."""
    for name, module in networks().items():
        start = time.perf_counter()
        tables = {
            layer: LayerTable(
                filter_losses(part.weight.detach(), weight_format("swis")), part.weight[0].numel()
            )
            for layer, part in weight_layers(module).items()
        }
        seconds = time.perf_counter() - start
        filters = sum(len(table.losses) for table in tables.values())
        print(f"{name}: {filters} filters, budget {bits:g} shifts, tables in {seconds:.1f} s")
        print(f"  {'schedule':24}{'seconds':>9}{'loss':>9}{'gap':>10}{'spent':>8}")
        losses: dict[str, float] = {}
        for case, schedule in CASES.items():
            start = time.perf_counter()
            found = allocate(tables, bits, schedule)
            seconds = time.perf_counter() - start
            losses[case] = found.loss
            relative = f"{found.loss / losses['uniform']:9.2%}"
            gap = ""
            if schedule.policy == "optimal":
                greedy = losses[case.replace("optimal", "greedy")]
                gap = f"{greedy / found.bound - 1:10.4%}"
            print(f"  {case:24}{seconds:9.2f}{relative}{gap:>10}{found.spent:8.4f}", flush=True)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"  at most {memory} MB of memory so far, torch {torch.__version__}")


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:]))
