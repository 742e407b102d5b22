"""The smallest network of every family of timm, with random weights."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

from swis.errors import InputError
from swis.networks.models import Network, new_network
from swis.options.model import ModelConfig

# For timm 1.0.31, from families.py find=true.
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
CLASSES, BATCH = 10, 16


def smallest() -> dict[str, str]:
    """Print and return the network with the fewest parameters of every family."""
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


def smallest_input(name: str, depth: int | None) -> tuple[dict[str, Any], int]:
    """Return the arguments of a network, and the side [pixels] of the smallest images that it accepts."""
    cuts = [{}] if depth is None else [{"depth": depth}, {}]
    for side in SIDES:
        for cut in cuts:
            for sized in ({"img_size": side}, {}):
                try:
                    with torch.device("meta"):
                        module = timm.create_model(name, num_classes=CLASSES, **sized, **cut).eval()
                        module(torch.zeros(2, 3, side, side))
                except Exception:  # networks raise different exceptions for images that are too small
                    continue
                return sized | cut, side
    raise InputError(f"{name} accepts no square images of up to {SIDES[-1]} pixels")


def random_network(name: str, arguments: dict[str, Any], side: int) -> Network:
    """Return a network with random weights whose logits depend on the images.

    A new network of timm has weights that are zero, and batch statistics that damp the activations from layer
    to layer; both are replaced.
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
            norm.train().momentum = 1.0  # so that the next batch alone gives the statistics
        network.module(torch.randn(BATCH, 3, side, side, generator=generator))
        for norm in norms:
            norm.eval().momentum = 0.1
    return network
