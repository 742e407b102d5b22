"""Which rows of a table are drawn, over which columns; their Pareto front, and the code that draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

from swis.errors import InputError
from swis.explore.looks import Look, value_looks
from swis.explore.sources import quoted
from swis.results.columns import PROVENANCE
from swis.results.dictionary import columns as dictionary

# Where the best rows are, by whether more is better of what is drawn across, and of what is drawn upwards.
CORNERS = {
    (False, True): "top left",
    (True, True): "top right",
    (False, False): "bottom left",
    (True, False): "bottom right",
}
_MORE_IS_BETTER = ("top1", "top5", "agreement", "logit_sqnr_db", "sqnr", "compression", "images_per_second")
_MORE_IS_BETTER += ("held_out_agreement", "frames_per", "utilization", "speedup", "energy_gain")
# Columns that say how rows were made, and long texts.
_HIDDEN = (PROVENANCE.keys() - {"images_per_second"}) | {
    "weights",
    "status",
    "images",
    "held_out_images",
    "hardware",
}
_HIDDEN |= {"hardware_version", "hardware_error"}
_MOST_KINDS = 16
_SEABORN = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle": "^",
    "cross": "X",
    "down": "v",
    "plus": "P",
}


@dataclass(frozen=True)
class Choice:
    """Which columns are drawn of which rows: ``values`` of the column ``only``, and those of a ``query``.

    ``colour`` and ``facet`` may be "" for none; a ``query`` is as pandas has it. ``best`` is the corner of
    the best rows, "" for the one that the columns are known for. ``source`` is the code that makes the table.
    """

    x: str
    y: str
    colour: str = ""
    facet: str = ""
    only: str = ""
    values: Sequence[Any] = ()
    query: str = ""
    best: str = ""
    log_x: bool = False
    log_y: bool = False
    source: str = "table = ...  # your rows"

    @property
    def more(self) -> tuple[bool, bool]:
        """Whether more is better, of ``x`` and of ``y``."""
        corner = self.best or corner_of(self.x, self.y)
        return next(more for more, name in CORNERS.items() if name == corner)

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that are drawn; raise ``InputError`` for a query that pandas does not take.

        Rows without a finite number in both columns are left out, and what a logarithm is not known of.

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
        numbers = table[[self.x, self.y]].astype(float)
        table = table[np.isfinite(numbers).all(axis=1)]
        for column, log in ((self.x, self.log_x), (self.y, self.log_y)):
            table = table[table[column] > 0] if log else table
        return table

    def front(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of one facet that none beats in both columns, the best of ``x`` first.

        >>> table = pd.DataFrame({"bits": [1.0, 2.0, 3.0], "top1": [60.0, 50.0, 90.0]})
        >>> Choice("bits", "top1").front(table)["bits"].tolist()
        [1.0, 3.0]
        """
        across, upwards = self.more
        ordered = rows.sort_values([self.x, self.y], ascending=[not across, not upwards])
        best = ordered[self.y].cummax() if upwards else ordered[self.y].cummin()
        return ordered[ordered[self.y].eq(best) & ~best.duplicated()]

    def looks(self, rows: pd.DataFrame) -> dict[str, Look]:
        """Return the look of every value of ``colour`` in some rows; of "" if there is none."""
        return value_looks(self.colour, values_of(rows, self.colour) if self.colour else [""])

    def code(self, rows: pd.DataFrame) -> str:
        """Return the lines of Python that draw the same ``rows`` with seaborn.

        >>> choice = Choice("bits", "top1")
        >>> print(choice.code(pd.DataFrame({"bits": [1.0], "top1": [60.0]})).splitlines()[-1])
        grid.ax.step(front["bits"], front["top1"], where="post", color="0.3")
        """
        x, y = quoted(self.x), quoted(self.y)
        lines = ["import numpy as np", "import seaborn as sns", "import swis", "", self.source]
        if self.only and self.values:
            lines.append(f"table = table[table[{quoted(self.only)}].isin({_list(self.values)})]")
        if self.query:
            lines.append(f"table = table.query({quoted(self.query)})")
        lines.append(f"table = table[np.isfinite(table[[{x}, {y}]].astype(float)).all(axis=1)]")
        logs = {name: log for name, log in ((x, self.log_x), (y, self.log_y)) if log}
        lines += [f"table = table[table[{name}] > 0]" for name in logs]
        how = [f"table, x={x}, y={y}"]
        if self.colour:
            looks = self.looks(rows)
            lines += [f"colours = {_texts_code(rows, self.colour)}", f"values = {_list(looks)}"]
            how.append("hue=colours, hue_order=values, style=colours, style_order=values")
            how.append(f"palette={_list(look.colour for look in looks.values())}")
            how.append(f"markers={_list(_SEABORN[look.marker] for look in looks.values())}")
        if self.facet:
            lines.append(f"panels = {_texts_code(rows, self.facet)}")
            how.append(f"col=panels, col_order={_list(values_of(rows, self.facet))}, col_wrap=3")
        lines += ["grid = sns.relplot(", *(f"    {each}," for each in how), "    height=4,", ")"]
        scales = [f'{name}="log"' for name, log in (("xscale", self.log_x), ("yscale", self.log_y)) if log]
        lines += [f"grid.set({', '.join(scales)})"] if scales else []
        if not self.facet:
            return "\n".join([*lines, *self._front_code("table", "grid.ax")])
        front = self._front_code("table[panels == value]", "axes")
        return "\n".join(
            [*lines, "for value, axes in grid.axes_dict.items():", *(f"    {line}" for line in front)]
        )

    def _front_code(self, part: str, axes: str) -> list[str]:
        """Return ``front`` as code."""
        (across, upwards), x, y = self.more, quoted(self.x), quoted(self.y)
        return [
            f"part = {part}.sort_values([{x}, {y}], ascending=[{not across}, {not upwards}])",
            f"best = part[{y}].{'cummax' if upwards else 'cummin'}()",
            f"front = part[part[{y}].eq(best) & ~best.duplicated()]",
            f'{axes}.step(front[{x}], front[{y}], where="post", color="0.3")',
        ]


def _list(values: Iterable[Any]) -> str:
    """Return a list as code."""
    return f"[{', '.join(quoted(each) if isinstance(each, str) else repr(each) for each in values)}]"


def corner_of(x: str, y: str) -> str:
    """Return the corner of the best rows; of columns that are not known, less is better across, more upwards.

    >>> corner_of("weight_bits", "top1"), corner_of("latency_ms", "energy_pj"), corner_of("mine", "own")
    ('top left', 'bottom left', 'top left')
    """
    known = dictionary().index
    more = [name.startswith(_MORE_IS_BETTER) for name in (x, y)]
    return CORNERS[more[0], more[1] or y not in known]


def texts(values: pd.Series) -> pd.Series:
    """Return the values of a column as texts.

    >>> texts(pd.Series([2.0, 2.5, None])).tolist()
    ['2', '2.5', 'none']
    """
    how = "{:g}".format if is_float_dtype(values) else str
    return values.map(how, na_action="ignore").astype(object).fillna("none")


def _texts_code(rows: pd.DataFrame, column: str) -> str:
    """Return ``texts`` as code."""
    how = '"{:g}".format' if is_float_dtype(rows[column]) else "str"
    return f'table[{quoted(column)}].map({how}, na_action="ignore").astype(object).fillna("none")'


def values_of(rows: pd.DataFrame, column: str) -> list[str]:
    """Return the values of a column as texts, in their order.

    >>> values_of(pd.DataFrame({"bits": [10.0, 2.0, None]}), "bits")
    ['2', '10', 'none']
    """
    return list(dict.fromkeys(texts(rows[column].sort_values(na_position="last"))))


def numbers(table: pd.DataFrame) -> list[str]:
    """Return the columns that an axis may show.

    >>> numbers(pd.DataFrame({"top1": [1.0, 2.0], "method": ["a", "b"]}))
    ['top1']
    """
    known = (name for name in table if name not in _HIDDEN)
    numeric = [name for name in known if is_numeric_dtype(table[name]) and not is_bool_dtype(table[name])]
    return [name for name in numeric if table[name].nunique() > 1]


def kinds(table: pd.DataFrame) -> list[str]:
    """Return the columns of a few values, which colours, panels and filters may show.

    >>> kinds(pd.DataFrame({"top1": [1.0, 2.0], "method": ["a", "b"], "data": ["c", "c"]}))
    ['method']
    """
    known = dictionary()["group"]
    measured = set(known.index[known.isin(("result", "schedule", "hardware"))])
    return [name for name in table if name not in _HIDDEN | measured and _few(table[name])]


def _few(values: pd.Series) -> bool:
    most = min(_MOST_KINDS, len(values) // 2) if is_float_dtype(values) else _MOST_KINDS
    try:
        return 1 < values.nunique(dropna=False) <= most and len(values.drop_duplicates().sort_values()) > 1
    except TypeError:  # of lists, and of values that have no order
        return False


def offered_values(table: pd.DataFrame, column: str) -> list[tuple[str, Any]]:
    """Return the values of a column for a control: their texts, and themselves.

    >>> offered_values(pd.DataFrame({"bits": [3.0, 2.0, None]}), "bits")
    [('2', 2.0), ('3', 3.0)]
    """
    values = table[column].dropna().drop_duplicates().sort_values()
    return list(zip(texts(values), values.tolist(), strict=True))
