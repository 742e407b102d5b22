"""Rows that differ by their seed alone: the mean, and how far another draw of seeds may be from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

from swis.errors import InputError


def over_seeds(rows: pd.DataFrame, keys: Sequence[str], column: str = "top1") -> pd.DataFrame:
    """Return, for every value of ``keys``, the number of seeds and the mean of a column.

    ``low`` and ``high`` are Student's 95 % interval of that mean; null for a single seed, and where all are
    equal, for neither shows how far seeds spread. Raises ``InputError`` if a seed is there twice.

    >>> rows = pd.DataFrame({"method": "swis", "seed": [0, 1, 2], "top1": [90.0, 91.0, 92.0]})
    >>> over_seeds(rows, ["method"]).round(2).values.tolist()
    [[3.0, 91.0, 88.52, 93.48]]
    """
    keys = list(keys)
    if rows.duplicated([*keys, "seed"]).any():
        raise InputError(f"several rows have the same {', '.join(keys)} and seed; select some")
    groups = rows.groupby(keys, dropna=False)[column]
    seeds, mean = groups.count(), groups.mean()
    # Student's t has no value for no degree of freedom: null, as the deviation of one seed is
    reach = groups.std().where(groups.nunique() > 1) / np.sqrt(seeds) * t.ppf(0.975, seeds - 1)
    return pd.DataFrame({"seeds": seeds, "mean": mean, "low": mean - reach, "high": mean + reach})


def gap(
    rows: pd.DataFrame, method: str, other: str, keys: Sequence[str], column: str = "top1"
) -> pd.DataFrame:
    """Return as ``over_seeds`` by how much a method's column is above another's with the same seed.

    Raises ``InputError`` if no row of the one has the keys and the seed of one of the other.

    >>> rows = pd.DataFrame({"model": "m", "method": ["swis", "truncate"] * 2, "seed": [0, 0, 1, 1]})
    >>> gap(rows.assign(top1=[90.0, 80.0, 91.0, 79.0]), "swis", "truncate", ["model"])["mean"].tolist()
    [11.0]
    """
    pairs = [*keys, "seed"]
    mine, theirs = (rows[rows["method"] == name].set_index(pairs)[column] for name in (method, other))
    found = (mine - theirs).dropna()
    if found.empty:
        raise InputError(f"no rows of {method} and {other} have the same {', '.join(pairs)}")
    return over_seeds(found.reset_index(), keys, column)


def table(summary: pd.DataFrame) -> pd.Series:
    """Return the lines of ``over_seeds`` as text: the mean and half the interval's width.

    >>> table(pd.DataFrame({"mean": [91.0], "low": [88.5], "high": [93.5]})).tolist()
    ['91.00 ± 2.50']
    """
    half = (summary["high"] - summary["low"]) / 2
    texts = [
        f"{mean:.2f}" if np.isnan(reach) else f"{mean:.2f} ± {reach:.2f}"
        for mean, reach in zip(summary["mean"], half, strict=True)
    ]
    return pd.Series(texts, index=summary.index)
