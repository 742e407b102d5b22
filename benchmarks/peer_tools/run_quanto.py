"""optimum-quanto: weights by groups, activations per tensor.

Recipe ``hqq``: weights of 2 or 4 bits have a scale and a zero point per group of up to 128 weights, both
found by half-quadratic optimization (HQQ). Those of 8 bits have a scale per filter from the largest weight.
Scales of activations are moving averages of the largest values over the calibration images, the tool's only
method. The logits stay float.
"""

from __future__ import annotations

import torch
from job import SCALE_BITS, Job, Made, Refused, answer
from optimum.quanto import Calibration, HqqOptimizer, freeze, qint2, qint4, qint8, quantize

KINDS = {2: qint2, 4: qint4, 8: qint8}


def quantized(job: Job) -> Made:
    """Quantize the weights and the outputs of all layers."""
    if job.bits not in KINDS:
        known = ", ".join(map(str, KINDS))
        raise Refused(f"optimum-quanto has weights of {known} bits, and not of {job.bits}")
    if job.activation_bits != qint8.bits:
        raise Refused(f"optimum-quanto has activations of 8 bits, and not of {job.activation_bits}")
    network, *_, last = job.network, *job.layers
    optimizer = None if job.bits == qint8.bits else HqqOptimizer()
    quantize(network, weights=KINDS[job.bits], activations=qint8, optimizer=optimizer)
    network.get_submodule(last).disable_output_quantization()
    with torch.no_grad(), Calibration():
        for batch in job.batches:
            network(batch)
    freeze(network)
    stored = 0
    for name in job.layers:
        weight = network.get_submodule(name).weight
        parameters = [getattr(weight, part) for part in ("_scale", "_shift") if hasattr(weight, part)]
        stored += job.bits * weight.numel() + SCALE_BITS * sum(each.numel() for each in parameters)
    settings = {
        "weight scales": "per group" if optimizer else "per filter",
        "zero points": optimizer is not None,
    }
    return Made(network, settings, stored)


if __name__ == "__main__":
    answer("optimum-quanto", quantized)
