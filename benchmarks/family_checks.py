"""The checks of a network in all steps of the package."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from family_networks import random_network, smallest_input
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from swis.calibration.kinds import STATS, walking
from swis.calibration.layerwise import calibrate
from swis.calibration.output_aware import OutputAware
from swis.encoding.encode import Encoded
from swis.encoding.metrics import sqnr_db
from swis.errors import InputError
from swis.experiments.config import load
from swis.formats.registry import weight_format
from swis.formats.swis import Swis
from swis.formats.weight_format import WeightFormat
from swis.hardware.designs import design, energy_table
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.operands import operands_of
from swis.hardware.simulate import simulate
from swis.networks.activations import observe_ranges, quantize_activations
from swis.networks.apply import encode_layers, with_weights
from swis.networks.batch_norm import fold_batch_norm, fused
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import is_transposed, weight_layers
from swis.networks.macs import network_macs
from swis.networks.models import Network
from swis.packing.file import load_packed, save_packed

IMAGES = 6
BASE, SWIS = weight_format("int8"), weight_format("swis", shifts=2, group_size=4)
QUICK = walking(OutputAware(scales=(0.85, 1.0, 1.15), rounds=1))
OPERATIONS = {F.linear, F.conv1d, F.conv2d, F.conv_transpose2d}


class Wrong(Exception):
    """A check of a network has failed; the message says which."""


def check(name: str, depth: int | None) -> dict[str, Any]:
    """Check a network in all steps; return its row, or raise ``Wrong`` or ``InputError``."""
    arguments, side = smallest_input(name, depth)
    facts: dict[str, Any] = {"arguments": str(arguments or ""), "side": side}
    network = random_network(name, arguments, side)
    size = (3, side, side)
    images, others = torch.randn(2, IMAGES, *size, generator=torch.Generator().manual_seed(0))
    wanted, unseen = logits(network.module, images), logits(network.module, others)
    require(bool(wanted.isfinite().all()), "its float logits are not finite")
    spread = float((wanted - wanted.mean(0)).norm() / wanted.norm())
    require(spread > 0.01, f"its logits hardly depend on the images: {100 * spread:.2g} % of them")

    plain = plain_copy(network.module)
    close("plain_copy", logits(plain, images), wanted, 80)
    folded = fused(plain, size)
    with contextlib.suppress(InputError):
        fold_batch_norm(plain, size)
        left = [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]
        facts["arguments"] += f" {len(left)} norms not folded" if left else ""
    before = logits(folded, images)
    exact = plain_copy(plain).double()  # in float32 a deep random network amplifies rounding errors
    close("folding", logits(fused(exact, size), images.double()), logits(exact, images.double()), 80)

    layers = weight_layers(folded)
    macs = network_macs(plain, size)
    counted = torch_macs(plain, size)
    shapes = workload(folded, size)
    by_shape = dict.fromkeys(macs.layers, 0)
    for layer in shapes:
        by_shape[layer.name] += layer.macs
    # the simulation of a transposed convolution has zeros between its inputs; torch does not count them
    alike = [key for key, layer in layers.items() if not is_transposed(layer)]
    differ = [key for key in alike if by_shape[key] != macs.layers[key]]
    require(not differ, f"MACs by shape and by torch differ in {differ[:2]}")
    sizes = {id(p): p.numel() for p in plain.parameters()}
    taken = {id(layer.weight): layer.weight.numel() for layer in weight_layers(plain).values()}
    facts |= {
        "million": round(sum(sizes.values()) / 1e6, 2),
        "float_share": round(1 - sum(taken.values()) / sum(sizes.values()), 4),
        "macs_to_torch": round(macs.total / counted, 4),
    }
    simulated(shapes)

    ranges = observe_ranges(folded, layers, [images])
    results: dict[str, Tensor] = {}
    for fmt, column in ((BASE, "base_db"), (SWIS, "swis_db")):
        emulated, _ = with_weights(folded, fmt, macs.layers)
        on_grid(emulated, encode_layers(folded, fmt), fmt, images[:1])
        quantize_activations(weight_layers(emulated), ranges, 8)
        results[column] = logits(emulated, images)
        facts[column] = round(sqnr_db(wanted, results[column]), 1)
    require(torch.equal(logits(folded, images), before), "the folded network was changed")
    require(
        facts["base_db"] > facts["swis_db"],
        f"8 bits have {facts['base_db']} dB and SWIS {facts['swis_db']}",
    )
    packed("swis", folded, network, results["swis_db"], images, ranges)

    for kind, how in (("stats", STATS), ("output_aware", QUICK)):
        reference, module = plain_copy(folded), plain_copy(folded)
        quantize_activations(weight_layers(module), ranges, 8)
        encoded = calibrate(reference, module, SWIS, images, how)
        on_grid(module, encoded, SWIS, images[:1])
        results[kind] = logits(module, images)
        facts[f"{kind}_db"] = round(sqnr_db(unseen, logits(module, others)), 1)
        packed(kind, module, network, results[kind], images, ranges, encoded)
    reached = sqnr_db(wanted, results["output_aware"])
    gained = reached - sqnr_db(wanted, results["stats"])
    require(gained > -3, f"output_aware is {-gained:.1f} dB below stats on the calibration images")
    require(torch.equal(logits(network.module, images), wanted), "the network itself was changed")
    return facts


def logits(module: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return module(images)


def require(condition: bool, message: str) -> None:
    if not condition:
        raise Wrong(message)


def close(what: str, found: Tensor, wanted: Tensor, decibel: float) -> None:
    """Raise ``Wrong`` if the SQNR of ``found`` against ``wanted`` [dB] is not above ``decibel``."""
    reached = sqnr_db(wanted, found)
    require(reached > decibel, f"{what} changes what the network computes: {reached:.0f} dB")


def torch_macs(model: nn.Module, size: tuple[int, ...]) -> int:
    """Return the number of MACs that torch counts for one image."""
    frozen = plain_copy(model).requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        frozen(torch.zeros(1, *size))
    return counter.get_total_flops() // 2


def simulated(shapes: list[Layer]) -> None:
    """Simulate all layers on swis_ss; raise ``Wrong`` for impossible cycles or energies."""
    config = load(["accelerator=swis_ss"])
    accelerator, chip = design(config.accelerator, energy_table(config.energy), SWIS.group_size)
    operands = [operands_of(layer, SWIS, None, codes=False) for layer in shapes]
    table = simulate(accelerator, shapes, operands, chip)
    lanes = accelerator.units * accelerator.lanes
    enough = table.compute_cycles * lanes >= table.macs
    require(bool(enough.all()), "a layer takes fewer cycles than its MACs on all lanes")
    require(
        bool(np.isfinite(table.energy_pj).all() and (table.energy_pj > 0).all()),
        "an energy is not a positive number",
    )


class Watch(TorchFunctionMode):
    """Compare the weights that convolutions and linear functions use with the encoded weights."""

    def __init__(self, model: nn.Module, encoded: dict[str, Encoded]) -> None:
        super().__init__()
        self.encoded, self.wrong, self.seen = encoded, set(), set()
        self.called: list[str] = []
        self.handles = []
        for name, layer in weight_layers(model).items():
            self.handles += [
                layer.register_forward_pre_hook(lambda *_, name=name: self.called.append(name)),
                layer.register_forward_hook(lambda *_: (self.called.pop(), None)[1]),
            ]

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.called and function in OPERATIONS:
            name, weight = self.called[-1], args[1] if len(args) > 1 else kwargs["weight"]
            self.seen.add(name)
            if not same_values(weight, self.encoded[name].weight()):
                self.wrong.add(name)
        return function(*args, **kwargs or {})


def same_values(one: Tensor, other: Tensor) -> bool:
    """Tell whether two weights have the same values; transposed layers have them in another order."""
    return torch.equal(one.detach().flatten().sort().values, other.flatten().sort().values)


def on_grid(model: nn.Module, encoded: dict[str, Encoded], fmt: WeightFormat, image: Tensor) -> None:
    """Raise ``Wrong`` if a layer uses weights that the format cannot represent."""
    for name, layer in encoded.items():
        codes = layer.codes.abs().int().numpy()
        require(codes.max() <= 127, f"{name} has codes with more than 7 bits")
        if isinstance(fmt, Swis):
            padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % fmt.group_size)))
            sets = np.bitwise_or.reduce(padded.reshape(len(codes), -1, fmt.group_size), axis=2)
            require(np.bitwise_count(sets).max() <= fmt.shifts, f"{name} has groups with too many shifts")
    watch = Watch(model, encoded)
    with watch, torch.inference_mode():
        model(image)
    for handle in watch.handles:
        handle.remove()
    require(not watch.wrong, f"{sorted(watch.wrong)[:2]} do not use their encoded weights")
    require(bool(watch.seen), "no encoded layer was run")


def packed(
    kind: str,
    module: nn.Module,
    network: Network,
    wanted: Tensor,
    images: Tensor,
    ranges: dict,
    encoded: dict[str, Encoded] | None = None,
) -> None:
    """Raise ``Wrong`` if the packed file of a network does not reproduce its logits bit for bit."""
    extra = {"fold_bn": True} if encoded is None else {"calibrate": kind, "encoded": encoded}
    source = network if encoded is None else replace(network, module=module)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        try:
            save_packed(path, source, SWIS, activation_bits=8, ranges=ranges, **extra)
        except InputError:
            if "fold_bn" not in extra:
                raise
            return  # its batch normalisation cannot be folded; the calibrated networks are packed without
        loaded = load_packed(path)
    quantize_activations(weight_layers(loaded.network.module), loaded.ranges, 8)
    again = logits(loaded.network.module, images)
    require(torch.equal(again, wanted), f"the packed file ({kind}) gives {sqnr_db(wanted, again):.0f} dB")


def warm_up() -> None:
    """Compile all functions that the networks' processes need."""
    torch.set_num_threads(1)  # a fork would lose the threads
    reference = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    images, network = torch.randn(2, 3, 4, 4), plain_copy(reference)
    ranges = observe_ranges(reference, weight_layers(reference), [images])
    quantize_activations(weight_layers(network), ranges, 8)
    calibrate(reference, network, SWIS, images, QUICK)
