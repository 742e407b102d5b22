"""Four weights of a real network bit by bit, the errors of their layer, and its cycles."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from swis.explore.explorer import layer_figure
from swis.gallery.registry import figure


@figure
def draw(results: Path) -> Figure:
    """Four weights of a real network bit by bit, the errors of their layer, and its cycles."""
    return layer_figure("mobilenet_v2", "blocks.1.0.conv_pw", shifts=3, group=7)
