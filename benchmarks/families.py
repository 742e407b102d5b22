"""The smallest network of every family of timm, through all that is done to a network.

    python benchmarks/families.py [FAMILY ...] [out=FILE.csv] [gigabytes=8] [minutes=10] [depth=N]

Each network has random weights and the smallest images that it takes, and runs in a process of its own. It is
folded, emulated with 8-bit activations, in 8 bits and in SWIS at N = 2, calibrated (stats and output_aware),
packed, simulated, and its MACs are counted. A row says "correct" if all of that is right, the line with which
the network was refused, or why it was skipped; any other row makes the command fail. With ``out`` rows are
kept in a CSV file, and those that are there are not computed again. ``depth`` cuts networks that take that
argument, so that all of timm takes minutes instead of hours; the table says which. ``find=true`` counts the
parameters of all of timm's networks instead, and prints the smallest of every family.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import timm
import torch
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
from swis.experiments.designs import design, energy_table
from swis.formats.registry import weight_format
from swis.formats.swis import Swis
from swis.formats.weight_format import WeightFormat
from swis.hardware.layer_shapes import Layer, workload
from swis.hardware.operands import operands_of
from swis.hardware.simulate import simulate
from swis.networks.activations import observe_ranges, quantize_activations
from swis.networks.apply import encode_layers, with_weights
from swis.networks.batch_norm import fold_batch_norm, fused
from swis.networks.computed_weights import plain_copy
from swis.networks.layers import is_transposed, weight_layers
from swis.networks.macs import network_macs
from swis.networks.models import Network, new_network
from swis.options.model import ModelConfig
from swis.packing.file import load_packed, save_packed

# Of timm 1.0.31; found with find=true.
SMALLEST = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "lcnet_035",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window16_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_base_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}
SIDES = (32, 64, 96, 128, 160, 192, 224, 240, 256, 288, 384, 448)
CLASSES, IMAGES, BATCH = 10, 6, 16
BASE, SWIS = weight_format("int8"), weight_format("swis", shifts=2, group_size=4)
QUICK = walking(OutputAware(scales=(0.85, 1.0, 1.15), rounds=1))
COLUMNS = (
    *("family", "network", "arguments", "side", "million", "float_share", "macs_to_torch", "base_db"),
    *("swis_db", "stats_db", "output_aware_db", "seconds", "verdict"),
)


class Wrong(Exception):
    """Something that a network computes is not what it should be."""


def check(name: str, depth: int | None) -> dict[str, Any]:
    """Take a network through everything; return its row, or raise ``Wrong`` or ``InputError``."""
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
    exact = plain_copy(plain).double()  # in float32 a deep random network makes much of a rounding error
    close("folding", logits(fused(exact, size), images.double()), logits(exact, images.double()), 80)

    layers = weight_layers(folded)
    macs = network_macs(plain, size)
    counted = torch_macs(plain, size)
    shapes = workload(folded, size)
    by_shape = dict.fromkeys(macs.layers, 0)
    for layer in shapes:
        by_shape[layer.name] += layer.macs
    # a transposed convolution is simulated with zeros between its inputs, which torch does not count
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
    require(gained > -3, f"output_aware is {-gained:.1f} dB below stats on the images of calibration")
    require(torch.equal(logits(network.module, images), wanted), "the network itself was changed")
    return facts


def logits(module: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return module(images)


def require(condition: bool, message: str) -> None:
    if not condition:
        raise Wrong(message)


def close(what: str, found: Tensor, wanted: Tensor, decibel: float) -> None:
    """Raise ``Wrong`` if a function is another one."""
    reached = sqnr_db(wanted, found)
    require(reached > decibel, f"{what} changes what the network computes: {reached:.0f} dB")


def smallest_input(name: str, depth: int | None) -> tuple[dict[str, Any], int]:
    """Return the arguments that a network takes, and the side of the smallest images that it takes then."""
    cuts = [{}] if depth is None else [{"depth": depth}, {}]
    for side in SIDES:
        for cut in cuts:
            for sized in ({"img_size": side}, {}):
                try:
                    with torch.device("meta"):
                        module = timm.create_model(name, num_classes=CLASSES, **sized, **cut).eval()
                        module(torch.zeros(2, 3, side, side))
                except Exception:  # whatever a network raises for images that are too small
                    continue
                return sized | cut, side
    raise InputError(f"{name} takes no square images of up to {SIDES[-1]} pixels")


def random_network(name: str, arguments: dict[str, Any], side: int) -> Network:
    """Return a network with random weights, whose logits depend on its images.

    A fresh one has weights of zero, and statistics under which signals fade from layer to layer.
    """
    inputs = {"input_size": [3, side, side], "mean": [0.5] * 3, "std": [0.5] * 3}
    inputs |= {"interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center"}
    config = ModelConfig(label=name, name=name, kwargs=arguments)
    network = new_network(config, CLASSES, inputs, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.module.state_dict().values():
            if not value.is_floating_point() or value.numel() < 2 or (value != value.flatten()[0]).any():
                continue
            if value.flatten()[0] == 0:
                value.copy_(0.05 * torch.randn(value.shape, generator=generator))
            elif value.ndim == 1:
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
        norms = [m for m in network.module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        for norm in norms:
            norm.train().momentum = 1.0  # its statistics become those of the next batch
        network.module(torch.randn(BATCH, 3, side, side, generator=generator))
        for norm in norms:
            norm.eval().momentum = 0.1
    return network


def torch_macs(model: nn.Module, size: tuple[int, ...]) -> int:
    """Return torch's own count for one image."""
    frozen = plain_copy(model).requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        frozen(torch.zeros(1, *size))
    return counter.get_total_flops() // 2


def simulated(shapes: list[Layer]) -> None:
    """Simulate all layers on swis_ss; raise ``Wrong`` for cycles or energies that cannot be."""
    config = load(["accelerator=swis_ss"])
    accelerator, chip = design(config.accelerator, energy_table(config.energy), SWIS.group_size)
    operands = [operands_of(layer, SWIS, None, codes=False) for layer in shapes]
    lines = simulate(accelerator, shapes, operands, chip)
    lanes = accelerator.units * accelerator.lanes
    enough = lines.compute_cycles * lanes >= lines.macs
    require(bool(enough.all()), "a layer takes fewer cycles than its MACs on all lanes")
    require(
        bool(np.isfinite(lines.energy_pj).all() and (lines.energy_pj > 0).all()), "energies are no numbers"
    )


class Watch(TorchFunctionMode):
    """Compares the weights that convolutions and linear functions get with those of a format."""

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


OPERATIONS = {F.linear, F.conv1d, F.conv2d, F.conv_transpose2d}


def same_values(one: Tensor, other: Tensor) -> bool:
    """Tell whether weights are the same but for their order, which is another one in transposed layers."""
    return torch.equal(one.detach().flatten().sort().values, other.flatten().sort().values)


def on_grid(model: nn.Module, encoded: dict[str, Encoded], fmt: WeightFormat, image: Tensor) -> None:
    """Raise ``Wrong`` if a layer that runs has weights that the format cannot express."""
    for name, layer in encoded.items():
        codes = layer.codes.abs().int().numpy()
        require(codes.max() <= 127, f"{name} has codes of more than 7 bits")
        if isinstance(fmt, Swis):
            padded = np.pad(codes, ((0, 0), (0, -codes.shape[1] % fmt.group_size)))
            sets = np.bitwise_or.reduce(padded.reshape(len(codes), -1, fmt.group_size), axis=2)
            require(np.bitwise_count(sets).max() <= fmt.shifts, f"{name} has groups of more shifts")
    watch = Watch(model, encoded)
    with watch, torch.inference_mode():
        model(image)
    for handle in watch.handles:
        handle.remove()
    require(not watch.wrong, f"{sorted(watch.wrong)[:2]} use weights that are not those of the format")
    require(bool(watch.seen), "no layer was seen at work")


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
            return  # its normalisation cannot be folded, and it is packed as it was calibrated
        loaded = load_packed(path)
    quantize_activations(weight_layers(loaded.network.module), loaded.ranges, 8)
    again = logits(loaded.network.module, images)
    require(torch.equal(again, wanted), f"the packed file ({kind}) gives {sqnr_db(wanted, again):.0f} dB")


def work(pipe: Connection, name: str, depth: int | None, gigabytes: float) -> None:
    """Send a network's row from a process of its own."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30),) * 2)
    start = time.perf_counter()
    try:
        row = check(name, depth) | {"verdict": "correct"}
    except InputError as error:
        row = {"verdict": f"refused: {error}"}
    except Wrong as error:
        row = {"verdict": f"wrong: {error}"}
    except (MemoryError, RuntimeError) as error:
        if "allocate memory" in str(error) or isinstance(error, MemoryError):
            row = {"verdict": f"skipped: more than {gigabytes:g} GB"}
        else:
            row = {"verdict": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    except Exception as error:
        row = {"verdict": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    pipe.send(row | {"seconds": round(time.perf_counter() - start)})


def row_of(family: str, name: str, options: dict[str, str]) -> dict[str, Any]:
    """Return the row of a family's network, whatever becomes of its process."""
    gigabytes, minutes = float(options.get("gigabytes", 8)), float(options.get("minutes", 10))
    depth = int(options["depth"]) if "depth" in options else None
    ours, theirs = multiprocessing.Pipe(duplex=False)
    # forked: what Numba has compiled is there
    process = multiprocessing.get_context("fork").Process(target=work, args=(theirs, name, depth, gigabytes))
    process.start()
    theirs.close()
    try:
        row = ours.recv() if ours.poll(60 * minutes) else {"verdict": f"failed: took {minutes:g} minutes"}
    except EOFError:
        process.join()
        row = {"verdict": f"failed: its process ended with {process.exitcode}"}
    process.kill()
    process.join()
    return {column: ({"family": family, "network": name} | row).get(column) for column in COLUMNS}


def smallest() -> dict[str, str]:
    """Return the network of fewest parameters of every family."""
    found = {}
    for family in timm.list_modules():
        sizes = {}
        for name in timm.list_models(module=family):
            with torch.device("meta"):
                sizes[name] = sum(p.numel() for p in timm.create_model(name).parameters())
        if sizes:
            found[family] = min(sizes, key=sizes.get)
            print(f"    {family!r}: {found[family]!r},", flush=True)
    return found


def warm_up() -> None:
    """Have everything compiled that the networks' processes need."""
    torch.set_num_threads(1)  # before they are forked: threads would be lost
    reference = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    images, network = torch.randn(2, 3, 4, 4), plain_copy(reference)
    ranges = observe_ranges(reference, weight_layers(reference), [images])
    quantize_activations(weight_layers(network), ranges, 8)
    calibrate(reference, network, SWIS, images, QUICK)


def main(arguments: list[str]) -> int:
    """Compute and print the rows; return how many are neither correct, refused nor skipped."""
    options = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if options.get("find") == "true":
        smallest()
        return 0
    names = [argument for argument in arguments if "=" not in argument] or list(SMALLEST)
    if unknown := [name for name in names if name not in SMALLEST]:
        sys.exit(f"error: timm has no family {unknown[0]}; it has {', '.join(SMALLEST)}")
    out = Path(options["out"]) if "out" in options else None
    kept = pd.read_csv(out).to_dict("records") if out is not None and out.exists() else []
    rows = {row["family"]: row for row in kept}
    width = [27, 35, 5, 8, 7, 8, 7, 7, 7, 7, 6]
    shown = ("family", "network", "side", "million", "float_share", "macs_to_torch")
    shown += ("base_db", "swis_db", "stats_db", "output_aware_db", "seconds")
    print(
        "".join(f"{column[: size - 1]:<{size}}" for column, size in zip(shown, width, strict=True))
        + "verdict"
    )
    warnings.filterwarnings("ignore")
    warm_up()
    for family in names:
        if family not in rows:
            rows[family] = row_of(family, SMALLEST[family], options)
            if out is not None:
                pd.DataFrame(rows.values(), columns=COLUMNS).to_csv(out, index=False)
        row = rows[family]
        cells = ("" if row[column] is None else str(row[column]) for column in shown)
        line = "".join(f"{cell:<{size}}" for cell, size in zip(cells, width, strict=True))
        print(line + row["verdict"], flush=True)
    verdicts = pd.Series([rows[family]["verdict"].split(":")[0] for family in names])
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.value_counts().items()))
    return int((~verdicts.isin(["correct", "refused", "skipped"])).sum())


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
