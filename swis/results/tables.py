"""Tables of rows put together, a row that several of them have once."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from swis.results.hardware_results import COMPARISONS

# What a row says of the run that made it, and not of what it is about.
_PROVENANCE = ("config", "git_commit", "git_dirty", "packages", "machine", "created")
# Columns that compare a row with another design: a run has them for the designs that it was told to.
_COMPARISONS = tuple(COMPARISONS)
# Columns that are younger than some tables, and what these would say: not what another table does.
_YOUNGER = {"groups_share_lanes": False}


def union(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables; a row that several have is there as often as in the one that has it most often.

    Lines are the same if all their columns are but those of provenance; what only one of them is compared
    with is kept, and so is what a whole table lacks. A table's own equal rows, such as of two layers of one
    name and shape, are all kept.

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
    places = _places(whole, _said(whole), tables)
    whole = _filled(whole, compared, places)
    identity = pd.concat([*places, whole[compared]], axis=1)
    return whole[~identity.duplicated()].reset_index(drop=True)


def _said(table: pd.DataFrame) -> list[str]:
    """Return the columns that tell a row from others."""
    return [name for name in table if name not in _PROVENANCE and not name.startswith(_COMPARISONS)]


def _with_younger(table: pd.DataFrame, known: Collection[str]) -> pd.DataFrame:
    """Give a table the columns that are younger than it, where these are known what they would say."""
    values = {name: value for name, value in _YOUNGER.items() if name in known}
    said = {name: pd.Series(table.get(name), table.index, "boolean") for name in values}
    return table.assign(**{name: said[name].fillna(value).astype(bool) for name, value in values.items()})


def _with_lacking(table: pd.DataFrame, others: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Give a table the columns it lacks, with what others say in otherwise equal rows.

    Others are those with all of its columns: a table of layers has no rows of one of networks.
    """
    own = _said(table)
    wider = [other for other in others if set(own) < set(_said(other))]
    if not wider:
        return table
    wider.sort(key=lambda other: -len(_said(other)))  # of those that say it, the one that says most
    both = pd.concat([table, *wider], ignore_index=True)
    lacking = [name for name in _said(both) if name not in table]
    return _filled(both, lacking, _places(both, own, [table, *wider])).head(len(table))


def _places(whole: pd.DataFrame, said: list[str], tables: Sequence[pd.DataFrame]) -> list[pd.Series]:
    """Number the rows that differ, and how often each was in its table before."""
    row = whole.groupby(said, dropna=False, sort=False).ngroup()
    table = np.repeat(range(len(tables)), [len(table) for table in tables])
    return [row.rename("row"), row.groupby([row, table]).cumcount().rename("occurrence")]


def _filled(whole: pd.DataFrame, names: list[str], places: list[pd.Series]) -> pd.DataFrame:
    """Fill in what the first of the rows at one place says that says it."""
    if not names:
        return whole
    return whole.assign(**whole[names].fillna(whole[names].groupby(places).transform("first")))
