"""AIMET: scales per filter, learned rounding (AdaRound), activations by AIMET's enhanced method.

Recipe ``adaround``: layers are equalized where that leaves the network's function alone, so not through
ReLU6. Scales are those with the least error of weights and activations (``tf_enhanced``). Rounding is then
learned layer by layer against the float layer's output after its activation. The logits stay float.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from aimet_torch.adaround.adaround_weight import Adaround, AdaroundParameters
from aimet_torch.common.defs import QuantScheme
from aimet_torch.cross_layer_equalization import equalize_model
from aimet_torch.quantsim import QuantizationSimModel
from job import BATCH, SCALE_BITS, Job, Made, answer, check_same

SCHEME = QuantScheme.post_training_tf_enhanced
BATCH_OF_SAMPLES = 8  # AIMET runs one batch several times per layer, so small batches are faster


def quantized(job: Job) -> Made:
    """Quantize the weights and the outputs of all layers."""
    image = job.calibration[:1]
    network = copy.deepcopy(job.network)
    equalize_model(network, dummy_input=image)
    check_same(job.network, network, job.calibration[:BATCH])
    loader = _Loader(job.calibration.split(BATCH_OF_SAMPLES))
    with tempfile.TemporaryDirectory() as folder:
        parameters = AdaroundParameters(
            loader, len(loader), default_num_iterations=job.options["iterations"], forward_fn=_forward
        )
        rounded = Adaround.apply_adaround(
            network,
            image,
            parameters,
            folder,
            "weights",
            default_param_bw=job.bits,
            default_quant_scheme=SCHEME,
        )
        simulated = QuantizationSimModel(
            *(rounded, image, SCHEME), default_output_bw=job.activation_bits, default_param_bw=job.bits
        )
        simulated.set_and_freeze_param_encodings(str(Path(folder, "weights.encodings")))
    *_, last = job.layers
    simulated.model.get_submodule(last).output_quantizers[0] = None
    with torch.no_grad():
        simulated.compute_encodings(lambda model: [model(batch) for batch in job.batches])
    stored = 0
    for name in job.layers:
        layer = simulated.model.get_submodule(name)
        quantizer = layer.param_quantizers["weight"]
        stored += quantizer.bitwidth * layer.weight.numel() + SCALE_BITS * quantizer.get_scale().numel()
    return Made(simulated.model.eval(), dict(job.options), stored)


def _forward(model: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return model(batch)


class _Loader(tuple):
    """Batches with the attribute of a loader that AIMET reads."""

    batch_size = BATCH_OF_SAMPLES


if __name__ == "__main__":
    answer("aimet-torch", quantized)
