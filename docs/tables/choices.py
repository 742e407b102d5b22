"""How a group's levels are chosen, without calibration: MSE or MSE++, one by one or together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import called, ends, of
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.truncate import Truncate
from swis.options.choices import Selection
from swis.plots.names import label_of
from swis.results.records import load_table

_ONE_SCALE = "python run.py experiment=lite0_per_tensor data.root=PATH"


def per_tensor(results: Path) -> pd.DataFrame:
    """Return the rows of EfficientNet-Lite0 with one scale per tensor, and their references."""
    return load_table(results / "lite0_per_tensor", "all")


@table(_ONE_SCALE, f"{_ONE_SCALE} alpha=0 methods=[swis]")
def metric_top1(results: Path) -> pd.DataFrame:
    """EfficientNet-Lite0, one scale per tensor, M = 4, float activations, nothing calibrated."""
    rows = per_tensor(results).dropna(subset="bits")
    columns = {
        "SWIS, MSE": (Swis.name, 0.0),
        "SWIS, MSE++": (Swis.name, 1.0),
        "SWIS-C, MSE++": (SwisC.name, 1.0),
        label_of(Round.name): (Round.name, None),
        label_of(Truncate.name): (Truncate.name, None),
    }
    found = {}
    for name, (method, alpha) in columns.items():
        mine = rows[rows["method"].eq(method) & (rows["alpha"].eq(alpha) | (alpha is None))]
        found[name] = mine.set_index("bits")["top1"]
    return called(pd.concat({"top-1 [%]": pd.DataFrame(found).rename_axis("bits")}, axis=1))


@table(f"{_ONE_SCALE} alpha=0,0.25,0.5,2,4 methods=[swis]")
def metric_alpha(results: Path) -> pd.DataFrame:
    """SWIS on the same network by alpha, the weight of the squared sum of a group's errors (0: plain MSE)."""
    rows = of(per_tensor(results), Swis)
    found = rows.pivot(index="bits", columns="alpha", values="top1").rename(columns="alpha = {:g}".format)
    return called(pd.concat({"top-1 [%]": found.rename_axis(columns=None)}, axis=1))


@table("python run.py experiment=joint_selection data.root=PATH")
def joint_selection(results: Path) -> pd.DataFrame:
    """SWIS on the same network, with each weight's nearest level or with a group's levels chosen together."""
    rows = of(load_table(results / "joint_selection"), Swis)
    titles = {"mse_plus_plus": "MSE++ [steps²]", "top1": "top-1 [%]"}
    found = rows.pivot(index=["bits", "group_size"], columns="selection", values=list(titles))
    order = [(title, selection) for title in titles for selection in Selection]
    return called(found[order].rename(columns=titles, level=0).rename_axis(columns=[None, None]))


@values
def choices(results: Path) -> dict[str, str]:
    rows = per_tensor(results)
    swis = of(rows, Swis).query("bits == 3").set_index("alpha")["top1"]
    references = rows.set_index("method")["top1"]
    joint = of(load_table(results / "joint_selection"), Swis).query("bits == 3")
    top1 = joint.pivot(index="group_size", columns="selection", values="top1")
    return {
        "mse": f"{swis[0.0]:.1f}",
        "mse_plus_plus": f"{swis[1.0]:.1f}",
        "float": f"{references[Float.name]:.1f}",
        "int8": f"{references[Int8.name]:.1f}",
        "joint_gain": ends(top1[Selection.joint] - top1[Selection.nearest]),
    }
