"""Networks whose layers hold the weights that they use, instead of computing them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from torch import nn

from swis.networks.computed_weights import plain_copy
from swis.networks.layers import float_weights, weight_layers
from swis.networks.models import Network


def plain_network(network: Network) -> Network:
    """Return a network whose layers hold the weights that they use.

    Older code quantized only ``nn.Conv2d`` and ``nn.Linear``, without computed weights. Its rows are right
    for networks of only such layers. Other networks have another digest since then, and so other rows.
    """
    module = plain_copy(network.module, network.inputs["input_size"])
    seen = {
        name: type(part)
        for name, part in network.module.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    }
    layers = {name: type(layer) for name, layer in weight_layers(module).items()}
    if seen == layers and not float_weights(module):
        return replace(network, module=module)
    digest = hashlib.sha256(f"{network.digest} all weights".encode()).hexdigest()
    return replace(network, module=module, digest=digest)
