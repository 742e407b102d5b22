"""Names of formats, networks, image sets, designs and steps of calibration as people write them."""

from __future__ import annotations

from swis.formats.registry import formats

NETWORKS = {
    "efficientnet_lite0": "EfficientNet-Lite0",
    "mobilenet_v2": "MobileNet-v2",
    "resnet18": "ResNet-18",
    "resnet20": "ResNet-20",
    "vgg16": "VGG-16",
}

_IMAGES = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "fashion_mnist": "Fashion-MNIST",
    "image_folder": "image folder",
    "imagenet": "ImageNet",
    "imagenette": "Imagenette",
}

_DESIGNS = {
    "bitfusion": "BitFusion",
    "bitlet": "Bitlet",
    "bitwave": "BitWave",
    "laconic": "Laconic",
    "loom": "Loom",
    "pragmatic": "Pragmatic",
    "stripes": "Stripes",
    "stripes_activations": "Stripes (inputs)",
    "swis_c": "SWIS-C array",
    "swis_ds": "SWIS double-shift",
    "swis_signed": "SWIS signed",
    "swis_signed_ds": "SWIS signed, double-shift",
    "swis_ss": "SWIS single-shift",
    "systolic_os": "systolic (OS)",
    "systolic_ws": "systolic (WS)",
    "truncation": "array without shift sets",
}

# What each ingredient of calibration adds to those before it, by ``swis.analysis.ablation.INGREDIENTS``.
INGREDIENTS = {
    "none": "nearest levels",
    "stats": "+ channel statistics",
    "walk": "+ output-aware levels",
    "asymmetric": "+ float targets",
    "scales": "+ search over scales",
}


def label_of(method: str) -> str:
    """Return the label of a format.

    >>> label_of("swis_c"), label_of("int8"), label_of("theirs")
    ('SWIS-C', '8-bit', 'theirs')
    """
    known = formats().get(method)
    return method if known is None else known().label


def format_name(method: str, bits: float) -> str:
    """Return the name of a format with its number of shifts, or of bits if it has a quantizer of its own.

    >>> format_name("swis", 2.0), format_name("uniform", 3.0), format_name("int8", 7.0)
    ('SWIS, N = 2', 'uniform, 4 bits', '8-bit')
    """
    name, kind = label_of(method), formats().get(method)
    if kind is None or (kind.has_shifts and not (kind.own_quantizer or kind.scaled_groups)):
        return f"{name}, N = {bits:g}"
    return f"{name}, {bits + 1:g} bits" if kind.has_shifts else name


def network_name(model: str) -> str:
    """Return the name of a network.

    >>> network_name("mobilenet_v2"), network_name("mine")
    ('MobileNet-v2', 'mine')
    """
    return NETWORKS.get(model, model)


def images_name(data: str) -> str:
    """Return the name of an image set.

    >>> images_name("fashion_mnist"), images_name("mine")
    ('Fashion-MNIST', 'mine')
    """
    return _IMAGES.get(data, data)


def design_name(accelerator: str) -> str:
    """Return the name of a design.

    >>> design_name("bitwave"), design_name("mine")
    ('BitWave', 'mine')
    """
    return _DESIGNS.get(accelerator, accelerator)
