"""The picture of the method: a group of weights, the powers of two that they share, and what that saves."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from swis.plots.style import DARK, FAINT, MIDDLE, SHADE, SMALL, SWIS, TEXT, new_figure, style

_MINUS = "\N{MINUS SIGN}"
_WEIGHT, _BITS, _KEPT, _ERROR = 0.0, 1.1, 2.1, 4.7  # where columns are; the last two behind the bits
_ARROW = {"arrowstyle": "-|>", "color": SWIS, "linewidth": 1.2, "mutation_scale": 8}


def figure_of_group(codes: Sequence[int], kept: Sequence[int], shift_set: Sequence[int], bits: int) -> Figure:
    """Return a figure of one group alone, as ``group_of_weights`` draws it."""
    with style():
        figure = new_figure(2.3, 5.4)
        group_of_weights(codes, kept, shift_set, bits, figure.subplots())
    return figure


def group_of_weights(
    codes: Sequence[int], kept: Sequence[int], shift_set: Sequence[int], bits: int, axes: Axes
) -> Axes:
    """Draw a group, a line per weight: its code, which of the shared powers of two it takes, and their sum.

    ``codes`` and ``kept`` are integers of so many magnitude ``bits`` and a sign. Columns of powers of two
    that are not in the shift set are empty; the digits in the others are the mask, which is stored.
    """
    columns = {bit: _BITS + (bits - 1 - bit) for bit in range(bits)}
    behind = _BITS + bits
    _heads(columns, shift_set, len(codes), behind, axes)
    for line, (code, value) in enumerate(zip(codes, kept, strict=True)):
        axes.text(_WEIGHT + 0.75, line, _signed(code), ha="right", va="center")
        for bit, column in columns.items():
            _cell(column, line, abs(value) >> bit & 1 if bit in shift_set else None, axes)
        found = {"ha": "right", "va": "center", "color": SWIS, "weight": "bold"}
        axes.text(behind + _KEPT + 1.6, line, _sum(value, shift_set), **found)
        axes.text(behind + _ERROR + 0.55, line, _signed(value - code, True), ha="right", va="center")
    axes.set(xlim=(-0.6, behind + _ERROR + 0.9), ylim=(len(codes) - 0.4, -2.3), aspect="equal")
    axes.axis("off")
    return axes


def _heads(columns: dict[int, int], shift_set: Sequence[int], lines: int, behind: float, axes: Axes) -> None:
    """Write what columns are, and point at those of the shift set."""
    head = {"va": "center", "fontsize": SMALL, "color": DARK}
    axes.text(_WEIGHT + 0.75, -0.9, "8-bit\nweight", ha="right", **head)
    for bit, column in columns.items():
        chosen = {"color": SWIS, "weight": "bold"} if bit in shift_set else {"color": MIDDLE}
        axes.text(column + 0.5, -0.85, str(1 << bit), **head | chosen, ha="center")
        if bit in shift_set:
            axes.annotate("", (column + 0.5, -1.15), (column + 0.5, -1.6), arrowprops=_ARROW)
    middle = sum(columns[bit] for bit in shift_set) / len(shift_set) + 0.5
    text = f"{len(shift_set)} powers of two that all {lines} weights share"
    axes.text(middle, -1.85, text, ha="center", va="center", color=SWIS, weight="bold")
    axes.text(behind + _KEPT + 1.6, -0.9, "sum of\nthose it takes", ha="right", **head)
    axes.text(behind + _ERROR + 0.55, -0.9, "error", ha="right", **head)


def _cell(column: float, line: int, digit: int | None, axes: Axes) -> None:
    """Draw one bit: dark if it is taken, pale if it is not, and empty in a column that is left out."""
    face = {1: SWIS, 0: SHADE, None: "white"}[digit]
    edge = FAINT if digit is None else "white"
    axes.add_patch(Rectangle((column, line - 0.5), 1, 1, facecolor=face, edgecolor=edge, linewidth=0.8))
    if digit is not None:
        colour = "white" if digit else SWIS
        axes.text(column + 0.5, line, str(digit), ha="center", va="center", color=colour, fontsize=TEXT)


def _sum(value: int, shift_set: Sequence[int]) -> str:
    """Return a value as the sum of its powers of two.

    >>> _sum(20, (4, 2)), _sum(16, (4, 2))
    ('16 + 4 = 20', '16')
    """
    terms = [str(1 << bit) for bit in shift_set if abs(value) >> bit & 1]
    if len(terms) < 2:
        return _signed(value)
    total = " + ".join(terms)
    return f"{total if value > 0 else f'{_MINUS}({total})'} = {_signed(value)}"


def _signed(value: int, plus: bool = False) -> str:
    return f"{_MINUS if value < 0 else '+' if plus and value else ''}{abs(value)}"


def two_bars(values: Sequence[float], colours: Sequence[str], names: Sequence[str], axes: Axes) -> Axes:
    """Draw two lying bars, one below the other, with their names before and their values behind them."""
    axes.barh(range(2), values, 0.7, color=colours)
    for place, value in enumerate(values):
        at = {"xytext": (3, -0.5), "textcoords": "offset points"}
        axes.annotate(f"{value:g}", (value, place), **at, va="center")
    axes.set_yticks(range(2), names)
    axes.set(ylim=(1.5, -0.5), xlim=(0, 1.15 * max(values)), xticks=[])
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)
    return axes
