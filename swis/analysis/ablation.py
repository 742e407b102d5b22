"""Ablations: rows by the ingredients of their calibration, and by the changes to a retraining recipe."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from swis.errors import InputError
from swis.evaluation.paired_tests import compare
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.options.calibrations import CALIBRATIONS
from swis.options.option import renamed, younger
from swis.options.training import RetrainConfig

# Each ingredient includes those before it: nearest levels; matched statistics; levels chosen by the GPTQ
# pass over groups; the outputs of the float layer on float inputs as its target; a search over scales;
# rounding that is learned per block.
INGREDIENTS = ("none", "stats", "walk", "asymmetric", "scales", "reconstruct")

# The columns that ``ingredient``, ``plainly_scaled`` and ``fully_calibrated`` read.
CALIBRATION = ("method", "group_size", "seed", "granularity", "rewrites", "fold_bn", "calibrate", "config")


def ingredient(row: pd.Series) -> str | None:
    """Return the last of the ``INGREDIENTS`` of a row's calibration; None for another calibration.

    >>> ingredient(pd.Series({"calibrate": "stats", "config": "{}"}))
    'stats'
    """
    kind = CALIBRATIONS.get(row["calibrate"])
    if kind is None:  # a format without shifts, which is not calibrated
        return None
    if not kind.chooses_levels:
        return row["calibrate"] if row["calibrate"] in INGREDIENTS else None
    chosen = json.loads(row["config"])["calibration"]
    places = {(False, False): "walk", (True, False): "asymmetric", (True, True): "scales"}
    place = places.get((chosen["asymmetric"], len(chosen["scales"]) > 1))
    if kind.learns_rounding:
        return "reconstruct" if place == "scales" else None
    return place


def plainly_scaled(rows: pd.DataFrame, group_size: int | None = 4, seed: int | None = 0) -> pd.DataFrame:
    """Return the rows with one scale per channel, no rewrites, one group size and one calibration set.

    References, which have no groups, are among them. ``group_size`` None selects all group sizes, ``seed``
    None all calibration sets.
    """
    plain = rows["granularity"].fillna("channel").eq("channel") & rows["rewrites"].fillna("").eq("")
    sizes = rows["group_size"].isna() | rows["group_size"].eq(group_size) | (group_size is None)
    return rows[plain & sizes & (rows["seed"].eq(seed) | (seed is None))]


def fully_calibrated(rows: pd.DataFrame, group_size: int | None = 4, seed: int | None = 0) -> pd.DataFrame:
    """Return the ``plainly_scaled`` rows that have all ingredients up to "scales", and their references.

    For every model, group size and calibration set there is a row per method and bits, a row of the 8-bit
    format, and a row of the float network.
    """
    some = plainly_scaled(rows, group_size, seed)
    full = some.apply(ingredient, axis=1).eq("scales")
    reference = some["method"].eq(Float.name) | (some["method"].eq(Int8.name) & ~some["fold_bn"])
    return some[full | reference]


def by_ingredient(rows: pd.DataFrame, column: str = "top1") -> pd.DataFrame:
    """Return a column of rows as a table: a row per model and bits, a column per method and ingredient.

    Raises ``InputError`` if several rows belong to the same cell, such as those of several group sizes.
    """
    named = rows.assign(ingredient=rows.apply(ingredient, axis=1)).dropna(subset=["ingredient", "bits"])
    keys = ["model", "bits", "method", "ingredient"]
    if named.duplicated(keys).any():
        raise InputError("several rows have the same model, bits, method and ingredient; select some of them")
    table = named.pivot(index=keys[:2], columns=keys[2:], values=column)
    order = [pair for pair in table.columns.sort_values() if pair[1] in INGREDIENTS]
    order.sort(key=lambda pair: (pair[0], INGREDIENTS.index(pair[1])))
    return table[order]


def recipe_changes(rows: pd.DataFrame, recipe: dict[str, Any]) -> pd.Series:
    """Return the settings of each row's retraining that differ from a recipe, as NAME=VALUE.

    Images and seeds are not compared. Settings that older rows lack have their defaults.

    >>> rows = pd.DataFrame({"retrain": ['{"warmup": 0.1, "epochs": 2}', '{"warmup": 0.0, "epochs": 2}']})
    >>> recipe_changes(rows, {"warmup": 0.1, "epochs": 2}).tolist()
    ['', 'warmup=0.0']
    """

    def changes(text: str) -> str:
        settings = younger(RetrainConfig()) | renamed(json.loads(text), RetrainConfig)
        names = [name for name in sorted(settings.keys() & recipe.keys()) if name not in ("images", "seed")]
        names = [name for name in names if settings[name] != recipe[name]]
        return " ".join(f"{name}={json.dumps(settings[name])}" for name in names)

    return rows["retrain"].map(changes)


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the gain of each ingredient over the one before it, compared image by image.

    There is a row per model, bits, method and ingredient with ``top1`` [%], ``difference`` [points], its 95 %
    interval ``low`` and ``high`` [points], and ``p_value`` (``swis.evaluation.paired_tests.compare``).
    """
    correct, top1 = by_ingredient(rows, "correct"), by_ingredient(rows)
    gained = []
    for (model, bits), row in correct.iterrows():
        for method in correct.columns.unique("method"):
            found = [name for name in INGREDIENTS if isinstance(row.get((method, name)), str)]
            for before, name in zip([None, *found], found, strict=False):
                line = {"model": model, "bits": bits, "method": method, "ingredient": name}
                line["top1"] = top1.loc[(model, bits), (method, name)]
                if before is not None:
                    line |= vars(compare(row[method, name], row[method, before]))
                gained.append(line)
    return pd.DataFrame(gained)
