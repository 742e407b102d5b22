"""The best shared-set format beside the best rival, with SWIS as published."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.bits import at_bits, bits_rows
from docs.tables.rows import called, ends, floats, imagenet_commands
from swis.analysis.ablation import fully_calibrated
from swis.formats.registry import formats
from swis.formats.swis import Swis
from swis.plots.names import format_name, label_of
from swis.results.records import load_table

_KEYS = ["model", "bits"]
_CYCLES = (2, 3, 4)
_SEEDS = 3  # calibration sets that a format has rows of
_AT = 3.2  # stored bits per weight at which entropy-coded formats are compared
_SWIS, _OURS, _RIVAL = label_of(Swis.name), "best shared-set format", "best rival"
_LOST, _KL = "points lost", "KL [nats]"


def _shares_sets(method: str) -> bool:
    fmt = formats()[method]()
    return fmt.grouped and not fmt.scaled_groups


def _sides(found: pd.DataFrame, column: str, index: list[str]) -> pd.DataFrame:
    """Return the least ``column`` of SWIS, of the formats with shift sets and of all others, by ``index``.

    ``found`` has the columns ``method`` and ``format``, its name.
    """
    shared = found["method"].map(_shares_sets)
    sides = {_SWIS: found[found["method"] == Swis.name], _OURS: found[shared], _RIVAL: found[~shared]}
    shown = {}
    for name, rows in sides.items():
        best = rows.sort_values(column).groupby(index).first()
        if name != _SWIS:
            shown[name] = best["format"]
        shown[f"{name}: {column}"] = best[column]
    return pd.DataFrame(shown).dropna()


def _at_cycles(results: Path) -> pd.DataFrame:
    calibrated = load_table(results / "calibration", "all").query("data == 'imagenet'")
    shared = load_table(results / "formats", "all")
    rows = pd.concat([fully_calibrated(calibrated, seed=None), shared])
    rows = rows[rows["bits"].isin(_CYCLES)].drop_duplicates([*_KEYS, "method", "seed"])
    lost = rows["model"].map(floats(shared)) - rows["top1"]
    found = rows.assign(lost=lost).groupby([*_KEYS, "method"])["lost"].agg(["mean", "count"]).reset_index()
    found = found[found["count"] >= _SEEDS]
    names = list(map(format_name, found["method"], found["bits"]))
    return _sides(found.assign(format=names).rename(columns={"mean": _LOST}), _LOST, _KEYS)


@table(
    *(f"{command} seed=0,1,2" for command in imagenet_commands("calibration")),
    *(f"{command} seed=0,1,2" for command in imagenet_commands("formats")),
)
def best_at_cycles(results: Path) -> pd.DataFrame:
    """Top-1 lost against float at N cycles per weight, means over three calibration sets."""
    return called(_at_cycles(results))


def _at_bits(results: Path) -> pd.DataFrame:
    found = []
    for (model, name), line in bits_rows(results).groupby(["model", "format"]):
        kl = at_bits(line, _AT)["held_out_kl"]
        found.append({"model": model, "format": name, "method": line["method"].iloc[0], _KL: kl})
    return _sides(pd.DataFrame(found).dropna(), _KL, ["model"])


@table(
    *imagenet_commands("rate"),
    decimals={f"{side}: {_KL}": 3 for side in (_SWIS, _OURS, _RIVAL)},
)
def best_at_bits(results: Path) -> pd.DataFrame:
    """KL from the float network at 3.2 stored bits per weight, entropy-coded, at any number of cycles."""
    return called(_at_bits(results))


@values
def best(results: Path) -> dict[str, str]:
    """Say how much the best formats of both sides lose at two cycles, and their KL at ``_AT`` bits."""
    lost, kl = _at_cycles(results).xs(2, level="bits"), _at_bits(results)
    said = {"bits": f"{_AT:g}"}
    for name, side in {"swis": _SWIS, "ours": _OURS, "rival": _RIVAL}.items():
        said[f"lost_{name}"] = ends(lost[f"{side}: {_LOST}"])
        said[f"kl_{name}"] = ends(kl[f"{side}: {_KL}"], 2)
    return said
