"""Unfolding: calibrated weights of a folded network, put back before the batch normalisation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from swis.encoding.encode import Encoded, encode
from swis.networks.batch_norm import folds, gain_of, norms_of
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Example
from swis.networks.layers import filters_of, put_filters, weight_layers


def unfolded(
    network: nn.Module, calibrated: nn.Module, encoded: Mapping[str, Encoded], example: Example
) -> tuple[nn.Module, dict[str, Encoded]]:
    """Return a copy of ``network`` with the weights of its folded copy ``calibrated``, and their encoding.

    A folded weight is gain x weight. Its codes are also codes of the weight, with scales divided by the gain.
    A channel whose gain is zero is encoded again. A layer before a normalisation keeps the bias of
    ``network``, because measuring the normalisation's statistics again replaces the calibrated bias. If
    nothing could be folded, ``calibrated`` itself is returned. Raises ``ValueError`` if layers before
    different normalisations share a weight.
    """
    module, norms = plain_copy(network), norms_of(network, example)
    if any(folds(calibrated.get_submodule(norm)) for norm in norms.values()):
        return calibrated, dict(encoded)
    uses = Counter(id(found) for found in encoded.values())
    restored = dict(encoded)
    for name, layer in weight_layers(module).items():
        found = encoded[name]
        if name in norms:
            if uses[id(found)] > 1:
                raise ValueError(f"layer {name} shares its weight, so it cannot precede {norms[name]}")
            gain = gain_of(module.get_submodule(norms[name])).detach()
            restored[name] = _divided(found, gain, filters_of(layer).detach())
        elif (bias := calibrated.get_submodule(name).bias) is not None:
            layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
        put_filters(layer, restored[name].weight())
    return module, restored


def _divided(found: Encoded, gain: Tensor, weight: Tensor) -> Encoded:
    """Divide encoded filters by ``gain`` [filters]; filters with gain 0 are encoded from ``weight``."""
    dead = gain.abs() <= torch.finfo(gain.dtype).eps * gain.abs().max()
    along = (-1, *[1] * (len(found.shape) - 1))
    sign = torch.where(gain < 0, -1, 1).to(found.codes.dtype)
    codes, sets = found.codes * sign[:, None], found.shift_sets
    scale = found.scale / torch.where(dead, 1, gain.abs()).reshape(along)
    if dead.any():
        plain = encode(weight, found.fmt, found.schedule)
        codes = torch.where(dead[:, None], plain.codes, codes)
        scale = torch.where(dead.reshape(along), plain.scale, scale)
        if found.fmt.grouped:  # formats without groups have one set
            sets = torch.where(dead[:, None], plain.shift_sets, sets)
    return replace(found, codes=codes, scale=scale, shift_sets=sets, metrics=None)
