"""The rows that several tables show, and how their index and columns are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from swis.analysis.ablation import ingredient
from swis.formats.float32 import Float
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.swis_signed import SwisSigned
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.formats.uniform_group import UniformGroup
from swis.formats.weight_format import WeightFormat
from swis.plots.names import images_name, label_of, network_name
from swis.results.records import load_table

NETWORK = "network"

CALIBRATIONS = {
    "none": "none",
    "stats": "statistics",
    "output_aware": "output-aware",
    "reconstruct": "output-aware, rounding learned",
}

# What columns of rows are called where they lead a table.
_INDEX = {
    "model": NETWORK,
    "network": NETWORK,
    "data": "images",
    "bits": "shifts N",
    "group_size": "group size M",
    "granularity": "one scale per",
    "calibrate": "calibration",
    "rewrites": "rewrite",
}


def _images(data: str) -> str:
    # The image folder of the committed rows is CIFAR-10 as JPEG files.
    return "CIFAR-10 (JPEG)" if data == "image_folder" else images_name(data)


_LABELS: dict[str, Any] = {
    "model": network_name,
    "network": network_name,
    "data": _images,
    "calibrate": CALIBRATIONS,
}
# The order of formats in tables.
_ORDER = [kind.name for kind in (Swis, SwisSigned, SwisC, Uniform, UniformGroup, Round, Truncate)]


def imagenet_commands(*experiments: str) -> tuple[str, str]:
    """Return the commands of experiments of EfficientNet-Lite0 and of MobileNet-v2 on ImageNet.

    >>> imagenet_commands("calibration")[0]
    'python run.py experiment=[efficientnet_lite0_imagenet,calibration] data.root=PATH'
    """
    lite0, mobilenet = (
        f"python run.py experiment=[{','.join([f'{network}_imagenet', *experiments])}]"
        for network in ("efficientnet_lite0", "mobilenet_v2")
    )
    return f"{lite0} data.root=PATH", f"{mobilenet} model.weights=WEIGHTS data.root=PATH"


def calibrated(results: Path) -> pd.DataFrame:
    """Return the rows on ImageNet at whole numbers of shifts, and their references.

    The column ``ingredient`` is that of ``swis.analysis.ablation.ingredient``.
    """
    rows = load_table(results / "calibration", "all").query("data == 'imagenet'")
    rows = rows[rows["bits"].isna() | rows["bits"].eq(rows["bits"].round())]
    return rows.assign(ingredient=rows.apply(ingredient, axis=1))


def of_four(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of groups of four weights, and those of formats without groups."""
    return rows[rows["group_size"].isna() | rows["group_size"].eq(4)]


def of(rows: pd.DataFrame, *kinds: type[WeightFormat]) -> pd.DataFrame:
    """Return the rows of weight formats."""
    return rows[rows["method"].isin([kind.name for kind in kinds])]


def floats(rows: pd.DataFrame) -> pd.Series:
    """Return the top-1 accuracy [%] of the float networks, by model."""
    return of(rows, Float).set_index("model")["top1"]


def called(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its index by the names that people write.

    >>> called(pd.DataFrame({"top1": [90.0]}, pd.Index(["resnet18"], name="model"))).index
    Index(['ResNet-18'], dtype='str', name='network')
    """
    names = list(table.index.names)
    for level in (name for name in names if name in _LABELS):
        table = table.rename(index=_LABELS[level], level=level)
    return table.rename_axis(index=[_INDEX.get(name, name) for name in names])


def by_format(rows: pd.DataFrame, index: list[str], column: str, title: str) -> pd.DataFrame:
    """Return a column of rows with a line per value of ``index`` and a column per format, below one title."""
    pivoted = rows.pivot(index=index, columns="method", values=column)
    return called(pd.concat({title: in_order(pivoted)}, axis=1))


def in_order(found: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a column per format, these in one order and by the names that people write."""
    names = [name for name in _ORDER if name in found]
    return found[names].rename(columns=label_of).rename_axis(columns=None)


def with_float(found: pd.DataFrame, reference: pd.Series) -> pd.DataFrame:
    """Return a table of ``by_format`` with the float networks' values, by model, as a last column."""
    values = found.index.get_level_values(NETWORK).map(reference.rename(network_name))
    found[found.columns[0][0], label_of(Float.name)] = values
    return found


def ends(numbers: pd.Series, decimals: int = 1) -> str:
    """Return the least and the most of some numbers as text; one number if both read alike.

    >>> ends(pd.Series([2.0, 1.25, 3.0]))
    '1.2 to 3.0'
    """
    least, most = (f"{number:.{decimals}f}" for number in (numbers.min(), numbers.max()))
    return least if least == most else f"{least} to {most}"
