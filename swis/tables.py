"""Tables of lines put together, a line that several of them have once."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

# What a line says of the run that made it, and not of what it is about.
_PROVENANCE = ("config", "git_commit", "git_dirty", "packages", "machine", "created")
# Columns that compare a line with another design: a run has them for the designs that it was told to.
_COMPARISONS = ("speedup_vs_", "energy_gain_vs_")
# Columns that are younger than some tables, and what these would say.
_YOUNGER = {"groups_share_lanes": False}


def union(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables; a line that several have is there as often as in the one that has it most often.

    Lines are the same if all their columns are but those of provenance; what only one of them is compared
    with is kept. A table's own equal lines, such as of two layers of one name and shape, are all kept.

    >>> one = pd.DataFrame({"layer": ["conv", "conv"], "rows": 8, "macs": 100, "machine": "a"})
    >>> other = pd.DataFrame({"layer": ["conv", "conv"], "rows": [8, 16], "macs": 100, "machine": "b"})
    >>> union([one, other])["rows"].tolist()
    [8, 8, 16]
    >>> union([one, one.assign(groups_share_lanes=False)])["groups_share_lanes"].tolist()
    [False, False]
    """
    whole = pd.concat(tables, ignore_index=True)
    for name in _YOUNGER.keys() & set(whole):
        whole[name] = whole[name].astype("boolean").fillna(_YOUNGER[name]).astype(bool)
    compared = [name for name in whole if name.startswith(_COMPARISONS)]
    same = [name for name in whole if name not in (*_PROVENANCE, *compared)]
    numbers = pd.Series(range(len(tables))).repeat([len(table) for table in tables])
    lines = pd.DataFrame(
        {
            "line": whole.groupby(same, dropna=False, sort=False).ngroup(),
            "table": numbers.to_numpy(),
        }
    )
    lines["occurrence"] = lines.groupby(["line", "table"]).cumcount()
    places = [lines["line"], lines["occurrence"]]
    if compared:
        whole[compared] = whole[compared].fillna(whole[compared].groupby(places).transform("first"))
    identity = pd.concat([*places, whole[compared]], axis=1)
    return whole[~identity.duplicated()].reset_index(drop=True)
