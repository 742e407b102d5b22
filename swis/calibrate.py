"""Calibration on images without labels: weights chosen for each layer's output, its statistics set right.

The float network and the one of few bits run side by side over all calibration images at once. When a
layer's turn comes, its inputs in both networks are known, and everything in front of it is calibrated
already: its weights are chosen, the mean and the variance of its output's channels brought to those of the
float network by a gain in its scale and a shift in its bias, and only then the network goes on. One pass over
the images does it, whatever the network's graph, and inference costs nothing more.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from swis.apply import Encoded, WeightFormat, encode_layers, weight_layers
from swis.companion import Companion
from swis.output_aware import OutputAware, output_aware
from swis.schedule import LayerPlan

# A channel that varies less than this part of the layer's most varying one is taken as constant.
_CONSTANT = 1e-10
# A channel's gain stays within this factor: beyond it statistics match only by amplifying noise.
_LARGEST_GAIN = 4.0


def calibrate(
    reference: nn.Module,
    network: nn.Module,
    form: WeightFormat,
    images: Tensor,
    kind: str,
    settings: OutputAware | None = None,
    skip: set[str] = frozenset(),
    plans: dict[str, LayerPlan] | None = None,
) -> dict[str, Encoded]:
    """Calibrate ``network`` in place to compute what ``reference`` does; return its layers' weights.

    ``kind`` is "bias" (the mean of every output channel is matched), "stats" (and the variance) or
    "output_aware" (and weights are chosen by the Hessian walk, as ``settings`` say). Both networks start as
    the same float one; ``network`` may round its activations. ``images`` [N, C, H, W]. Layers in ``skip`` get
    the base format and matched statistics; layers that share a weight, and those that are not called, get
    ``form`` without calibration.
    """
    layers, settings = weight_layers(network), settings or OutputAware()
    encoded = encode_layers(network, form, skip, plans)
    uses = Counter(id(weights) for weights in encoded.values())
    alone = {name for name, weights in encoded.items() if uses[id(weights)] == 1}
    done = set(layers) - alone
    for name in done:
        layers[name].weight.data = encoded[name].weight()
    bar = tqdm(total=len(layers), desc=f"{form.method}: calibrating layers", leave=False)
    companion = Companion(reference, images)

    def before(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        float_input, _ = companion.wait()
        if name in done:
            return
        plain = encoded[name]
        if kind == "output_aware" and plain.form.method != "base":
            pair = (by_image(layer, x, len(images)) for x in (inputs[0], float_input))
            encoded[name] = output_aware(layer, plain.form, plain.plan, *pair, settings)
        layer.weight.data = encoded[name].weight()

    def after(name: str, layer: nn.Module, output: Tensor) -> Tensor | None:
        _, wanted = companion.wait()
        if name not in done:
            done.add(name)
            gain, shift = matching(output, wanted, scale=kind != "bias")
            encoded[name] = _correct(layer, encoded[name], gain, shift)
            output.mul_(_along_channels(gain, output)).add_(_along_channels(shift, output))
            bar.update()
        companion.go_on()
        return output

    handles = []
    for name, layer in layers.items():
        handles.append(layer.register_forward_pre_hook(lambda layer, x, n=name: before(n, layer, x)))
        handles.append(layer.register_forward_hook(lambda layer, _, y, n=name: after(n, layer, y)))
    try:
        with torch.no_grad():
            network(images)
    finally:
        companion.close()
        bar.close()
        for handle in handles:
            handle.remove()
    for name in set(layers) - done:
        layers[name].weight.data = encoded[name].weight()
    return encoded


def matching(output: Tensor, wanted: Tensor, scale: bool = True) -> tuple[Tensor, Tensor]:
    """Return the gain and shift [channels] that bring an output's mean and variance to the wanted ones.

    Outputs are [N, channels, H, W] or [..., channels]. A channel that is constant in either keeps its gain;
    without ``scale`` all do, and only means are matched.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> [values.tolist() for values in matching(x, 3 * x + 1)]
    [[3.0, 1.0], [1.0, 3.0]]
    """
    around = (0, 2, 3) if output.ndim == 4 else tuple(range(output.ndim - 1))
    variance, mean = torch.var_mean(output, around, correction=0)
    wanted_variance, wanted_mean = torch.var_mean(wanted, around, correction=0)
    varies = (variance > _CONSTANT * variance.max()) & (wanted_variance > _CONSTANT * wanted_variance.max())
    gain = torch.where(varies, (wanted_variance / variance).sqrt(), torch.ones_like(variance))
    gain = gain.nan_to_num(1.0).clamp(1 / _LARGEST_GAIN, _LARGEST_GAIN) if scale else torch.ones_like(gain)
    return gain, wanted_mean - gain * mean


def by_image(layer: nn.Module, inputs: Tensor, images: int) -> Tensor:
    """Return inputs with the images as first axis: some networks cut these into windows before a layer."""
    if isinstance(layer, nn.Linear) and len(inputs) % images == 0:
        return inputs.reshape(images, -1, inputs.shape[-1])
    return inputs


def _along_channels(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1) if like.ndim == 4 else values


def _correct(layer: nn.Module, encoded: Encoded, gain: Tensor, shift: Tensor) -> Encoded:
    """Fold gain and shift into a layer's scale and bias."""
    encoded = replace(encoded, scale=encoded.scale * gain.reshape(-1, *[1] * (len(encoded.shape) - 1)))
    layer.weight.data = encoded.weight()
    bias = shift if layer.bias is None else layer.bias * gain + shift
    layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return encoded
