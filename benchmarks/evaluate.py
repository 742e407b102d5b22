"""Throughput of emulated networks relative to the float network: python benchmarks/evaluate.py [OVERRIDES]

The networks take turns for several rounds, with the same loader. The table shows the median of the images per
second, and the median of each round's ratio to the float network. "float" is the network as timm builds it.
Emulated networks have folded batch normalisation. Compare them with "float, folded" for the cost of rounding
activations. The overrides are options of run.py, such as model=resnet18.
"""

import statistics
import sys

from swis.data.image_sets import loader
from swis.evaluation.predict import predict
from swis.experiments.config import load
from swis.experiments.study import prepare
from swis.formats.registry import weight_format
from swis.networks.batch_norm import fused
from swis.runtime.memory import keep_freed_memory

ROUNDS = 5


def main(overrides: list[str]) -> None:
    """Measure and print the table."""
    keep_freed_memory()  # as run.py does
    study = prepare(load(["data.limit=2000", "results_dir=outputs/benchmark", *overrides]))
    networks = {
        "float": study.network.module,
        "float, folded": fused(study.network.module, study.network.inputs["input_size"]),
        "swis, weights only": study.emulate(weight_format("swis"), activation_bits=None)[0],
        "swis, 8-bit activations": study.emulate(weight_format("swis"), activation_bits=8)[0],
    }
    speeds: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(ROUNDS):
        for name, module in networks.items():
            batches = loader(study.split, study.config.batch_size, study.config.data.workers)
            speeds[name].append(len(study.split) / predict(module, batches, study.device, name).seconds)
    print(f"{study.config.model.label}, {len(study.split)} images, median of {ROUNDS} rounds")
    print(f"{'network':26}{'images/s':>10}{'of float':>10}")
    for name, values in speeds.items():
        ratio = statistics.median(value / base for value, base in zip(values, speeds["float"], strict=True))
        print(f"{name:26}{statistics.median(values):10.1f}{ratio:10.1%}")


if __name__ == "__main__":
    main(sys.argv[1:])
