"""Figures: a table of rows in, matplotlib axes out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

# The colour-blind palette of seaborn, dark enough in grey; line styles and markers tell the same apart.
_PALETTE = "colorblind"


def accuracy_by_shifts(
    rows: pd.DataFrame, shifts: str, hue: str, axes: Axes, order: Sequence[str] | None = None
) -> Axes:
    """Draw top-1 [%] over the column ``shifts``, a line for every value of the column ``hue``, in this
    order or the alphabet's.

    Bands are the rows' 95 % bootstrap intervals. All rows are of one network; a float row, if there is
    one, is drawn as a level.
    """
    lines = rows.dropna(subset=[shifts, hue]).sort_values(shifts)
    order = order or sorted(lines[hue].unique())  # so that a name has one colour in all panels
    colours = dict(zip(order, sns.color_palette(_PALETTE, len(order)), strict=True))
    sns.lineplot(
        lines,
        x=shifts,
        y="top1",
        hue=hue,
        style=hue,
        hue_order=order,
        style_order=order,
        palette=colours,
        markers=True,
        ax=axes,
    )
    for name, part in lines.groupby(hue):
        axes.fill_between(part[shifts], part["top1_low"], part["top1_high"], color=colours[name], alpha=0.12)
    for level in rows.loc[rows["method"] == "float", "top1"]:
        axes.axhline(level, color="0.4", linewidth=1, linestyle=":", label="float")
    axes.set(ylabel="top-1 [%]", ylim=(0, 100))
    return axes
