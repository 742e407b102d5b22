"""The method in a picture: four weights of a real network, the powers of two they share, what that saves."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.encoding.clearest_group import clearest_group
from swis.experiments.config import load
from swis.formats.int8 import Int8
from swis.formats.swis import Swis
from swis.gallery.registry import figure
from swis.networks.layers import filters_of, weight_layers
from swis.networks.models import load_network
from swis.plots.group_figures import group_of_weights, two_bars
from swis.plots.names import label_of
from swis.plots.style import MIDDLE, SWIS, new_figure, plain

_CAPTION = """
    All four weights of a group share three powers of two, here 64, 16 and 4. Each keeps its sign and a mask
    of three bits (1: it takes this power), and becomes the sum of the powers that it takes. A bit-serial
    multiplier spends three cycles on it in place of seven, and the group is stored in fewer bits. The weights
    are four consecutive ones of MobileNet-v2, trained on Fashion-MNIST. They were chosen because their masks
    differ and their errors are small; most groups lose more.
"""
_LAYER = "blocks.0.0.conv_pw"
_FORMAT = Swis(shifts=3)
_TITLE = (
    f"SWIS: {_FORMAT.group_size} weights share {_FORMAT.shifts} powers of two, and each takes "
    f"{_FORMAT.level_bits} cycles in place of {Int8().level_bits}"
)


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    network = load_network(load(["model=mobilenet_v2"]).model)
    shown = clearest_group(filters_of(weight_layers(network.module)[_LAYER]).detach(), _FORMAT)
    drawn = new_figure(2.3)
    left, right = drawn.subfigures(1, 2, width_ratios=[3.0, 1])
    bits = _FORMAT.magnitude_bits
    group_of_weights(shown.codes, shown.kept, shown.exponents[::-1], bits, left.subplots())
    above, below = (plain(axes, "") for axes in right.subplots(2, 1))
    names, colours = [label_of(fmt.name) for fmt in (Int8(), _FORMAT)], (MIDDLE, SWIS)
    two_bars([Int8().level_bits, _FORMAT.level_bits], colours, names, above)
    two_bars([fmt.stored_bits(1, _FORMAT.group_size) for fmt in (Int8(), _FORMAT)], colours, names, below)
    above.set_title("cycles per weight")
    below.set_title(f"bits of {_FORMAT.group_size} weights")
    return drawn
