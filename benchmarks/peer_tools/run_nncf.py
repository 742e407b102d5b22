"""NNCF: post-training quantization of weights per filter and of activations.

Recipe ``ptq``: weights are symmetric, activations have a zero point, and biases are corrected by the fast
method, the only one that NNCF has for torch. Weights round to the nearest level. NNCF has weights of 4 bits
in convolutions for the target ``NPU`` alone, which is therefore the target of fewer than 8 bits.
"""

from __future__ import annotations

import os

os.environ["NNCF_EXTENSION_LOAD_TIMEOUT"] = "0"  # its compilation may take minutes on a busy machine

import nncf
from job import SCALE_BITS, Job, Made, Refused, answer
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters

_UNKNOWN = "Quantization parameter constraints"  # start of NNCF's message about bits that a target lacks


def quantized(job: Job) -> Made:
    """Quantize the weights of all layers and the activations between them."""
    target = nncf.TargetDevice.ANY if job.bits == 8 else nncf.TargetDevice.NPU
    preset = nncf.QuantizationPreset.MIXED
    advanced = AdvancedQuantizationParameters(
        weights_quantization_params=QuantizationParameters(num_bits=job.bits),
        activations_quantization_params=QuantizationParameters(num_bits=job.activation_bits),
    )
    images = nncf.Dataset([image[None] for image in job.calibration])
    try:
        network = nncf.quantize(
            job.network,
            images,
            preset=preset,
            target_device=target,
            subset_size=len(job.calibration),
            advanced_parameters=advanced,
        )
    except ValueError as error:
        if str(error).startswith(_UNKNOWN):
            raise Refused(f"NNCF has no target with convolutions of {job.bits}-bit weights") from error
        raise
    layers = job.layers.values()
    stored = sum(job.bits * layer.weight.numel() + SCALE_BITS * len(layer.weight) for layer in layers)
    return Made(network, {"preset": preset.value, "target": target.value}, stored)


if __name__ == "__main__":
    answer("nncf", quantized)
