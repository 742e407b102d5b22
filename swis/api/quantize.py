"""Quantizing a network, and choosing the shifts of its filters."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from swis.api.checks import (
    check_activations,
    check_finite,
    check_format,
    check_layers,
    check_network,
)
from swis.api.post_training import PostTraining
from swis.api.quantized import HowMade, Quantized
from swis.calibration.kinds import KINDS
from swis.calibration.logit_losses import logit_losses
from swis.errors import InputError
from swis.formats.weight_format import WeightFormat
from swis.networks.activations import ActivationRange, observe_ranges
from swis.networks.apply import skipped_layers
from swis.networks.batch_norm import fused
from swis.networks.channel_rewrite import rewritten
from swis.networks.computed_weights import copied, plain_copy
from swis.networks.inputs import Inputs, gathered
from swis.networks.layers import filter_shape, inputs_of, weight_layers
from swis.networks.macs import Macs, network_macs, oddities, share_of_float
from swis.options.calibrations import CALIBRATIONS, OutputAware, Reconstruction
from swis.options.conf_files import choices, schedule_named
from swis.options.names import require_known
from swis.options.ranges import require
from swis.options.scheduling import ScheduleConfig
from swis.runtime.devices import pick_device
from swis.runtime.notices import warn_once
from swis.scheduling.allocation import NetworkSchedule
from swis.scheduling.planner import Planner

# Number of inputs that the network runs on at once.
_BATCH = 32


@dataclass(frozen=True)
class _Settings:
    """The options of the calibration methods, as ``swis.calibration.kinds`` reads them."""

    calibration: OutputAware
    reconstruction: Reconstruction
    seed: int


def quantize(
    network: nn.Module,
    fmt: WeightFormat,
    calibration: Any = None,
    *,
    calibrate: str | None = None,
    activation_bits: int | None = None,
    schedule: NetworkSchedule | str | None = None,
    skip: str | Sequence[str] = (),
    rewrites: str | Sequence[str] = (),
    percentile: float | None = None,
    example: Any = None,
    output_aware: OutputAware | None = None,
    reconstruction: Reconstruction | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Quantized:
    """Return a copy of a network with its weights in a format; the network itself is not changed.

    * ``fmt``: the weight format, such as ``swis.Swis(shifts=2, group_size=4)``.
    * ``calibration``: the calibration set, inputs without labels: a tensor [N, ...], a dictionary of tensors,
      or an iterable of batches such as a DataLoader, whose labels are ignored.
    * ``calibrate``: the calibration method: "none" (nearest levels), "bias", "stats" (the default with a
      calibration set; takes seconds), "output_aware" or "reconstruct" (take minutes).
    * ``activation_bits``: bits of the inputs of layers, rounded over their ranges on ``calibration``; None
      leaves them float. ``percentile`` [%] cuts outliers off these ranges.
    * ``schedule``: shifts for every filter, from ``swis.schedule`` or as the name of a policy.
    * ``skip``: name patterns with wildcards; layers that match one have 8 bits.
    * ``rewrites``: changes to the network that keep its function: "equalize", "permute".
    * ``example``: an input or a batch of a network without a calibration set: a tensor, a tuple of arguments,
      or a dictionary.
    * ``output_aware``, ``reconstruction``, ``seed``: options of the methods of these names.

    Batch normalisation is folded where possible. Weights that no format applies to stay float, count as 32
    bits, and are named in a warning. Raises ``InputError`` for settings that do not fit together, and for a
    layer whose calibration needs more memory than the device has.

    >>> from swis.formats.swis import Swis
    >>> network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2)).eval()
    >>> low = quantize(network, Swis(shifts=2), torch.rand(16, 1, 8, 8), activation_bits=8)
    >>> low.layers["shifts"].tolist(), low(torch.rand(1, 1, 8, 8)).shape
    ([2.0, 2.0], torch.Size([1, 2]))
    """
    check_network(network)
    check_format(fmt)
    check_activations(activation_bits, percentile)
    activation_bits = None if activation_bits is None else int(activation_bits)  # it may be numpy's
    device = pick_device(device)
    inputs = None if calibration is None else gathered(calibration)
    if inputs is not None:
        check_finite(inputs)
    if calibrate is None:
        calibrate = "none" if inputs is None or not fmt.has_shifts else "stats"
    require_known("calibrate", calibrate, CALIBRATIONS)
    way = CALIBRATIONS[calibrate]
    _check_settings(calibrate, output_aware=output_aware, reconstruction=reconstruction)
    fmt.check_rate(output_aware.rate if output_aware else 0.0)
    if inputs is None and (way.looks_at_images or activation_bits is not None):
        option = f"calibrate={calibrate}" if way.looks_at_images else f"activation_bits={activation_bits}"
        raise InputError(f"{option} needs a calibration set: calibration=..., inputs without labels")
    require(
        fmt.has_shifts or not (way.looks_at_images or schedule is not None),
        f"the format {fmt.name} has no shifts to calibrate or to schedule",
    )
    example = _example(network, inputs, example)
    rewrites = (rewrites,) if isinstance(rewrites, str) else tuple(rewrites)
    base = base_network(network, example, rewrites)
    names = skipped_layers(list(weight_layers(base)), skip)
    macs = network_macs(base, example)
    _warn_of(base, macs)
    schedule, fmt = _scheduled(base, fmt, schedule, inputs, macs, names, device)
    ranges = _ranges(base, inputs, percentile, device) if activation_bits is not None else {}
    layers = schedule.layers if schedule is not None else None
    how = PostTraining(fmt, example, names, layers, activation_bits, ranges)
    if way.looks_at_images:
        settings = _Settings(output_aware or OutputAware(), reconstruction or Reconstruction(), seed)
        images = inputs.args[0] if len(inputs.tensors) == 1 and inputs.args else inputs
        module, encoded = how.calibrated(base, KINDS[calibrate](settings), images, device)
    else:
        module, encoded = how.rounded(base)
    policy = None if schedule is None else schedule.policy
    found_by = None if activation_bits is None else "minmax" if percentile is None else "percentile"
    made = HowMade(frozenset(names), calibrate, policy, activation_bits, ranges, found_by, rewrites=rewrites)
    return Quantized(module, base, fmt, encoded, example, made, macs)


def _check_settings(calibrate: str, **given: Any) -> None:
    """Raise ``InputError`` for settings of a calibration method that is not used."""
    for name, settings in given.items():
        require(
            settings is None or name in CALIBRATIONS[calibrate].settings,
            f"{name}=... has no effect with calibrate={calibrate}",
        )


def schedule(
    network: nn.Module,
    fmt: WeightFormat,
    calibration: Any = None,
    *,
    policy: str | ScheduleConfig = "network",
    skip: str | Sequence[str] = (),
    example: Any = None,
    device: torch.device | str = "cpu",
) -> NetworkSchedule:
    """Return a schedule for ``swis.quantize``: the shifts of every filter, ``fmt.shifts`` on average.

    The ``policy`` is a ``ScheduleConfig``, which has all options, or a name:

    * "uniform" spreads the shifts evenly;
    * "greedy" gives one shift after another to the filter that gains the most;
    * "optimal" minimises the loss of every layer;
    * "network" minimises the loss over all layers, each weighted by its effect on the logits. It needs
      ``calibration``, inputs as ``swis.quantize`` takes them, and looks at the first 64;
    * "calibrated" minimises what all filters do to the logits after ``calibrate="output_aware"``, over all
      layers. It needs ``calibration`` too, and looks at the first 256.

    Raises ``InputError`` for a budget that cannot be met.

    >>> from swis.formats.swis import Swis
    >>> network = nn.Sequential(nn.Linear(8, 4))
    >>> found = schedule(network, Swis(shifts=1.5), policy="optimal", example=torch.ones(1, 8))
    >>> sorted(found.layers["0"].shifts.tolist())
    [1, 1, 2, 2]
    """
    check_network(network)
    check_format(fmt, with_shifts=True)
    settings = _settings(policy)
    inputs = None if calibration is None else gathered(calibration, settings.images)
    example = _example(network, inputs, example)
    base = base_network(network, example)
    names = skipped_layers(list(weight_layers(base)), skip)
    return _schedule(base, fmt, settings, inputs, network_macs(base, example), names, pick_device(device))


def _example(network: nn.Module, inputs: Inputs | None, example: Any) -> Inputs:
    """Return one input of a network: the first given one, or a random image of the size that timm states.

    Raises ``InputError`` if there is neither.
    """
    if example is not None or inputs is not None:
        found = Inputs.of(inputs if example is None else example).to("cpu").float()
        return found[:1].map(torch.clone)  # a copy, which does not keep all inputs in memory
    known = getattr(network, "pretrained_cfg", None) or {}
    if "input_size" not in known:
        kind = type(network).__name__
        raise InputError(
            f"the input size of {kind} is unknown; give calibration=... or an input, example=..."
        )
    first = next(iter(weight_layers(network).values()), None)
    channels = inputs_of(first) if isinstance(first, nn.Conv2d) else known["input_size"][0]
    generator = torch.Generator().manual_seed(0)
    return Inputs.of(torch.randn(1, channels, *known["input_size"][1:], generator=generator))


def base_network(network: nn.Module, example: Inputs, rewrites: Sequence[str] = ()) -> nn.Module:
    """Return the network to quantize: a copy on the CPU, with folded batch normalisation and ``rewrites``.

    It is in float32, whatever the type of the network's weights is.
    """
    plain = plain_copy(in_float32(network), example).eval()
    check_layers(plain, example)
    base = fused(plain, example)
    return rewritten(base, example, rewrites).requires_grad_(False)


def in_float32(network: nn.Module) -> nn.Module:
    """Return a network of float32 weights on the CPU: the given one, or a copy."""
    tensors = [*network.parameters(), *network.buffers()]
    plain = all(each.device.type == "cpu" for each in tensors)
    single = all(each.dtype == torch.float32 for each in tensors if each.is_floating_point())
    return network if plain and single else copied(network).cpu().float()


def _ranges(
    base: nn.Module, inputs: Inputs, percentile: float | None, device: torch.device
) -> dict[str, ActivationRange]:
    parts = (part.to(device) for part in inputs.split(_BATCH))
    found = observe_ranges(base.to(device), weight_layers(base), parts, percentile)
    base.cpu()
    return found


def _scheduled(
    base: nn.Module,
    fmt: WeightFormat,
    schedule: NetworkSchedule | str | None,
    inputs: Inputs | None,
    macs: Macs,
    skip: Collection[str],
    device: torch.device,
) -> tuple[NetworkSchedule | None, WeightFormat]:
    """Return the requested schedule (or None), and the format with a whole number of shifts."""
    whole = math.ceil(fmt.shifts)
    if not fmt.has_shifts or (schedule is None and whole == fmt.shifts):
        return None, fmt
    if schedule is None:
        raise InputError(
            f"shifts={fmt.shifts:g} is an average; give schedule=swis.schedule(...) or the name of a policy, "
            f"one of {', '.join(choices('schedule'))}"
        )
    if not isinstance(schedule, NetworkSchedule):
        if not isinstance(schedule, str | ScheduleConfig):
            kind = type(schedule).__name__
            raise InputError(f"schedule must be from swis.schedule, or the name of a policy, not {kind}")
        schedule = _schedule(base, fmt, _settings(schedule), inputs, macs, skip, device)
    _check_schedule(schedule, fmt, base, skip)
    return schedule, fmt.with_shifts(whole)


def _check_schedule(
    schedule: NetworkSchedule, fmt: WeightFormat, base: nn.Module, skip: Collection[str]
) -> None:
    """Raise ``InputError`` for a schedule of another network, of other layers or other numbers of shifts."""
    layers = weight_layers(base)
    known = {id(layers[name].weight) for name in schedule.layers.keys() & layers.keys()}
    without = [name for name, layer in layers.items() if name not in skip and id(layer.weight) not in known]
    if without:
        raise InputError(f"the schedule has no shifts for layer {without[0]}; give the skip of swis.schedule")
    for name, found in schedule.layers.items():
        filters = filter_shape(layers[name])[0] if name in layers else 0
        given = len(found.shifts)
        if filters != given:
            raise InputError(f"the schedule is for another network, with {given} filters in {name}")
    if not fmt.shifts - 1 < schedule.spent <= fmt.shifts + 1e-9:
        raise InputError(
            f"the schedule has {schedule.spent:g} shifts on average, but the format has {fmt.shifts:g}"
        )


def _settings(policy: str | ScheduleConfig) -> ScheduleConfig:
    return policy if isinstance(policy, ScheduleConfig) else schedule_named(policy)


def _schedule(
    base: nn.Module,
    fmt: WeightFormat,
    settings: ScheduleConfig,
    inputs: Inputs | None,
    macs: Macs,
    skip: Collection[str],
    device: torch.device,
) -> NetworkSchedule:
    if settings.looks_at_images and inputs is None:
        raise InputError(
            f"policy={settings.label} needs a calibration set: calibration=..., inputs without labels"
        )
    if not weight_layers(base).keys() - set(skip):
        raise InputError("skip leaves no layer whose shifts could be chosen")
    images = [] if inputs is None else inputs[: settings.images].split(_BATCH)
    planner = Planner(
        module=base,
        macs=macs.layers,
        skip=frozenset(skip),
        settings=settings,
        identity={},
        image_identity={},
        images=lambda: images,
        device=device,
        folder=None,
        at_logits=lambda fmt, batches: logit_losses(base, fmt, skip, batches, device),
    )
    return planner.schedule(fmt.with_shifts(math.ceil(fmt.shifts)), fmt.shifts)


def _warn_of(base: nn.Module, macs: Macs) -> None:
    """Warn of weights that no format applies to, and of layers whose inputs stay float."""
    for line in filter(None, [share_of_float(base, macs), *oddities(macs)]):
        warn_once(f"{type(base).__name__}: {line}")
