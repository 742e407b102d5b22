"""Losses of filters for every number of shifts, and the effect of a layer's error on the logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from swis.encoding.encode import Encoded, approximate, encode
from swis.formats.registry import int8_of
from swis.formats.weight_format import WeightFormat
from swis.networks.inputs import Inputs, class_logits
from swis.networks.layers import filters_of, put_filters, weight_layers
from swis.runtime.progress import tqdm


def filter_losses(weight: Tensor, fmt: WeightFormat) -> np.ndarray:
    """Return each filter's loss with 1..B shifts, float64 [filters, B]: error / sum of squared codes.

    The error is M x MSE++ summed over the groups, or the squared error for a format with its own quantizer.
    It is relative, because normalisation gives the outputs of all filters a similar size.

    >>> from swis.formats.truncate import Truncate
    >>> filter_losses(torch.tensor([[127.0, 64.0]]), Truncate()).round(3)[0, :2].tolist()
    [0.392, 0.095]
    """
    base = encode(weight, int8_of(fmt))
    signal = base.codes.double().square().sum(1).clamp(min=1)
    columns = [_errors(encode(weight, fmt.with_shifts(n)), base) for n in range(1, fmt.magnitude_bits + 1)]
    return np.stack(columns, 1) / signal.numpy()[:, None]


def _errors(encoded: Encoded, base: Encoded) -> np.ndarray:
    if encoded.metrics is not None:
        return encoded.metrics
    steps = encoded.codes.double() * _per_filter(encoded) / _per_filter(base)
    return (steps - base.codes.double()).square().sum(1).numpy()


def _per_filter(encoded: Encoded) -> Tensor:
    return encoded.scale.double().reshape(-1, 1)


def layer_sensitivities(
    model: nn.Module,
    fmt: WeightFormat,
    skip: set[str],
    images: Sequence[Tensor | Inputs],
    device: torch.device,
) -> dict[str, float]:
    """Return KL(float || quantized) of the logits [nats per image] for each layer quantized alone.

    ``images``: batches [n, C, H, W] or other inputs, without labels. All filters of the layer have
    ``fmt.shifts`` shifts; all other layers are float. Layers in ``skip`` are left out. The model's weights
    are restored.
    """
    layers = {name: layer for name, layer in weight_layers(model).items() if name not in skip}
    model = model.to(device).eval()
    batches = [Inputs.of(batch).to(device) for batch in images]
    reference = [_log_probabilities(model, batch) for batch in batches]
    found: dict[str, float] = {}
    for name, layer in tqdm(layers.items(), desc=f"{fmt.name}: sensitivity of layers", leave=False):
        original = layer.weight.data
        put_filters(layer, approximate(filters_of(layer).data.cpu(), fmt).to(original))
        try:
            divergence = [
                kl_div(_log_probabilities(model, batch), expected, log_target=True, reduction="sum")
                for batch, expected in zip(batches, reference, strict=True)
            ]
        finally:
            layer.weight.data = original
        found[name] = max(0.0, float(sum(divergence))) / sum(map(len, batches))
    return found


@torch.inference_mode()
def _log_probabilities(model: nn.Module, inputs: Inputs) -> Tensor:
    return class_logits(inputs.run(model)).double().log_softmax(-1)
