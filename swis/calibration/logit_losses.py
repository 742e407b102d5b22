"""What the error of each filter does to the logits, after output-aware calibration.

Every layer is calibrated alone, in the float network, with each number of shifts. The error that this leaves
in a filter changes the layer's output, and to first order the logits change by the gradient times this
change. The logits' squared change is the mean square of its projection on random vectors, so one backward
pass gives an estimate for all filters at the same time. The changes by different filters add up to that by
all of them, because their errors are almost independent.

In the calibrated network the layers behind a filter are fitted to its error, and correct a part of it. So
errors of earlier layers count less.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from swis.calibration.input_moments import input_moments
from swis.calibration.layer_stepper import Lockstep
from swis.calibration.layerwise import LARGEST_GAIN, check_memory
from swis.calibration.output_aware import ScaleSearch, output_error, walking
from swis.calibration.ridge import damped
from swis.encoding.decompose import from_filters, to_filters
from swis.formats.weight_format import WeightFormat
from swis.networks.computed_weights import check_stateless
from swis.networks.inputs import Inputs, class_logits
from swis.networks.layers import axes_of, filters_of, weight_layers, weight_of
from swis.options.calibrations import OutputAware
from swis.runtime.progress import tqdm

# The most shifts that are measured. Few filters get more, and each number takes as long as a calibration.
MOST_SHIFTS = 4
# A coarse calibration; its errors rank filters as well as those of the fine one.
_COARSE = OutputAware(positions=32768, rounds=1, scales=[0.8, 1.0, 1.25])
_CHUNK = 8  # images that run at the same time
_PROJECTIONS = 2  # random vectors per image
# What the loss of the first layer counts against that of the last. Chosen on the development images, by the
# SQNR of the logits at 2.5 shifts: 10.9 (with 1), 11.9 (0.3) and 11.9 dB (0.1) for MobileNet-v2, and 13.7 (1)
# and 14.3 dB (0.2) for EfficientNet-Lite0.
FIRST_COUNTS = 0.2
_LEAST_EFFECT = 0.01  # of a filter on the logits, relative to the mean of its layer


def logit_losses(
    model: nn.Module,
    fmt: WeightFormat,
    skip: Collection[str],
    images: Sequence[Tensor | Inputs],
    device: torch.device | str = "cpu",
) -> dict[str, np.ndarray]:
    """Return each filter's loss with 1, 2, ... at most 4 shifts, float64 [filters, shifts], by layer.

    The loss is the mean squared change of the logits over their mean square, 1 / SQNR. It counts from
    ``FIRST_COUNTS`` in the first layer to 1 in the last. ``model`` has folded normalisation; ``images`` are
    batches without labels. Layers in ``skip`` are left out. A layer that no image reaches has no loss. Raises
    ``InputError`` if a layer needs more memory than there is.

    >>> from swis.formats.swis import Swis
    >>> network, images = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(16, 8)
    >>> logit_losses(network, Swis(), [], [images])["0"].shape
    (4, 4)
    """
    numbers = range(1, min(fmt.magnitude_bits, MOST_SHIFTS) + 1)
    return _losses(model, fmt, numbers, skip, images, device)[0]


def logit_prices(
    model: nn.Module,
    fmt: WeightFormat,
    rate: float,
    skip: Collection[str],
    images: Sequence[Tensor | Inputs],
    device: torch.device | str = "cpu",
) -> dict[str, Tensor]:
    """Return the error of each filter's output that a bit costs, float64 [filters], by layer.

    An error changes the logits, by ``logit_losses``, and a bit per weight of all these layers costs ``rate``
    in the same unit. The effect of a filter is measured with its shifts, at most 4, and counts as at least a
    hundredth of the mean of its layer. Where a layer has no effect on the logits, bits cost nothing.
    Arguments and errors are those of ``logit_losses``.

    >>> from swis.formats.swis import Swis
    >>> network, images = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(16, 8)
    >>> logit_prices(network, Swis(2), 0.1, [], [images])["0"].shape
    torch.Size([4])
    """
    numbers = [min(ceil(fmt.shifts), MOST_SHIFTS)]  # a schedule has an average
    losses, errors = _losses(model, fmt, numbers, skip, images, device)
    layers, prices = weight_layers(model), {}
    weights = sum(layers[name].weight.numel() for name in losses)
    for name, of in losses.items():
        loss, error = torch.from_numpy(of[:, 0]), errors[name][:, 0]
        prices[name] = torch.zeros_like(loss)
        if (total := loss.sum()) > 0:
            least = _LEAST_EFFECT * total / error.sum()
            effect = torch.where(error > 0, loss / error, least).maximum(least)
            prices[name] = rate / (weights * effect)
    return prices


def _losses(
    model: nn.Module,
    fmt: WeightFormat,
    numbers: Sequence[int],
    skip: Collection[str],
    images: Sequence[Tensor | Inputs],
    device: torch.device | str,
) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Return losses and the errors of outputs that cause them, float64 [filters, numbers], by layer."""
    check_memory(model, walking(_COARSE), skip, torch.device(device))
    model = model.to(device).eval()
    chunks = [part for batch in images for part in Inputs.of(batch).to(device).split(_CHUNK)]
    check_stateless(model, chunks[0][:1], chunks[-1][-1:])
    try:
        errors, of_outputs = errors_after_calibration(model, fmt, numbers, skip, chunks)
        changes = changes_of_logits(model, errors, chunks)
    finally:
        model.cpu()
    last = max(len(changes) - 1, 1)
    counts = [FIRST_COUNTS ** (1 - place / last) for place in range(len(changes))]
    return {name: count * changes[name] for count, name in zip(counts, changes, strict=True)}, of_outputs


def errors_after_calibration(
    model: nn.Module,
    fmt: WeightFormat,
    numbers: Sequence[int],
    skip: Collection[str],
    chunks: Sequence[Inputs],
) -> tuple[dict[str, list[Tensor]], dict[str, Tensor]]:
    """Return the errors of each layer's filters and of their outputs, with so many shifts.

    The errors of filters have their shape. Those of outputs are e^T H e with the covariance H of the inputs,
    float64 [filters, numbers]. Every layer is calibrated for its inputs in the float network, and gains match
    the variances of its outputs. Layers are in the order of their calls; those that are not called come
    first, without errors.
    """
    layers = weight_layers(model)
    owners = {
        id(layer.weight): name for name, layer in reversed(layers.items())
    }  # the first of those that share
    names = [name for name in owners.values() if name not in skip]
    errors = {name: [torch.zeros_like(filters_of(layers[name])) for _ in numbers] for name in names}
    of_outputs = {name: torch.zeros(len(of[0]), len(numbers)).double() for name, of in errors.items()}
    waiting, run = set(names), Lockstep(model, chunks)
    bar = tqdm(total=len(names), desc=f"{fmt.name}: errors after calibration", leave=False)
    with torch.no_grad(), bar:
        try:
            while (name := run.enter()) is not None:
                name = owners[id(layers[name].weight)]
                if name in waiting:
                    waiting.remove(name)
                    del errors[name]  # it goes to the end
                    how = (fmt, numbers, run.inputs, sum(map(len, chunks)))
                    errors[name], of_outputs[name] = _errors_of(layers[name], *how)
                    bar.update()
                run.leave()
        finally:
            run.close()
    return errors, of_outputs


def _errors_of(
    layer: nn.Module, fmt: WeightFormat, numbers: Sequence[int], inputs: Sequence[Tensor], images: int
) -> tuple[list[Tensor], Tensor]:
    weight = filters_of(layer).detach()
    one, other = input_moments(layer, inputs, inputs, _COARSE.positions)
    covariance = (one if other is None else one + other).covariances()[0]
    rows = to_filters(weight).double()
    hessian = damped(covariance, _COARSE.damping * rows.shape[1] / images)
    search = ScaleSearch(rows, hessian, min(fmt.weights_per_group, rows.shape[1]), _COARSE.order)
    wanted, found, of_outputs = output_error(rows, covariance), [], []
    for number in numbers:
        shifts = np.full(len(rows), number)
        codes, _, scale = search.encode(weight.float().cpu(), fmt, shifts, _COARSE)
        hat = (codes * scale).to(rows)
        variance = output_error(hat, covariance)
        gain = torch.where((variance > 0) & (wanted > 0), (wanted / variance).sqrt(), 1.0)
        hat *= gain.clamp(1 / LARGEST_GAIN, LARGEST_GAIN)[:, None]
        found.append(from_filters((hat - rows).float(), weight.shape))
        of_outputs.append(output_error(hat - rows, covariance))
    return found, torch.stack(of_outputs, 1).cpu()


class _Sums:
    """Sums over images for several errors of a layer's filters.

    c is the projected change of an image's logits, and g the sum of the gradients at its outputs. The mean
    change of the outputs does not count, because the bias corrects it; it is known after all images, and with
    it also the sum of (c - mean g)^2.
    """

    def __init__(self, layer: nn.Module, errors: Sequence[Tensor]) -> None:
        self.layer, self.errors = layer, errors
        zeros = torch.zeros(len(errors), len(errors[0]), dtype=torch.float64)
        self.change, self.cc, self.cg, self.gg = zeros, zeros.clone(), zeros.clone(), zeros[0].clone()
        self.count = 0

    def include(self, inputs: Sequence[Tensor], gradients: Sequence[Sequence[Tensor]], images: int) -> None:
        """Add a chunk of images: the inputs of all calls, and for each projection their gradients."""
        slopes = [sum(self._by_image(each, images) for each in of_calls) for of_calls in gradients]
        self.gg += sum(slope.square().sum(0) for slope in slopes)
        for number, error in enumerate(self.errors):
            changes = [self._outputs(each, error) for each in inputs]
            self.change[number] += sum(self._by_image(each, images).sum(0) for each in changes)
            for of_calls, slope in zip(gradients, slopes, strict=True):
                pairs = zip(changes, of_calls, strict=True)
                moved = sum(self._by_image(change * each, images) for change, each in pairs)
                self.cc[number] += moved.square().sum(0)
                self.cg[number] += (moved * slope).sum(0)
        self.count += sum(each[..., 0].numel() for each in map(self._by_filter, gradients[0]))

    def squares(self) -> Tensor:
        """Return the sums of the logits' squared changes [filters, errors]."""
        mean = self.change / max(self.count, 1)
        return (self.cc - 2 * mean * self.cg + mean.square() * self.gg).clamp_min(0).T

    def _outputs(self, inputs: Tensor, error: Tensor) -> Tensor:
        weights = {"weight": weight_of(self.layer, error.to(inputs))}
        if self.layer.bias is not None:
            weights["bias"] = torch.zeros_like(self.layer.bias)
        return functional_call(self.layer, weights, (inputs,))

    def _by_filter(self, outputs: Tensor) -> Tensor:
        """Return outputs or gradients with the filters along the last axis."""
        return outputs.movedim(1, -1) if axes_of(self.layer) else outputs

    def _by_image(self, outputs: Tensor, images: int) -> Tensor:
        """Return sums [images, filters], float64; one sum for all, if they do not have an entry per image."""
        rows = self._by_filter(outputs)
        images = images if len(rows) % images == 0 else 1
        return rows.reshape(images, -1, rows.shape[-1]).double().sum(1).cpu()


def changes_of_logits(
    model: nn.Module, errors: dict[str, list[Tensor]], chunks: Sequence[Inputs]
) -> dict[str, np.ndarray]:
    """Return the mean squared change of the logits over their mean square, for each filter's errors.

    ``errors`` lists errors of a layer's filters, in their shape. The result is float64 [filters, errors].
    The mean of a filter's output does not count.

    >>> layer, images = nn.Linear(2, 2), torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    >>> error = torch.tensor([[0.5, 0.0], [0.0, 0.5]])
    >>> found = changes_of_logits(nn.Sequential(layer), {"0": [error]}, [Inputs.of(images)])["0"]
    >>> bool(found[0, 0] > 0), float(found[1, 0])
    (True, 0.0)
    """
    layers, generator = weight_layers(model), torch.Generator().manual_seed(0)
    sums = {name: _Sums(layers[name], of) for name, of in errors.items()}
    power = 0.0
    for chunk in tqdm(chunks, desc="changes of the logits", leave=False):
        logits, calls = _called(model, layers, chunk)
        power += float(logits.detach().double().square().sum())
        # drawn image by image, so that they do not depend on the chunks
        drawn = [torch.randn(_PROJECTIONS, *image.shape, generator=generator) for image in logits]
        outputs = [output for of_layer in calls.values() for _, output in of_layer]
        projections = []
        for vector in torch.stack(drawn, 1).to(logits):
            found = torch.autograd.grad(
                (logits * vector).sum(), outputs, retain_graph=True, materialize_grads=True
            )
            projections.append(iter(found))
        with torch.no_grad():
            for weight, of_layer in calls.items():
                gradients = [[next(found) for _ in of_layer] for found in projections]
                for name, of in sums.items():
                    if id(layers[name].weight) == weight:
                        of.include([inputs for inputs, _ in of_layer], gradients, len(chunk))
    scale = max(_PROJECTIONS * power, np.finfo(float).tiny)
    return {name: (of.squares() / scale).numpy() for name, of in sums.items()}


def _called(
    model: nn.Module, layers: dict[str, nn.Module], inputs: Inputs
) -> tuple[Tensor, dict[int, list[tuple[Tensor, Tensor]]]]:
    """Return the logits, and the inputs and outputs of all calls, by the id of the layer's weight."""
    calls: dict[int, list[tuple[Tensor, Tensor]]] = {}

    def keep(layer: nn.Module, given: tuple, output: Tensor) -> Tensor:
        kept = output if output.requires_grad else output.detach().requires_grad_()
        # copies, because the network may change its tensors in place
        calls.setdefault(id(layer.weight), []).append((given[0].detach().clone(), kept))
        return kept.clone()

    handles = [layer.register_forward_hook(keep) for layer in layers.values()]
    try:
        with torch.enable_grad():
            return class_logits(inputs.run(model)), calls
    finally:
        for handle in handles:
            handle.remove()
