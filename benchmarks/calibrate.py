"""Time and memory of calibration: python benchmarks/calibrate.py [OVERRIDES]

The overrides are options of run.py. Without overrides it calibrates ResNet-18 at 224 x 224 pixels. Images are
decoded before the measurement starts; the time includes all forward passes. "passes" is this time divided by
the time of a forward pass of the float network over the same images. "GB" is the process's peak memory so far
(Linux only), including the networks and the images.
"""

import resource
import sys
import time
from dataclasses import replace

from swis.data.image_sets import loader
from swis.evaluation.predict import predict
from swis.experiments.config import load
from swis.experiments.study import prepare
from swis.runtime.memory import keep_freed_memory

DEFAULT = ["model=resnet18", "model.input_size=[1,224,224]"]


def main(overrides: list[str]) -> None:
    """Measure and print the table."""
    keep_freed_memory()  # as run.py does
    fixed = ["methods=[swis,uniform]", "calibrate=output_aware", "results_dir=outputs/benchmark"]
    study = prepare(load([*(overrides or DEFAULT), *fixed]))
    images = list(loader(study.calibration, study.config.batch_size, study.config.data.workers))
    passes = predict(study.network.module, images, study.device, "float").seconds
    print(f"{study.config.model.label}, {len(study.calibration)} images: {passes:.1f} s per float pass")
    print(f"{'method':10}{'calibrate':>16}{'seconds':>10}{'passes':>9}{'GB':>7}")
    for fmt in study.config.formats[2:]:
        for kind in ("stats", "output_aware"):
            case = replace(study, config=replace(study.config, calibrate=kind))
            _ = case.calibration_images, case.ranges  # computed before the measurement starts
            start = time.perf_counter()
            case.calibrated(fmt, None, study.config.activation_bits)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{fmt.name:10}{kind:>16}{seconds:10.1f}{seconds / passes:9.1f}{peak:7.1f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
