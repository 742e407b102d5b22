"""The union of tables, without repeated rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from swis.results.hardware_results import COMPARISONS

# Columns about the run that made a row; they do not tell two results apart.
_PROVENANCE = ("config", "git_commit", "git_dirty", "packages", "machine", "created")
# Columns that compare a row with another design: each run has them for the designs in its option versus.
_COMPARISONS = tuple(COMPARISONS)
# Columns that older tables lack, with the value that holds for them.
_YOUNGER = {"groups_share_lanes": False}


def union(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the union of tables: a row of several tables appears once.

    Two rows are the same if they agree in all columns except provenance. Their comparisons with other
    designs are joined, and columns that one table lacks are filled in from the other. Equal rows within one
    table, such as two layers with the same name and shape, are all kept: such a row appears as often as in
    the table that has it most often.

    >>> one = pd.DataFrame({"layer": ["conv", "conv"], "rows": 8, "macs": 100, "machine": "a"})
    >>> other = pd.DataFrame({"layer": ["conv", "conv"], "rows": [8, 16], "macs": 100, "machine": "b"})
    >>> union([one, other])["rows"].tolist()
    [8, 8, 16]
    >>> union([one, one.assign(groups_share_lanes=False)])["groups_share_lanes"].tolist()
    [False, False]
    """
    tables = [_with_younger(table, set().union(*tables)) for table in tables]
    whole = pd.concat([_with_lacking(table, tables) for table in tables], ignore_index=True).infer_objects()
    compared = [name for name in whole if name.startswith(_COMPARISONS)]
    places = _places(whole, _identity(whole), tables)
    whole = _filled(whole, compared, places)
    identity = pd.concat([*places, whole[compared]], axis=1)
    return whole[~identity.duplicated()].reset_index(drop=True)


def _identity(table: pd.DataFrame) -> list[str]:
    """Return the columns that tell a row from others: all except provenance and comparisons."""
    return [name for name in table if name not in _PROVENANCE and not name.startswith(_COMPARISONS)]


def _with_younger(table: pd.DataFrame, known: Collection[str]) -> pd.DataFrame:
    """Add the columns of ``_YOUNGER`` that the table lacks and another table has."""
    values = {name: value for name, value in _YOUNGER.items() if name in known}
    given = {name: pd.Series(table.get(name), table.index, "boolean") for name in values}
    return table.assign(**{name: given[name].fillna(value).astype(bool) for name, value in values.items()})


def _with_lacking(table: pd.DataFrame, others: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Add the columns that a table lacks, with the values that otherwise equal rows of other tables have.

    Only tables with all of its columns are looked at: a table of layers has no rows of a table of networks.
    """
    own = _identity(table)
    wider = [other for other in others if set(own) < set(_identity(other))]
    if not wider:
        return table
    wider.sort(key=lambda other: -len(_identity(other)))  # the table with the most columns comes first
    both = pd.concat([table, *wider], ignore_index=True)
    lacking = [name for name in _identity(both) if name not in table]
    return _filled(both, lacking, _places(both, own, [table, *wider])).head(len(table))


def _places(whole: pd.DataFrame, identity: list[str], tables: Sequence[pd.DataFrame]) -> list[pd.Series]:
    """Return two numbers per row: one for each different row, and one for its repetitions in its table."""
    row = whole.groupby(identity, dropna=False, sort=False).ngroup()
    table = np.repeat(range(len(tables)), [len(table) for table in tables])
    return [row.rename("row"), row.groupby([row, table]).cumcount().rename("occurrence")]


def _filled(whole: pd.DataFrame, names: list[str], places: list[pd.Series]) -> pd.DataFrame:
    """Fill the null values of columns with the first known value among the same rows."""
    if not names:
        return whole
    return whole.assign(**whole[names].fillna(whole[names].groupby(places).transform("first")))
