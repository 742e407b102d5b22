"""Calibration on images without labels: weights chosen for each layer's output, its statistics set right.

The float network and the one of few bits run side by side over the calibration images, from layer to layer.
When a layer's turn comes, its inputs in both networks are known, and everything in front of it is calibrated
already: its weights are chosen, the mean and the variance of its output's channels brought to those of the
float network by a gain in its scale and a shift in its bias, and only then the networks go on. One pass over
the images does it, whatever the network's graph, and inference costs nothing more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

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

_CHUNK = 8  # images that a network works on at a time
# A channel that varies less than this part of the layer's most varying one is taken as constant.
_CONSTANT = 1e-10
# A channel's gain stays within this factor: beyond it statistics match only by amplifying noise.
_LARGEST_GAIN = 4.0


@dataclass(frozen=True)
class LayerCalibration:
    """What is done with a layer when its turn comes.

    ``choose`` gets the float layer, its format and schedule, and the inputs of the network of few bits and of
    the float one, image by image; it returns the layer's weights (None: those of the nearest levels). Then
    the means of its output's channels are matched and, with ``match_variance``, their variances. ``memory``
    says how many bytes ``choose`` takes for a layer.
    """

    choose: Callable[..., Encoded] | None = None
    match_variance: bool = True
    memory: Callable[[nn.Module], int] | None = None


def check_memory(
    network: nn.Module, calibration: LayerCalibration, skip: Collection[str], device: torch.device
) -> None:
    """Raise ``InputError`` if calibrating a layer that is not in ``skip`` takes more memory than there is.

    >>> network = nn.Sequential(nn.Linear(9, 2))
    >>> calibration = LayerCalibration(memory=lambda layer: layer.in_features << 45)
    >>> check_memory(network, calibration, ["0"], torch.device("cpu"))
    >>> check_memory(network, calibration, [], torch.device("cpu"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    swis.errors.InputError: calibrating layer 0 takes 294912.0 GiB of memory, and there are ... GiB; ...
    """
    if calibration.memory is None:
        return
    there = device_memory(device)
    for name, layer in weight_layers(network).items():
        needed = 0 if name in skip else calibration.memory(layer)
        require(
            needed <= there,
            f"calibrating layer {name} takes {needed / 2**30:.1f} GiB of memory, and there are "
            f"{there / 2**30:.1f} GiB; take skip=[{name}], which leaves it in 8 bits, or calibrate=stats",
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
    """Calibrate ``network`` in place to compute what ``reference`` does; return its layers' weights.

    Both networks start as the same float one; ``network`` may round its activations. ``images`` [N, C, H, W]
    may be other inputs. Layers in ``skip`` get 8 bits and matched statistics; layers that share a weight, and
    those that are not called, get ``fmt`` without calibration; those that are called again are calibrated at
    their first call.
    The networks run on ``device`` and end on the CPU. Raises ``InputError`` if the memory does not suffice,
    ``RuntimeError`` if the images decide which layers are called.
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
    ours, theirs = Lockstep(network, chunks, copies=True), Lockstep(reference, chunks)
    with torch.no_grad(), tqdm(total=len(layers), desc=f"{fmt.name}: calibrating", leave=False) as bar:
        try:
            while (name := ours.enter()) is not None:
                if (other := theirs.enter()) != name:
                    raise RuntimeError(f"the networks are not alike: one is at {name}, the other at {other}")
                if name not in waiting:
                    ours.leave()
                    theirs.leave()
                    continue
                waiting.remove(name)
                layer, plain = layers[name], encoded[name]
                if choose is not None and plain.fmt.has_shifts:
                    inputs = [_by_image(layer, *pair) for pair in zip(ours.inputs, chunks, strict=True)]
                    wished = [_by_image(layer, *pair) for pair in zip(theirs.inputs, chunks, strict=True)]
                    encoded[name] = choose(originals[name], plain.fmt, plain.schedule, inputs, wished)
                    put_filters(layer, encoded[name].weight().to(device))
                ours.leave()
                theirs.leave()
                axes = axes_of(layer)
                match_variance = layer_calibration.match_variance
                gain, shift = matching(ours.outputs, theirs.outputs, -1 - axes, scale=match_variance)
                encoded[name] = _correct(layer, encoded[name], gain, shift)
                along = (-1, *[1] * axes)
                for output in ours.outputs:
                    output.mul_(gain.reshape(along)).add_(shift.reshape(along))
                bar.update()
        finally:
            ours.close()
            theirs.close()
            network.cpu()
            reference.cpu()
    return encoded


def matching(
    outputs: Sequence[Tensor], wanted: Sequence[Tensor], axis: int, scale: bool = True
) -> tuple[Tensor, Tensor]:
    """Return the gain and shift [channels] that bring outputs' mean and variance to the wanted ones.

    Outputs have their channels along ``axis``, and are of any number of images each. A channel that is
    constant in either keeps its gain; without ``scale`` all do, and only means are matched.

    >>> x = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    >>> [values.tolist() for values in matching(x.split(1), [3 * x + 1], axis=-1)]
    [[3.0, 1.0], [1.0, 3.0]]
    """
    (variance, mean), (wanted_variance, wanted_mean) = _statistics(outputs, axis), _statistics(wanted, axis)
    varies = (variance > _CONSTANT * variance.max()) & (wanted_variance > _CONSTANT * wanted_variance.max())
    gain = torch.where(varies, (wanted_variance / variance).sqrt(), torch.ones_like(variance))
    gain = gain.clamp(1 / _LARGEST_GAIN, _LARGEST_GAIN) if scale else torch.ones_like(gain)
    return gain.float(), (wanted_mean - gain * mean).float()


def _statistics(outputs: Sequence[Tensor], axis: int) -> tuple[Tensor, Tensor]:
    """Return the variance and mean of every channel, float64."""
    around = [other for other in range(outputs[0].ndim) if other != axis % outputs[0].ndim]
    parts = [torch.var_mean(output, around, correction=0) for output in outputs]
    variances, means = (torch.stack(values).double() for values in zip(*parts, strict=True))
    shares = torch.tensor([output.numel() for output in outputs], device=means.device).double()
    shares = (shares / shares.sum())[:, None]
    mean = (shares * means).sum(0)
    return (shares * (variances + (means - mean).square())).sum(0), mean


def _by_image(layer: nn.Module, inputs: Tensor, images: Inputs) -> Tensor:
    """Return inputs with the images as first axis: some networks cut these into windows before a layer."""
    if isinstance(layer, nn.Linear) and len(inputs) % len(images) == 0:
        return inputs.reshape(len(images), -1, inputs.shape[-1])
    return inputs


def _correct(layer: nn.Module, encoded: Encoded, gain: Tensor, shift: Tensor) -> Encoded:
    """Fold gain and shift into a layer's bias and its scale, of which every channel has its own then."""
    if torch.any(gain != 1):
        of_filters = gain.cpu().reshape(-1, *[1] * (len(encoded.shape) - 1))
        encoded = replace(encoded, scale=encoded.scale * of_filters)
        put_filters(layer, encoded.weight().to(gain.device))
    bias = shift if layer.bias is None else layer.bias * gain + shift
    layer.bias = nn.Parameter(bias.clone(), requires_grad=False)
    return encoded
