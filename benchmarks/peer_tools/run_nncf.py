"""NNCF: post-training quantization of weights per filter and of activations per tensor.

Recipe ``ptq``: weights are symmetric, activations have a zero point, and biases are corrected by the fast
method, the only one that NNCF has for torch. Weights of fewer than 8 bits are asked for with
``weights_quantization_params``; NNCF offers no rounding but to the nearest level for them.
"""

from __future__ import annotations

import nncf
from job import SCALE_BITS, Job, Made, answer
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters


def quantized(job: Job) -> Made:
    """Quantize the weights of all layers and the activations between them."""
    advanced = AdvancedQuantizationParameters(
        weights_quantization_params=QuantizationParameters(num_bits=job.bits),
        activations_quantization_params=QuantizationParameters(num_bits=job.activation_bits),
    )
    images = nncf.Dataset([image[None] for image in job.calibration])
    network = nncf.quantize(
        job.network,
        images,
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(job.calibration),
        advanced_parameters=advanced,
    )
    stored = sum(
        job.bits * layer.weight.numel() + SCALE_BITS * len(layer.weight) for layer in job.layers.values()
    )
    return Made(network, {"preset": "mixed", "bias correction": "fast"}, stored)


if __name__ == "__main__":
    answer("nncf", quantized)
