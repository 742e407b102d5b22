"""Trade-off: rows of results over any two columns, their Pareto front, and the code that draws them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from swis.errors import InputError
from swis.explore.choice import CORNERS, Choice, corner_of, kinds, numbers, offered_values, texts, values_of
from swis.explore.drawing import INK, Drawing, Entry, Plot, lines_of
from swis.explore.looks import Look
from swis.explore.picture import Picture, message, table
from swis.explore.scale import Scale, readable
from swis.explore.sources import Source, folders
from swis.explore.tab import Several, Tab, chosen, typed
from swis.explore.words import column_words, value_words
from swis.formats.float32 import Float

_SENTENCE = (
    "Every mark is a row of results. The line is the Pareto front: no other row is better in both columns. "
    "A click on a mark shows its row. Below is the code that draws the same with seaborn."
)
# What is chosen first, where a table has it.
_ACROSS = ("weight_bits", "cycles_per_weight", "latency_ms", "bits")
_UPWARDS = ("top1", "energy_pj", "compression_vs_int8")
_COLOUR, _FACET, _ONLY = ("accelerator", "method"), ("model", "network"), ("data",)
_NONE = ("(none)", "")
_FIRST = "results/calibration"  # the folder that is shown first; it has most formats and settings
_WIDTH, _HEIGHT = 410, 370
# Columns of a row that are of no use to a reader.
_UNREADABLE = ("correct", "config", "packages", "hardware")


def trade_off_picture(rows: pd.DataFrame, choice: Choice, row: int | None = None) -> Picture:
    """Draw the rows of a table as chosen, with the Pareto front, the ``row`` behind a mark, and the code.

    Raises ``InputError`` if there are none.

    >>> rows = pd.DataFrame({"bits": [1.0, 2.0], "top1": [60.0, 90.0]})
    >>> trade_off_picture(rows, Choice("bits", "top1")).svg().count("<circle")
    2
    """
    drawn = choice.rows(rows)
    if drawn.empty:
        raise InputError(
            f"no row is left that has {column_words(choice.x)} and {column_words(choice.y)} to draw"
        )
    looks = choice.looks(drawn)
    x = Scale.over(drawn[choice.x].astype(float), choice.log_x)
    y = Scale.over(drawn[choice.y].astype(float), choice.log_y)
    parts = {"": drawn}
    if choice.facet:
        panels = texts(drawn[choice.facet])
        parts = {value: drawn[panels == value] for value in values_of(drawn, choice.facet)}
    drawings = [_facet(name, part, choice, looks, (x, y), row) for name, part in parts.items()]
    if choice.colour:
        drawings.insert(0, _legend(choice.colour, looks))
    left = f" {len(rows) - len(drawn)} others are filtered out, or lack a column." * (len(drawn) < len(rows))
    said = f'<p class="swis-note">{len(drawn)} rows are drawn.{left}</p>'
    behind = "" if row is None or row not in rows.index else _behind(rows.loc[row])
    code = f'<pre class="swis-code">{escape(choice.code(drawn))}</pre>'
    below = f'{said}{behind}<p class="swis-note">The same with seaborn:</p>{code}'
    return Picture(drawings, below=below)


def _legend(column: str, looks: Mapping[str, Look]) -> Drawing:
    entries = [Entry(look.colour, value_words(column, value), look.marker) for value, look in looks.items()]
    wide = 2 * _WIDTH
    drawing = Drawing(wide, 28 + 20 * lines_of(entries, wide - 28), row=True)
    drawing.text(14, 18, column_words(column), size=13, bold=True)
    drawing.legend(14, 40, entries, wide - 28)
    return drawing


def _facet(
    name: str,
    rows: pd.DataFrame,
    choice: Choice,
    looks: Mapping[str, Look],
    scales: tuple[Scale, Scale],
    marked: int | None,
) -> Drawing:
    about = f"{column_words(choice.facet)}: {value_words(choice.facet, name)}" if choice.facet else "All rows"
    words = {"x_label": column_words(choice.x), "y_label": column_words(choice.y)}
    plot = Plot(_WIDTH, _HEIGHT, title=about, x=scales[0], y=scales[1], left=64, **words)
    front = choice.front(rows)
    places = [plot.at(float(x), float(y)) for x, y in zip(front[choice.x], front[choice.y], strict=True)]
    stairs = [places[0]]
    for before, after in pairwise(places):
        stairs += [(after[0], before[1]), after]
    plot.line(stairs, INK, 1.4)
    values = texts(rows[choice.colour]) if choice.colour else [""] * len(rows)
    # the first value of the legend, as SWIS, on top of others
    order = {value: number for number, value in enumerate(reversed(looks))}
    lines = zip(rows.index, rows[choice.x], rows[choice.y], values, strict=True)
    for index, x, y, value in sorted(lines, key=lambda line: order[line[3]]):
        at = plot.at(float(x), float(y))
        said = (f"{column_words(choice.x)}: {readable(x, 4)}", f"{column_words(choice.y)}: {readable(y, 4)}")
        tip = ", ".join([value_words(choice.colour, value), *said]).removeprefix(", ")
        if index == marked:
            plot.mark(*at, INK, "circle", size=11)
        plot.mark(*at, looks[value].colour, looks[value].marker, size=5, name=str(index), tip=tip)
    return plot


def _behind(row: pd.Series) -> str:
    lines = []
    for name, value in row.drop(list(_UNREADABLE), errors="ignore").dropna().items():
        said = readable(value, 5) if isinstance(value, float) else str(value)
        if said:
            lines.append((column_words(name), value_words(name, said[:80]), name))
    return '<p class="swis-note">The row behind the mark:</p>' + table(("column", "value", "name"), lines)


def trade_off(table: pd.DataFrame | str | Path | None = None) -> TradeOffTab:
    """Return the tab in which rows of results are drawn over any two of their columns.

    ``table`` are rows as ``swis.load_table`` returns them, any table, or a folder of results; by default the
    folders of results/ can be chosen. Raises ``InputError`` for a table without two columns of numbers.

    >>> tab = trade_off(pd.DataFrame({"bits": [1.0, 2.0], "top1": [60.0, 90.0]}))
    >>> tab.x.value, tab.y.value
    ('bits', 'top1')
    """
    return TradeOffTab(table)


class TradeOffTab(Tab):
    """The tab ``trade_off`` makes; ``choice`` is what it draws of ``table``."""

    def __init__(self, table: pd.DataFrame | str | Path | None) -> None:
        self._problem = ""
        self.x, self.y = chosen("x axis", [], None), chosen("y axis", [], None)
        self.best = chosen("best rows", list(CORNERS.values()), "top left")
        self.colour, self.facet = chosen("colour", [_NONE], ""), chosen("panels", [_NONE], "")
        self.query = typed("filter", "bits <= 3 and group_size == 4")
        self.logs = Several("logarithmic", [("x axis", "x"), ("y axis", "y")])
        self.only, self.values = chosen("rows by", [_NONE], ""), Several("values")
        controls = [
            self.x,
            self.y,
            self.best,
            self.colour,
            self.facet,
            self.query,
            self.only,
            self.values,
            self.logs,
        ]
        if table is None:
            known = folders()
            if not known:
                raise InputError("there are no results here; give a table or a folder of results")
            table = known.get(_FIRST, next(iter(known.values())))
            self.folder = chosen("results", known, table)
            self.folder.observe(self._take_folder, "value")
            controls.insert(0, self.folder)
        self.only.observe(self._offer, "value")
        for axis in (self.x, self.y):  # before the picture follows
            axis.observe(self._turn, "value")
        self._holding = True
        self._offered(Source.of(table))
        super().__init__(_SENTENCE, controls, self._picture, self._click)

    def take(self, table: pd.DataFrame | str | Path) -> None:
        """Draw another table, or the rows of another folder; raise ``InputError`` as ``trade_off`` does."""
        with self.held():
            self._offered(Source.of(table))

    def _take_folder(self, change: dict[str, Any]) -> None:
        try:
            self.take(change["new"])
            self._problem = ""
        except InputError as error:
            self._problem = str(error)
        self._redraw()

    @property
    def choice(self) -> Choice:
        """What is chosen."""
        return Choice(
            x=self.x.value,
            y=self.y.value,
            colour=self.colour.value,
            facet=self.facet.value,
            only=self.only.value,
            values=self.values.value,
            query=self.query.value,
            best=self.best.value,
            log_x="x" in self.logs.value,
            log_y="y" in self.logs.value,
            source=self.source,
        )

    def _offered(self, source: Source) -> None:
        """Offer the columns of a table; what was chosen stays where the table has it."""
        axes, few = numbers(source.table), kinds(source.table)
        if len(axes) < 2:
            raise InputError("a trade-off is between two columns of numbers; the table has fewer")
        self.table, self.source, self.row = source.table, source.code, None
        across = _first(axes, self.x.value, *_ACROSS, axes[0])
        others = [name for name in axes if name != across]
        upwards = _first(others, self.y.value, *_UPWARDS, others[-1])
        for control, value in ((self.x, across), (self.y, upwards)):
            control.options = [(column_words(name), name) for name in axes]
            control.value = value
        floats = "method" in self.table and self.table["method"].eq(Float.name).any()
        self.query.value = f"method != '{Float.name}'" if floats else ""  # whose 32 bits are far to the right
        for control, wanted in ((self.colour, _COLOUR), (self.facet, _FACET), (self.only, _ONLY)):
            value = _first(few, control.value, *wanted)
            control.options = [_NONE, *((column_words(name), name) for name in few)]
            control.value = value or ""
        self._turn()
        self._offer()

    def _turn(self, _: Any = None) -> None:
        """Find the corner of the best rows anew, for what is drawn has changed."""
        if self.x.value is not None and self.y.value is not None:  # not between two tables
            self.best.value = corner_of(self.x.value, self.y.value)

    def _offer(self, _: Any = None) -> None:
        """Offer the values of the column that rows are chosen by: all are ticked, of data sets one."""
        known = offered_values(self.table, self.only.value) if self.only.value else []
        values = [value for _, value in known]
        if self.only.value in _ONLY and values:  # what is measured on one set says nothing of another
            values = self.table[self.only.value].value_counts().index[:1].tolist()
        words = [(value_words(self.only.value, text), value) for text, value in known]
        self.values.offer(words, values)

    def _click(self, index: str) -> None:
        self.row = int(index)
        self._redraw()

    def _picture(self) -> Picture:
        if self._problem:
            return message(self._problem)
        if self.only.value and not self.values.value:
            raise InputError(f"tick a value of {column_words(self.only.value)}, or choose no rows by it")
        return trade_off_picture(self.table, self.choice, self.row)


def _first(known: list[str], *wanted: str | None) -> str | None:
    """Return the first of some names that is known."""
    return next((name for name in wanted if name in known), None)
