"""Rows by what made them: the ingredients of a calibration, what differs in a recipe of retraining."""

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

# Each has what those before it have: nearest levels; matched statistics; levels by the Hessian walk; its
# target what the float layer makes of float inputs; a search over scales; rounding learned by blocks.
INGREDIENTS = ("none", "stats", "walk", "asymmetric", "scales", "reconstruct")

# The columns of rows that ``ingredient`` and ``fully_calibrated`` look at.
CALIBRATION = ("method", "group_size", "seed", "granularity", "rewrites", "fold_bn", "calibrate", "config")


def ingredient(row: pd.Series) -> str | None:
    """Return the last of ``INGREDIENTS`` that a row has; None if its calibration is none of these.

    >>> ingredient(pd.Series({"calibrate": "stats", "config": "{}"}))
    'stats'
    """
    kind = CALIBRATIONS.get(row["calibrate"])
    if kind is None:  # weights without shifts, which are not calibrated
        return None
    if not kind.chooses_levels:
        return row["calibrate"] if row["calibrate"] in INGREDIENTS else None
    chosen = json.loads(row["config"])["calibration"]
    places = {(False, False): "walk", (True, False): "asymmetric", (True, True): "scales"}
    place = places.get((chosen["asymmetric"], len(chosen["scales"]) > 1))
    if kind.learns_rounding:
        return "reconstruct" if place == "scales" else None
    return place


def fully_calibrated(rows: pd.DataFrame, group_size: int | None = 4, seed: int | None = 0) -> pd.DataFrame:
    """Return the rows of a group size, or of all, with the walk, its target and scales, and their references.

    With one scale per channel, of networks as they are, calibrated on one draw of images, or on all
    (``seed`` None): for every model, group size and draw a row per method and bits, one of the 8-bit format
    and one of the float network.
    """
    plain = rows["granularity"].fillna("channel").eq("channel") & rows["rewrites"].fillna("").eq("")
    sizes = rows["group_size"].isna() | rows["group_size"].eq(group_size) | (group_size is None)
    some = rows[plain & sizes & (rows["seed"].eq(seed) | (seed is None))]
    full = some.apply(ingredient, axis=1).eq("scales")
    reference = some["method"].eq(Float.name) | (some["method"].eq(Int8.name) & ~some["fold_bn"])
    return some[full | reference]


def by_ingredient(rows: pd.DataFrame, column: str = "top1") -> pd.DataFrame:
    """Return a column of rows as a table: a line per model and bits, a column per method and ingredient.

    Raises ``InputError`` if several rows fit one place, as of several group sizes.
    """
    named = rows.assign(ingredient=rows.apply(ingredient, axis=1)).dropna(subset=["ingredient", "bits"])
    keys = ["model", "bits", "method", "ingredient"]
    if named.duplicated(keys).any():
        raise InputError("several rows are of the same model, bits, method and ingredient; select some")
    table = named.pivot(index=keys[:2], columns=keys[2:], values=column)
    order = [pair for pair in table.columns.sort_values() if pair[1] in INGREDIENTS]
    order.sort(key=lambda pair: (pair[0], INGREDIENTS.index(pair[1])))
    return table[order]


def recipe_changes(rows: pd.DataFrame, recipe: dict[str, Any]) -> pd.Series:
    """Return by which settings each row's retraining differs from a recipe, as the command line has them.

    The images and the seed are no settings. What older rows do not say was as by default.

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
    """Return what each ingredient adds to the one before it, with intervals, image by image.

    A line per model, bits, method and ingredient: top1, difference [points], low, high (95 %), p_value.
    """
    correct, top1 = by_ingredient(rows, "correct"), by_ingredient(rows)
    lines = []
    for (model, bits), row in correct.iterrows():
        for method in correct.columns.unique("method"):
            found = [name for name in INGREDIENTS if isinstance(row.get((method, name)), str)]
            for before, name in zip([None, *found], found, strict=False):
                line = {"model": model, "bits": bits, "method": method, "ingredient": name}
                line["top1"] = top1.loc[(model, bits), (method, name)]
                if before is not None:
                    line |= vars(compare(row[method, name], row[method, before]))
                lines.append(line)
    return pd.DataFrame(lines)
