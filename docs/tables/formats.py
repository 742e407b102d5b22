"""Formats beyond SWIS: signed digits."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.accuracy import compared, image_by_image
from docs.tables.rows import called, ends, floats, imagenet_commands, in_order, of
from swis.formats.swis import Swis
from swis.formats.swis_signed import SwisSigned
from swis.results.records import load_table

_KEYS = ["model", "bits"]
_SHOWN = {
    "top1": "top-1 [%]",
    "logit_sqnr_db": "SQNR of the logits [dB]",
    "weight_bits": "storage [bits/weight]",
}


def _pivoted(results: Path) -> pd.DataFrame:
    rows = load_table(results / "formats", "all").query("seed == 0")
    return of(rows, Swis, SwisSigned).pivot(index=_KEYS, columns="method")


@table(*imagenet_commands("formats"))
def signed_digits(results: Path) -> pd.DataFrame:
    """Calibrated networks at N cycles per weight, plain and signed digits (M = 4, seed 0)."""
    rows = _pivoted(results)
    return called(pd.concat({title: in_order(rows[column]) for column, title in _SHOWN.items()}, axis=1))


@table()
def signed_digits_paired(results: Path) -> pd.DataFrame:
    """Signed digits compared with plain SWIS at the same cycles, image by image."""
    correct = _pivoted(results)["correct"]
    return called(compared(image_by_image(correct[SwisSigned.name], correct[Swis.name])))


@table(*(f"{command} methods=[swis_signed] seed=0,1,2" for command in imagenet_commands("formats")))
def signed_digits_by_seed(results: Path) -> pd.DataFrame:
    """Signed digits with several calibration sets: means, and points of top-1 lost against float (M = 4)."""
    rows = of(load_table(results / "formats", "all"), SwisSigned)
    lost = rows["model"].map(floats(load_table(results / "formats", "all"))) - rows["top1"]
    by = rows.assign(lost=lost).groupby(_KEYS)
    found = {"calibration sets": by["seed"].nunique(), "top-1 [%]": by["top1"].mean()}
    found |= {"points lost": by["lost"].mean(), "least": by["lost"].min(), "most": by["lost"].max()}
    return called(pd.DataFrame(found | {_SHOWN["logit_sqnr_db"]: by["logit_sqnr_db"].mean()}))


@values
def signed(results: Path) -> dict[str, str]:
    rows = _pivoted(results)
    reference = floats(load_table(results / "formats", "all"))
    top1, sqnr = rows["top1"], rows["logit_sqnr_db"]
    mine, plain = (top1[name].xs(2, level="bits") for name in (SwisSigned.name, Swis.name))
    said = {"lost_2": ends(reference[mine.index] - mine), "lost_plain_2": ends(reference[mine.index] - plain)}
    gained = sqnr[SwisSigned.name] - sqnr[Swis.name]
    return said | {f"db_{n}": ends(gained.xs(n, level="bits")) for n in (2, 3, 4)}
