"""Trade-off: rows of results over any two columns, their Pareto front, and the code that draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from swis.errors import InputError
from swis.explore.drawing import COLOURS, MARKERS, Drawing, Picture, Plot, Scale, readable
from swis.explore.tab import LAYOUT, STYLE, Tab, chosen
from swis.explore.words import COLUMNS, column_words, value_words
from swis.formats.float32 import Float
from swis.results.records import load_table

_SENTENCE = (
    "Every mark is a row of results. The line is the Pareto front: no other row is better in both columns. "
    "A click on a mark shows its row; below is the code that draws the same with seaborn."
)
_RESULTS = Path(__file__).parents[2] / "results"
_MORE_IS_BETTER = ("top", "agreement", "logit_sqnr_db", "compression", "images_per_second", "frames_per")
# Columns that say how rows were made, and long texts.
_HIDDEN = {
    *("key", "correct", "config", "packages", "machine", "created", "git_commit", "git_dirty", "weights"),
    *("schema_version", "hardware_version", "status", "error", "seconds", "images"),
}
_MOST_KINDS = 12
_NONE = ("(none)", "")


@dataclass(frozen=True)
class Choice:
    """Which columns are drawn of which rows: ``values`` of the column ``only``, and those of a ``query``.

    ``colour`` and ``facet`` may be "" for none; a ``query`` is as pandas has it.
    """

    x: str
    y: str
    colour: str = ""
    facet: str = ""
    only: str = ""
    values: Sequence[Any] = ()
    query: str = ""
    log: bool = False
    source: str = "table = ...  # your rows"

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that are drawn; raise ``InputError`` for a query that pandas does not take.

        >>> table = pd.DataFrame({"bits": [1.0, 2.0], "top1": [60.0, 90.0]})
        >>> len(Choice("bits", "top1", query="bits > 1").rows(table))
        1
        """
        if self.only and self.values:
            table = table[table[self.only].isin(list(self.values))]
        if self.query:
            try:
                table = table.query(self.query)
            except Exception as error:  # pandas raises whatever its parser meets
                raise InputError(f"the filter {self.query!r} is none that pandas takes: {error}") from error
        table = table.dropna(subset=[self.x, self.y])
        return table.assign(**{name: _texts(table[name]) for name in self._by})

    @property
    def _by(self) -> list[str]:
        """The columns whose values are colours and panels, but for those that are drawn as numbers."""
        return [name for name in (self.colour, self.facet) if name and name not in (self.x, self.y)]

    def front(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of one facet that none beats in both columns, the best of ``x`` first.

        >>> table = pd.DataFrame({"bits": [1.0, 2.0, 3.0], "top1": [60.0, 50.0, 90.0]})
        >>> Choice("bits", "top1").front(table)["bits"].tolist()
        [1.0, 3.0]
        """
        upwards = _more_is_better(self.y)
        ordered = rows.sort_values([self.x, self.y], ascending=[not _more_is_better(self.x), not upwards])
        best = ordered[self.y].cummax() if upwards else ordered[self.y].cummin()
        return ordered[ordered[self.y].eq(best) & ~best.duplicated()]

    def code(self) -> str:
        """Return the lines of Python that draw the same with seaborn.

        >>> print(Choice("bits", "top1", colour="method").code().splitlines()[-1])
        grid.ax.step(front["bits"], front["top1"], where="post", color="0.3")
        """
        lines = ["import seaborn as sns", "import swis", "", self.source]
        if self.only and self.values:
            lines.append(f'table = table[table["{self.only}"].isin({list(self.values)!r})]')
        if self.query:
            lines.append(f"table = table.query({self.query!r})")
        lines.append(f'table = table.dropna(subset=["{self.x}", "{self.y}"])')
        for name in self._by:
            lines.append(f'texts = table["{name}"].map(str, na_action="ignore").fillna("none")')
            lines.append(f"table = table.assign({name}=texts)")
        how = f'x="{self.x}", y="{self.y}"'
        if self.colour:
            how += f', hue="{self.colour}", style="{self.colour}", palette="colorblind"'
        if self.facet:
            how += f', col="{self.facet}", col_wrap=2'
        lines.append(f"grid = sns.relplot(table, {how}, height=4)")
        if self.log:
            lines.append('grid.set(xscale="log")')
        upwards = _more_is_better(self.y)
        order = f"[{not _more_is_better(self.x)}, {not upwards}]"
        front = [
            f'part = {{}}.sort_values(["{self.x}", "{self.y}"], ascending={order})',
            f'best = part["{self.y}"].{"cummax" if upwards else "cummin"}()',
            f'front = part[part["{self.y}"].eq(best) & ~best.duplicated()]',
            f'{{}}.step(front["{self.x}"], front["{self.y}"], where="post", color="0.3")',
        ]
        if not self.facet:
            return "\n".join([*lines, front[0].format("table"), *front[1:3], front[3].format("grid.ax")])
        lines.append("for value, axes in grid.axes_dict.items():")
        part = f'table[table["{self.facet}"] == value]'
        lines += [f"    {line}" for line in (front[0].format(part), *front[1:3], front[3].format("axes"))]
        return "\n".join(lines)


def _texts(values: pd.Series) -> pd.Series:
    return values.map(str, na_action="ignore").fillna("none")


def _more_is_better(column: str) -> bool:
    return column.startswith(_MORE_IS_BETTER)


def numbers(table: pd.DataFrame) -> list[str]:
    """Return the columns that an axis may show.

    >>> numbers(pd.DataFrame({"top1": [1.0, 2.0], "method": ["a", "b"]}))
    ['top1']
    """
    known = (name for name in table if name not in _HIDDEN)
    numeric = [name for name in known if is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])]
    return [name for name in numeric if table[name].nunique() > 1]


def kinds(table: pd.DataFrame) -> list[str]:
    """Return the columns of a few values, which colours, facets and filters may show.

    >>> kinds(pd.DataFrame({"top1": [1.0, 2.0], "method": ["a", "b"], "data": ["c", "c"]}))
    ['method']
    """
    known = (name for name in table if name not in _HIDDEN and not name.startswith(_MORE_IS_BETTER))
    return [
        name
        for name in known
        if 1 < table[name].astype(str).nunique() <= _MOST_KINDS
        and (not pd.api.types.is_float_dtype(table[name]) or name in ("bits", "shifts"))
    ]


def trade_off_picture(table: pd.DataFrame, choice: Choice, row: int | None = None) -> Picture:
    """Draw the rows of a table as chosen, with the Pareto front, the ``row`` behind a mark, and the code.

    >>> table = pd.DataFrame({"bits": [1.0, 2.0], "top1": [60.0, 90.0]})
    >>> trade_off_picture(table, Choice("bits", "top1")).svg().count("<circle")
    2
    """
    rows = choice.rows(table)
    if rows.empty:
        raise InputError("no row is left that has both columns")
    colours = _looks(rows, choice.colour)
    x, y = Scale.over(rows[choice.x].astype(float), choice.log), Scale.over(rows[choice.y].astype(float))
    facets = rows.groupby(choice.facet) if choice.facet else [("", rows)]
    drawings = [_facet(str(name), part, choice, colours, (x, y), row) for name, part in facets]
    below = "" if row is None or row not in table.index else _behind(table.loc[row])
    code = f'<p>The same with seaborn:</p><pre class="swis-code">{escape(choice.code())}</pre>'
    return Picture(drawings, below=below + code)


def _looks(rows: pd.DataFrame, column: str) -> dict[str, tuple[str, str]]:
    values = sorted(rows[column].map(str).unique()) if column else [""]
    return {value: (COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n, value in enumerate(values)}


def _facet(
    name: str,
    rows: pd.DataFrame,
    choice: Choice,
    looks: dict[str, tuple[str, str]],
    scales: tuple[Scale, Scale],
    marked: int | None,
) -> Drawing:
    entries = [(look[0], value_words(choice.colour, value), look[1]) for value, look in looks.items()]
    entries = entries if choice.colour else []
    room = 22 * -(-sum(32 + 7.2 * len(words) for _, words, _ in entries) // 390)
    plot = Plot(
        490,
        430 + room,
        title=f"{COLUMNS.get(choice.facet, choice.facet)}: {name}" if choice.facet else "All rows",
        x=scales[0],
        y=scales[1],
        x_label=column_words(choice.x),
        y_label=column_words(choice.y),
        bottom=62 + room,
    )
    front = choice.front(rows)
    places = [plot.at(x, y) for x, y in zip(front[choice.x], front[choice.y], strict=True)]
    stairs = [places[0]]
    for before, after in pairwise(places):
        stairs += [(after[0], before[1]), after]
    plot.line(stairs, "#444444", 1.6)
    values = rows[choice.colour].map(str) if choice.colour else [""] * len(rows)
    for index, x, y, value in zip(rows.index, rows[choice.x], rows[choice.y], values, strict=True):
        colour, marker = looks[value]
        at = plot.at(float(x), float(y))
        said = (f"{column_words(choice.x)}: {readable(x)}", f"{column_words(choice.y)}: {readable(y)}")
        tip = ", ".join([value_words(choice.colour, value), *said]).removeprefix(", ")
        if index == marked:
            plot.mark(*at, "#222222", "circle", size=11)
        plot.mark(*at, colour, marker, size=5.5, name=str(index), tip=tip)
    plot.legend(72, plot.height - room, entries, 390)
    return plot


def _behind(row: pd.Series) -> str:
    lines = []
    for name, value in row.drop(["correct", "config", "packages"], errors="ignore").dropna().items():
        said = readable(value) if isinstance(value, float) else str(value)
        if said:
            lines.append(f"<tr><td>{escape(column_words(name))}</td><td>{escape(said[:80])}</td></tr>")
    table = f'<table class="swis-table swis-row">{"".join(lines)}</table>'
    return f'<p>The row behind the mark:</p><div class="swis-lines">{table}</div>'


def folders() -> list[Path]:
    """Return the folders of results/ that have rows."""
    return sorted({path.parent for path in _RESULTS.glob("*/rows-*.parquet")})


def rows_of(folder: str | Path) -> pd.DataFrame:
    """Return the rows of a folder of results, those that did not fail, with all columns."""
    table = load_table(folder, "all")
    return table[table["status"] == "ok"]


def trade_off(table: pd.DataFrame | str | Path | None = None) -> TradeOffTab:
    """Return the tab in which rows of results are drawn over any two of their columns.

    ``table`` are rows as ``swis.load_table`` returns them, any table, or a folder of results; by default the
    folders of results/ can be chosen.

    >>> tab = trade_off(pd.DataFrame({"bits": [1.0, 2.0], "top1": [60.0, 90.0]}))
    >>> tab.x.value, tab.y.value
    ('bits', 'top1')
    """
    return TradeOffTab(table)


class TradeOffTab(Tab):
    """The tab ``trade_off`` makes; ``choice`` is what it draws of ``table``."""

    def __init__(self, table: pd.DataFrame | str | Path | None) -> None:
        self.row: int | None = None
        self.x, self.y = chosen("across", [], None), chosen("upwards", [], None)
        self.colour, self.facet = chosen("colour", [_NONE], ""), chosen("a panel for each", [_NONE], "")
        self.only = chosen("only rows of", [_NONE], "")
        self.values = widgets.SelectMultiple(description="which are", rows=4, layout=LAYOUT, style=STYLE)
        self.query = widgets.Text(
            description="filter",
            placeholder="bits <= 3 and group_size == 4",
            continuous_update=False,
            layout=LAYOUT,
            style=STYLE,
        )
        self.logarithmic = widgets.Checkbox(description="logarithmic across", indent=False)
        controls = [
            self.x,
            self.y,
            self.colour,
            self.facet,
            self.only,
            self.values,
            self.query,
            self.logarithmic,
        ]
        if table is None:
            known = folders()
            if not known:
                raise InputError(f"{_RESULTS.name}/ has no rows; give a table or a folder of results")
            self.folder = chosen("results", [(f"results/{path.name}", path) for path in known], known[0])
            self.folder.observe(lambda change: self.take(change["new"]), "value")
            controls.insert(0, self.folder)
            table = known[0]
        self.only.observe(self._offer, "value")
        self._offered(table)
        super().__init__(_SENTENCE, controls, self._picture, self._click)

    def take(self, table: pd.DataFrame | str | Path) -> None:
        """Draw another table, or the rows of another folder."""
        with self.held():
            self._offered(table)

    @property
    def choice(self) -> Choice:
        """What is chosen."""
        return Choice(
            *(control.value for control in (self.x, self.y, self.colour, self.facet, self.only)),
            values=self.values.value,
            query=self.query.value,
            log=self.logarithmic.value,
            source=self.source,
        )

    def _offered(self, table: pd.DataFrame | str | Path) -> None:
        """Offer the columns of a table; what was chosen stays where the table has it."""
        self.source, self.row = Choice.source, None
        if not isinstance(table, pd.DataFrame):
            path = Path(table)
            named = f"results/{path.name}" if path.parent == _RESULTS else str(path)
            self.source, table = f'table = swis.load_table("{named}", "all")', rows_of(path)
        self.table = table.reset_index(drop=True)
        axes, few = numbers(self.table), kinds(self.table)
        if len(axes) < 2:
            raise InputError("a trade-off is between two columns of numbers; the table has fewer")
        first = [name for name in ("weight_bits", "cycles_per_weight", "bits") if name in axes]
        for control, wanted in ((self.x, [*first, axes[0]]), (self.y, ["top1", axes[-1]])):
            known = control.value if control.value in axes else next(name for name in wanted if name in axes)
            control.options = [(column_words(name), name) for name in axes]
            control.value = known
        floats = "method" in self.table and self.table["method"].eq(Float.name).any()
        self.query.value = f"method != '{Float.name}'" if floats else ""  # whose 32 bits are far to the right
        for control, wanted in ((self.colour, "method"), (self.facet, "model"), (self.only, "")):
            known = control.value or wanted
            control.options = [_NONE, *((column_words(name), name) for name in few)]
            control.value = known if known in few else ""
        self._offer()

    def _offer(self, _: Any = None) -> None:
        """Offer the values of the column that rows are chosen by."""
        known = self.table[self.only.value].dropna().unique().tolist() if self.only.value else []
        self.values.options = sorted(known, key=str)

    def _click(self, index: str) -> None:
        self.row = int(index)
        self._redraw()

    def _picture(self) -> Picture:
        try:
            return trade_off_picture(self.table, self.choice, self.row)
        except InputError as error:
            drawing = Drawing(560, 40)
            drawing.text(14, 24, str(error)[:90], colour=COLOURS[3])
            return Picture([drawing])
