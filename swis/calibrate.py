"""Calibration on images without labels: weights chosen for each layer's output, its statistics set right.

The float network and the one of few bits run side by side over all calibration images at once. When a
layer's turn comes, its inputs in both networks are known, and everything in front of it is calibrated
already: its weights are chosen, the mean and the variance of its output's channels brought to those of the
float network by a gain in its scale and a shift in its bias, and only then the network goes on. One pass over
the images does it, whatever the network's graph, and inference costs nothing more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from swis.apply import Encoded, WeightFormat, encode_layers, weight_layers
from swis.companion import Companion
from swis.decompose import from_filters, to_filters
from swis.moments import input_moments
from swis.quantizer import quantize
from swis.refit import damped, refit
from swis.schedule import LayerPlan
from swis.walk import candidates, factors, walk

KINDS = ("none", "stats", "output_aware")

# A channel that varies less than this part of the layer's most varying one is taken as constant.
_CONSTANT = 1e-10
# A channel's gain stays within this factor: beyond it statistics match only by amplifying noise.
_LARGEST_GAIN = 4.0


@dataclass(frozen=True)
class Calibration:
    """How to calibrate; the defaults are those of the configuration.

    ``kind``: "stats" matches statistics alone, "output_aware" chooses weights by the Hessian walk as well.
    ``damping`` times a filter's weights per image is added to H, relative to its mean diagonal; H sums
    ``positions`` output positions of all images, at most; ``rounds`` of coordinate descent follow the walk.
    ``asymmetric`` aims at what the float layer makes of its own inputs, and so makes up for errors in front
    of it, not at what it would make of those at hand. Every filter takes the scale of least error among
    ``scales`` times that of the quantizer; where a tensor has one scale, it is the quantizer's.
    """

    kind: str = "output_aware"
    damping: float = 0.1
    positions: int = 1 << 16
    rounds: int = 3
    asymmetric: bool = True
    scales: Sequence[float] = (0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5)


def calibrate(
    reference: nn.Module,
    network: nn.Module,
    form: WeightFormat,
    images: Tensor,
    settings: Calibration,
    skip: set[str] = frozenset(),
    plans: dict[str, LayerPlan] | None = None,
) -> dict[str, Encoded]:
    """Calibrate ``network`` in place to compute what ``reference`` does; return its layers' weights.

    Both start as the same float network; ``network`` may round its activations. ``images`` [N, C, H, W].
    Layers in ``skip`` get the base format and matched statistics; layers that share a weight, and those that
    are not called, get ``form`` without calibration.
    """
    layers = weight_layers(network)
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
        if settings.kind == "output_aware" and plain.form.method != "base":
            encoded[name] = _output_aware(layer, plain.form, plain.plan, inputs[0], float_input, settings)
        layer.weight.data = encoded[name].weight()

    def after(name: str, layer: nn.Module, output: Tensor) -> Tensor | None:
        _, wanted = companion.wait()
        if name not in done:
            done.add(name)
            gain, shift = matching(output, wanted)
            encoded[name] = _correct(layer, encoded[name], gain, shift)
            output = output * _along_channels(gain, output) + _along_channels(shift, output)
            bar.update()
        companion.go_on()
        return output

    handles = []
    for name, layer in layers.items():
        handles.append(layer.register_forward_pre_hook(lambda layer, x, n=name: before(n, layer, x)))
        handles.append(layer.register_forward_hook(lambda layer, _, y, n=name: after(n, layer, y)))
    try:
        with torch.inference_mode():
            network(images)
    finally:
        companion.close()
        bar.close()
        for handle in handles:
            handle.remove()
    for name in set(layers) - done:
        layers[name].weight.data = encoded[name].weight()
    return encoded


def matching(output: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gain and shift [channels] that bring an output's mean and variance to the wanted ones.

    Outputs are [N, channels, H, W] or [..., channels]. A channel that is constant in either keeps its gain.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> [values.tolist() for values in matching(x, 3 * x + 1)]
    [[3.0, 1.0], [1.0, 3.0]]
    """
    around = (0, 2, 3) if output.ndim == 4 else tuple(range(output.ndim - 1))
    variance, mean = torch.var_mean(output, around, correction=0)
    wanted_variance, wanted_mean = torch.var_mean(wanted, around, correction=0)
    varies = (variance > _CONSTANT * variance.max()) & (wanted_variance > _CONSTANT * wanted_variance.max())
    gain = torch.where(varies, (wanted_variance / variance).sqrt(), torch.ones_like(variance))
    gain = gain.nan_to_num(1.0).clamp(1 / _LARGEST_GAIN, _LARGEST_GAIN)
    return gain, wanted_mean - gain * mean


def _along_channels(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1) if like.ndim == 4 else values


def _correct(layer: nn.Module, encoded: Encoded, gain: Tensor, shift: Tensor) -> Encoded:
    """Fold gain and shift into a layer's scale and bias."""
    encoded = replace(encoded, scale=encoded.scale * gain.reshape(-1, *[1] * (len(encoded.shape) - 1)))
    layer.weight.data = encoded.weight()
    bias = shift if layer.bias is None else layer.bias * gain + shift
    layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return encoded


def _output_aware(
    layer: nn.Module,
    form: WeightFormat,
    plan: LayerPlan | None,
    inputs: Tensor,
    float_inputs: Tensor,
    settings: Calibration,
) -> Encoded:
    weight = layer.weight.detach()
    one, other = halves = input_moments(layer, inputs, float_inputs, settings.positions)
    covariance, _ = (one if other is None else one + other).covariances()
    rows = to_filters(weight).double()
    # the fewer the images for a filter's weights, the less their covariance is to be believed
    hessian = damped(covariance, settings.damping * rows.shape[1] / len(inputs))
    owner = np.arange(len(rows)) // (len(rows) // len(hessian))
    if settings.asymmetric:
        rows = refit(rows, halves)
    rounded = from_filters(rows.float(), weight.shape)
    shifts = np.full(len(rows), form.shifts) if plan is None else plan.shifts
    group_size = min(form.group_size if form.method in ("swis", "swis_c") else 1, rows.shape[1])
    # one scale for a whole tensor is not searched
    scales = settings.scales if form.granularity == "channel" else (1.0,)
    factored, threads = factors(hessian, group_size), torch.get_num_threads()
    codes = torch.empty(rows.shape, dtype=torch.int16)
    fields = torch.empty(len(rows), -(-rows.shape[1] // group_size), dtype=torch.uint8)
    scale = torch.empty(len(rows), 1)
    for n in np.unique(shifts).tolist():
        mine = torch.from_numpy(shifts == n)
        bits, clip = (n, "mse") if form.method == "uniform" else (form.magnitude_bits, form.clip)
        start = quantize(rounded, bits, form.granularity, clip).scale.reshape(-1, 1).expand(scale.shape)[mine]
        inputs_of, choices = owner[mine.numpy()], candidates(form.method, n, form.magnitude_bits)
        least = torch.full((len(start),), torch.inf, dtype=torch.float64)
        best = [torch.empty_like(values[mine]) for values in (codes, fields, scale)]
        for factor in scales:
            step = start * factor
            walked = walk(rows[mine] / step, factored, inputs_of, choices, settings.rounds, threads)
            found = (*walked, step)
            error = output_error(found[0] * step - rows[mine], hessian, inputs_of)
            less = error < least
            least[less] = error[less]
            for kept, new in zip(best, found, strict=True):
                kept[less] = new[less]
        codes[mine], fields[mine], scale[mine] = best
    codes = codes.to(torch.int8 if form.magnitude_bits <= 7 else torch.int16)
    fields = None if form.method == "uniform" else fields
    scale = scale.reshape(-1, *[1] * (weight.ndim - 1))
    return Encoded(form, codes, fields, scale, weight.shape, plan=plan)


def output_error(errors: Tensor, hessian: Tensor, owner: np.ndarray) -> Tensor:
    """Return e^T H e of each filter's errors [filters, K], H [inputs, K, K], float64.

    >>> output_error(torch.tensor([[1.0, 2.0]]).double(), torch.eye(2).double()[None], np.array([0]))
    tensor([5.], dtype=torch.float64)
    """
    if len(hessian) == 1:
        return (errors @ hessian[0] * errors).sum(1)
    return torch.einsum("fj,fjk,fk->f", errors, hessian[torch.from_numpy(owner)], errors)
