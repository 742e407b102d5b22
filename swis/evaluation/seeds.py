"""Rows that differ only in their seed: the mean over seeds and its confidence interval."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t

from swis.errors import InputError


def over_seeds(rows: pd.DataFrame, keys: Sequence[str], column: str = "top1") -> pd.DataFrame:
    """Return the number of seeds and the mean of a column, for every combination of values of ``keys``.

    ``low`` and ``high`` are the ends of Student's 95 % interval of the mean. They are null for a single seed,
    and if all seeds have equal values, because neither shows how much seeds differ. Raises ``InputError`` if
    two rows have the same keys and seed.

    >>> rows = pd.DataFrame({"method": "swis", "seed": [0, 1, 2], "top1": [90.0, 91.0, 92.0]})
    >>> over_seeds(rows, ["method"]).round(2).values.tolist()
    [[3.0, 91.0, 88.52, 93.48]]
    """
    keys = list(keys)
    if rows.duplicated([*keys, "seed"]).any():
        raise InputError(f"several rows have the same {', '.join(keys)} and seed; select some")
    groups = rows.groupby(keys, dropna=False)[column]
    seeds, mean = groups.count(), groups.mean()
    # Student's t is nan without a degree of freedom, and so is the deviation of one seed
    reach = groups.std().where(groups.nunique() > 1) / np.sqrt(seeds) * t.ppf(0.975, seeds - 1)
    return pd.DataFrame({"seeds": seeds, "mean": mean, "low": mean - reach, "high": mean + reach})


def gap(
    rows: pd.DataFrame, method: str, other: str, keys: Sequence[str], column: str = "top1"
) -> pd.DataFrame:
    """Return ``over_seeds`` of a column's difference: ``method`` minus ``other``, at the same seed.

    Raises ``InputError`` if no two rows of the methods have the same keys and seed.

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
    """Return the rows of ``over_seeds`` as text: the mean, plus or minus half the interval's width.

    >>> table(pd.DataFrame({"mean": [91.0], "low": [88.5], "high": [93.5]})).tolist()
    ['91.00 ± 2.50']
    """
    half = (summary["high"] - summary["low"]) / 2
    texts = [
        f"{mean:.2f}" if np.isnan(reach) else f"{mean:.2f} ± {reach:.2f}"
        for mean, reach in zip(summary["mean"], half, strict=True)
    ]
    return pd.Series(texts, index=summary.index)
