"""What tables call networks, images, formats and designs: the names that people write."""

from __future__ import annotations

from swis.formats.registry import formats

NETWORKS = {
    "mobilenet_v2": "MobileNet-v2",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "resnet18": "ResNet-18",
    "resnet20": "ResNet-20",
    "vgg16": "VGG-16",
}
DATA = {
    "imagenet": "ImageNet",
    "fashion_mnist": "Fashion-MNIST",
    "image_folder": "CIFAR-10 (JPEG)",  # rows of this folder are of CIFAR-10's images alone
}
FORMATS = {
    "swis": "SWIS",
    "swis_c": "SWIS-C",
    "uniform": "uniform",
    "round": "rounding",
    "truncate": "truncation",
    "int8": "8-bit",
    "float": "float",
}
DESIGNS = {
    "swis_ss": "SWIS single-shift",
    "swis_ds": "SWIS double-shift",
    "swis_c": "SWIS-C",
    "truncation": "SWIS without sets",
    "stripes": "Stripes",
    "stripes_activations": "Stripes (activations)",
    "loom": "Loom",
    "pragmatic": "Pragmatic",
    "laconic": "Laconic",
    "bitlet": "Bitlet",
    "bitwave": "BitWave",
    "bitfusion": "BitFusion",
    "systolic_os": "systolic, output",
    "systolic_ws": "systolic, weight",
}
CALIBRATIONS = {
    "none": "none",
    "stats": "statistics",
    "output_aware": "output-aware",
    "reconstruct": "output-aware, rounding learned",
}
INGREDIENTS = {
    "none": "nearest levels",
    "stats": "+ statistics",
    "walk": "+ Hessian walk",
    "asymmetric": "+ float target",
    "scales": "+ scale search",
}


def format_of(method: str, bits: float) -> str:
    """Return a format with its number of shifts, or of bits where it has a quantizer of its own.

    >>> format_of("swis", 2.0), format_of("uniform", 3.0), format_of("int8", 7.0)
    ('SWIS, N = 2', 'uniform, 4 bits', '8-bit')
    """
    name, kind = FORMATS[method], formats()[method]
    if not kind.has_shifts:
        return name
    return f"{name}, {bits + 1:g} bits" if kind.own_quantizer else f"{name}, N = {bits:g}"
