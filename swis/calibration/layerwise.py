"""Layer-wise calibration on images without labels: levels and channel statistics, one layer after another.

The float network and the quantized network run side by side over the calibration set, layer by layer. At each
layer the inputs of both networks are known, and all layers before it are calibrated. First the layer's
weights are chosen. Then the mean and the variance of every output channel are matched to the float network,
with a gain (in the scale) and an offset (in the bias). Then the networks run on to the next layer. This takes
one pass over the images, works for any network graph, and adds no cost to inference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from swis.calibration.layer_stepper import Lockstep
from swis.encoding.encode import Encoded
from swis.encoding.layer_schedule import LayerSchedule
from swis.formats.weight_format import WeightFormat
from swis.networks.apply import encode_layers
from swis.networks.computed_weights import check_stateless
from swis.networks.inputs import Inputs
from swis.networks.layers import axes_of, put_filters, weight_layers
from swis.options.ranges import require
from swis.runtime.memory import device_memory
from swis.runtime.progress import tqdm

_CHUNK = 8  # images per chunk
# A channel counts as constant if its variance is below this share of the layer's largest variance.
_CONSTANT = 1e-10
# Gains are limited to this factor; a larger gain would only amplify noise.
LARGEST_GAIN = 4.0


@dataclass(frozen=True)
class LayerCalibration:
    """The calibration of one layer.

    ``choose`` gets the float layer, its format, its schedule, the layer's inputs in the quantized and in the
    float network, and the price of a bit or None; it returns the encoded weights. If there is no ``choose``,
    every weight gets its nearest level. Afterwards the means of the output channels are matched and, with
    ``match_variance``, their variances. ``memory`` returns the bytes that ``choose`` needs for a layer.
    ``prices`` are those of a bit, by layer.
    """

    choose: Callable[..., Encoded] | None = None
    match_variance: bool = True
    memory: Callable[[nn.Module], int] | None = None
    prices: Mapping[str, Tensor] = field(default_factory=dict)


def check_memory(
    network: nn.Module, calibration: LayerCalibration, skip: Collection[str], device: torch.device
) -> None:
    """Raise ``InputError`` if the calibration of a layer outside of ``skip`` needs more memory than there is.

    >>> network = nn.Sequential(nn.Linear(9, 2))
    >>> calibration = LayerCalibration(memory=lambda layer: layer.in_features << 45)
    >>> check_memory(network, calibration, ["0"], torch.device("cpu"))
    >>> check_memory(network, calibration, [], torch.device("cpu"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    swis.errors.InputError: calibrating layer 0 needs 294912.0 GiB of memory, but only ... GiB are ...
    """
    if calibration.memory is None:
        return
    available = device_memory(device)
    for name, layer in weight_layers(network).items():
        needed = 0 if name in skip else calibration.memory(layer)
        require(
            needed <= available,
            f"calibrating layer {name} needs {needed / 2**30:.1f} GiB of memory, but only "
            f"{available / 2**30:.1f} GiB are available; use skip=[{name}] to keep the layer in 8 bits, or "
            "use calibrate=stats",
        )


def calibrate(
    reference: nn.Module,
    network: nn.Module,
    fmt: WeightFormat,
    images: Tensor | Inputs,
    layer_calibration: LayerCalibration,
    skip: set[str] = frozenset(),
    schedules: dict[str, LayerSchedule] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Encoded]:
    """Calibrate ``network`` in place so that it computes what ``reference`` computes; return its weights.

    Both are copies of the same float network; ``network`` may quantize its activations. ``images`` are a
    tensor [N, C, H, W] or other inputs. Layers in ``skip`` get the 8-bit format and matched statistics.
    Layers that share a weight, and layers that are never called, get ``fmt`` without calibration. A layer
    that is called several times is calibrated at its first call. The networks run on ``device`` and are moved
    to the CPU at the end. Raises ``InputError`` if there is too little memory, or if the images
    decide which layers are called.
    """
    check_memory(reference, layer_calibration, skip, torch.device(device))
    choose = layer_calibration.choose
    layers, originals = weight_layers(network), weight_layers(reference)
    encoded = encode_layers(network, fmt, skip, schedules)
    uses = Counter(id(weights) for weights in encoded.values())
    waiting = {name for name, weights in encoded.items() if uses[id(weights)] == 1}
    for name, layer in layers.items():
        put_filters(layer, encoded[name].weight())
    network.to(device)
    reference.to(device)
    chunks = Inputs.of(images).to(device).split(min(_CHUNK, -(-len(images) // 2)))
    check_stateless(reference, chunks[0][:1], chunks[-1][-1:])
    quantized_run, float_run = Lockstep(network, chunks, copies=True), Lockstep(reference, chunks)
    with torch.no_grad(), tqdm(total=len(layers), desc=f"{fmt.name}: calibrating", leave=False) as bar:
        try:
            while (name := quantized_run.enter()) is not None:
                if (other := float_run.enter()) != name:
                    raise RuntimeError(f"the networks differ: one runs layer {name}, the other {other}")
                if name not in waiting:
                    quantized_run.leave()
                    float_run.leave()
                    continue
                waiting.remove(name)
                layer, plain = layers[name], encoded[name]
                if choose is not None and plain.fmt.has_shifts:
                    inputs, float_inputs = (
                        [_by_image(layer, *pair) for pair in zip(run.inputs, chunks, strict=True)]
                        for run in (quantized_run, float_run)
                    )
                    how = (plain.fmt, plain.schedule, inputs, float_inputs)
                    encoded[name] = choose(originals[name], *how, price=layer_calibration.prices.get(name))
                    put_filters(layer, encoded[name].weight().to(device))
                quantized_run.leave()
                float_run.leave()
                axes = axes_of(layer)
                outputs, expected = quantized_run.outputs, float_run.outputs
                gain, offset = matching(outputs, expected, -1 - axes, scale=layer_calibration.match_variance)
                encoded[name] = _correct(layer, encoded[name], gain, offset)
                along = (-1, *[1] * axes)
                for output in outputs:
                    output.mul_(gain.reshape(along)).add_(offset.reshape(along))
                bar.update()
        finally:
            quantized_run.close()
            float_run.close()
            network.cpu()
            reference.cpu()
    return encoded


def matching(
    outputs: Sequence[Tensor], wanted: Sequence[Tensor], axis: int, scale: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the gain and the offset [channels] that give ``outputs`` the means and variances of ``wanted``.

    The tensors have their channels along ``axis`` and can have any number of images. A channel that is
    constant in one of the two has gain 1. Without ``scale`` all gains are 1, and only the means are matched.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> [values.tolist() for values in matching(x.split(1), [3 * x + 1], axis=-1)]
    [[3.0, 1.0], [1.0, 3.0]]
    """
    (variance, mean), (wanted_variance, wanted_mean) = _statistics(outputs, axis), _statistics(wanted, axis)
    varies = (variance > _CONSTANT * variance.max()) & (wanted_variance > _CONSTANT * wanted_variance.max())
    gain = torch.where(varies, (wanted_variance / variance).sqrt(), torch.ones_like(variance))
    gain = gain.clamp(1 / LARGEST_GAIN, LARGEST_GAIN) if scale else torch.ones_like(gain)
    return gain.float(), (wanted_mean - gain * mean).float()


def _statistics(outputs: Sequence[Tensor], axis: int) -> tuple[Tensor, Tensor]:
    """Return the variance and the mean of every channel, float64."""
    around = [other for other in range(outputs[0].ndim) if other != axis % outputs[0].ndim]
    parts = [torch.var_mean(output, around, correction=0) for output in outputs]
    variances, means = (torch.stack(values).double() for values in zip(*parts, strict=True))
    shares = torch.tensor([output.numel() for output in outputs], device=means.device).double()
    shares = (shares / shares.sum())[:, None]
    mean = (shares * means).sum(0)
    return (shares * (variances + (means - mean).square())).sum(0), mean


def _by_image(layer: nn.Module, inputs: Tensor, images: Inputs) -> Tensor:
    """Return a layer's inputs with one entry per image; some networks split images into windows before."""
    if isinstance(layer, nn.Linear) and len(inputs) % len(images) == 0:
        return inputs.reshape(len(images), -1, inputs.shape[-1])
    return inputs


def _correct(layer: nn.Module, encoded: Encoded, gain: Tensor, offset: Tensor) -> Encoded:
    """Fold the gain into the scale, which becomes one per channel, and the offset into the bias."""
    if torch.any(gain != 1):
        of_filters = gain.cpu().reshape(-1, *[1] * (len(encoded.shape) - 1))
        encoded = replace(encoded, scale=encoded.scale * of_filters)
        put_filters(layer, encoded.weight().to(gain.device))
    bias = offset if layer.bias is None else layer.bias * gain + offset
    layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return encoded
