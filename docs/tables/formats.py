"""Formats beyond SWIS: signed digits."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import called, ends, floats, imagenet_commands, of
from swis.evaluation.paired_tests import compare
from swis.formats.swis import Swis
from swis.formats.swis_signed import SwisSigned
from swis.plots.names import label_of
from swis.results.records import load_table

_KEYS = ["model", "bits"]
_SHOWN = {
    "top1": "top-1 [%]",
    "logit_sqnr_db": "SQNR of the logits [dB]",
    "weight_bits": "storage [bits/weight]",
}
_ORDER = [Swis.name, SwisSigned.name]


def _pivoted(results: Path) -> pd.DataFrame:
    return of(load_table(results / "formats", "all"), Swis, SwisSigned).pivot(index=_KEYS, columns="method")


@table(*imagenet_commands("formats"))
def signed_digits(results: Path) -> pd.DataFrame:
    """Calibrated networks at N cycles per weight, plain and signed digits (M = 4, seed 0)."""
    rows = _pivoted(results)
    found = {title: rows[column][_ORDER].rename(columns=label_of) for column, title in _SHOWN.items()}
    table = pd.concat(found, axis=1).rename_axis(columns=[None, None])
    return called(table)


@table()
def signed_digits_paired(results: Path) -> pd.DataFrame:
    """Signed digits compared with plain SWIS at the same cycles, image by image."""
    correct = _pivoted(results)["correct"]
    pairs = [
        compare(one, other) for one, other in zip(correct[SwisSigned.name], correct[Swis.name], strict=True)
    ]
    found = {
        "difference [points]": [f"{one.difference:+.1f}" for one in pairs],
        "95 % interval [points]": [f"{one.low:+.1f} to {one.high:+.1f}" for one in pairs],
        "p": [f"{one.p_value:.2g}" for one in pairs],
    }
    return called(pd.DataFrame(found, correct.index))


@values
def signed(results: Path) -> dict[str, str]:
    rows = _pivoted(results)
    reference = floats(load_table(results / "formats", "all"))
    top1, sqnr = rows["top1"], rows["logit_sqnr_db"]
    mine, plain = (top1[name].xs(2, level="bits") for name in (SwisSigned.name, Swis.name))
    said = {"lost_2": ends(reference[mine.index] - mine), "lost_plain_2": ends(reference[mine.index] - plain)}
    gained = sqnr[SwisSigned.name] - sqnr[Swis.name]
    return said | {f"db_{n}": ends(gained.xs(n, level="bits")) for n in (2, 3, 4)}
