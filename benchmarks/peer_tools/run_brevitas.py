"""Brevitas: scales per filter with the least squared error, activations by percentile at layers' inputs.

All recipes equalize layers first, except through ReLU6, which Brevitas would replace by ReLU. They end with
bias correction. Inputs of layers have 8 bits and a zero point, with the 99.99 % percentile as their range.
Weights are symmetric.

* ``gptq``: each layer's columns are rounded in turn (GPTQ), with the inputs that quantized layers give.
* ``qronos``: the same, and the target is the float layer's output.
* ``learned_rounding``: rounding is learned layer by layer against the float layer's output.
"""

from __future__ import annotations

from argparse import Namespace

import torch
from brevitas.graph.quantize import layerwise_quantize, preprocess_for_quantize
from brevitas_examples.imagenet_classification.ptq import learned_round_utils, ptq_common
from job import BATCH, SCALE_BITS, Job, Made, answer, check_same
from torch import nn

PERCENTILE = 99.99
EQUALIZATIONS = 20  # rounds over all pairs of layers


def quantized(job: Job) -> Made:
    """Quantize the weights and the inputs of all layers."""
    network = preprocess_for_quantize(
        job.network, relu6_to_relu=False, equalize_iters=EQUALIZATIONS, equalize_merge_bias=True
    )
    check_same(job.network, network, job.calibration[:BATCH])
    network = _with_quantizers(network, job)
    labelled = [(batch, torch.zeros(len(batch))) for batch in job.batches]  # labels are not looked at
    with torch.no_grad():
        network(job.batches[0])  # initializes the scales
    ptq_common.calibrate(labelled, network)
    settings = {"percentile": PERCENTILE, "equalization": EQUALIZATIONS, "weight scales": "least squares"}
    if job.recipe == "gptq":
        ptq_common.apply_gptq(labelled, network, act_order=True, use_quant_activations=True)
    elif job.recipe == "qronos":
        ptq_common.apply_qronos(network, labelled)
    else:
        settings |= _learn_rounding(network, labelled, job.options)
    ptq_common.apply_bias_correction(labelled, network)
    layers = [each for each in network.modules() if hasattr(each, "quant_weight")]
    stored = sum(
        job.bits * layer.weight.numel() + SCALE_BITS * layer.quant_weight().scale.numel() for layer in layers
    )
    return Made(network.eval(), settings, stored)


def _with_quantizers(network: nn.Module, job: Job) -> nn.Module:
    _, layers, _, _ = ptq_common.create_quant_maps(
        dtype=torch.float32,
        bias_bit_width=None,
        weight_bit_width=job.bits,
        weight_param_method="mse",
        weight_scale_type="float_scale",
        weight_quant_type="sym",
        weight_quant_granularity="per_channel",
        weight_narrow_range=False,
        weight_quant_format="int",
        act_quant_format="int",
        act_bit_width=job.activation_bits,
        act_scale_type="float_scale",
        act_scale_computation_type="static",
        act_param_method="stats",
        act_quant_type="asym",
        act_quant_granularity="per_tensor",
        act_quant_percentile=PERCENTILE,
    )
    return layerwise_quantize(network, compute_layer_map=layers).eval()


def _learn_rounding(network: nn.Module, labelled: list, options: dict) -> dict:
    """Learn the rounding of all layers; return the settings."""
    settings = Namespace(
        learned_round="hard_sigmoid",
        learned_round_mode="layerwise",
        learned_round_loss="regularised_mse",
        learned_round_iters=options["iterations"],
        learned_round_lr=options["rate"],
        learned_round_batch_size=options["batch"],
        learned_round_lr_scheduler=None,
    )
    parse = learned_round_utils.parse_args_to_dataclass

    def in_float32(args: Namespace):
        config = parse(args)
        config.training_args.use_amp = False  # half precision is slow on a CPU
        return config

    learned_round_utils.parse_args_to_dataclass = in_float32
    learned_round_utils.apply_learned_round(network, labelled, settings)
    return options


if __name__ == "__main__":
    answer("brevitas", quantized)
