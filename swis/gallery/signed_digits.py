"""The levels of one set, with a sign for each weight and with a sign for each power of two."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from swis.formats.swis import Swis
from swis.formats.swis_signed import SwisSigned
from swis.gallery.registry import figure
from swis.plots.names import label_of
from swis.plots.style import INK, MIDDLE, SMALL, looks_of, new_figure, plain

_SET = (3, 5)
_FORMATS = (Swis(shifts=2), SwisSigned(shifts=2))
_TITLE = "Signed digits: the same powers of two make more levels"
_CAPTION = """
    The levels that a weight can take when its group has the powers 32 and 8. In SWIS a weight has one sign,
    which gives 7 levels. With signed digits it can also subtract one power from the other, and 24 and -24
    are levels as well. Both take two cycles.
"""


@figure(_TITLE, _CAPTION)
def draw(results: Path) -> Figure:
    drawn = new_figure(1.5)
    axes = plain(drawn.subplots(), "")
    looks = looks_of(fmt.name for fmt in _FORMATS)
    for line, fmt in enumerate(_FORMATS):
        positive = np.array(fmt.level_sets()[fmt.shift_sets().index(_SET)])
        levels = np.unique([positive, -positive])
        axes.axhline(line, color=MIDDLE, linewidth=0.6, zorder=1)
        axes.plot(levels, np.full(len(levels), line), **looks[fmt.name].marks())
        for level in levels.tolist():
            text = f"{level}".replace("-", "\N{MINUS SIGN}")
            axes.annotate(
                text, (level, line), (0, 6), textcoords="offset points", ha="center", fontsize=SMALL
            )
    axes.set_yticks(range(len(_FORMATS)), [label_of(fmt.name) for fmt in _FORMATS])
    axes.set(ylim=(len(_FORMATS) - 0.6, -0.7), xlim=(-46, 46), xticks=[])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    for side in ("bottom", "left"):
        axes.spines[side].set_visible(False)
    return drawn
