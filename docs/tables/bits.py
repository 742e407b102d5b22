"""Accuracy over stored bits: entropy-coded weights whose levels are chosen for error + rate x bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import called, ends, floats, imagenet_commands, of
from swis.formats.swis_signed import SwisSigned
from swis.formats.uniform import Uniform
from swis.plots.names import format_name
from swis.results.records import load_table

_SHOWN = {
    "weight_bits": "storage [bits/weight]",
    "cycles_per_weight": "cycles per weight",
    "top1": "top-1 [%]",
    "held_out_agreement": "agreement [%]",
    "held_out_kl": "KL [nats]",
}
_AT = 3.0  # bits per weight at which formats are compared
_TWO = 2  # shifts
_ALIKE = 0.8  # ratio of KL from which on one side counts as ahead
_COMMANDS = [
    *imagenet_commands("rate"),
    f"{imagenet_commands('rate')[1]} methods=[uniform] bits=3 calibration.rate=0.05",
]
_FORMAT, _RATE = "format", "rate"
_LOGITS = "rate_logits"  # folder of the rows whose bits are weighed against the logits
_UNIFORM_AT = 0.1  # rate at whose bits formats are compared there


def bits_rows(results: Path, folder: str = "rate") -> pd.DataFrame:
    """Return the rows of formats with shifts; their rate is 0 where bits have no price."""
    rows = load_table(results / folder, "all").dropna(subset="bits")
    rows = rows[rows["coding"].notna() & rows["seed"].eq(0)].fillna({_RATE: 0.0})
    names = [format_name(method, bits) for method, bits in zip(rows["method"], rows["bits"], strict=True)]
    return rows.assign(**{_FORMAT: names}).sort_values(["model", "bits", "method", _RATE])


def at_bits(rows: pd.DataFrame, bits: float) -> pd.Series:
    """Return the columns of a format at so many stored bits, between two neighbouring rates.

    Top-1 and agreement are interpolated linearly, and the logarithm of KL is. A format that does not reach
    the bits has no numbers.

    >>> rows = pd.DataFrame({"weight_bits": [2.0, 4.0], "top1": [70.0, 80.0], "held_out_kl": [0.4, 0.1]})
    >>> rows = rows.assign(cycles_per_weight=2.0, held_out_agreement=90.0)
    >>> at_bits(rows, 3.0)[["top1", "held_out_kl"]].round(3).tolist()
    [75.0, 0.2]
    """
    line = rows.sort_values("weight_bits")
    known = line["weight_bits"].to_numpy()
    if not known[0] <= bits <= known[-1]:
        return pd.Series({name: np.nan for name in _SHOWN if name != "weight_bits"})
    found = {name: np.interp(bits, known, line[name]) for name in _SHOWN if name != "weight_bits"}
    return pd.Series(found | {"held_out_kl": np.exp(np.interp(bits, known, np.log(line["held_out_kl"])))})


def _at_three(results: Path) -> pd.DataFrame:
    rows = bits_rows(results)
    found = [
        at_bits(line, _AT).rename((model, name))
        for (model, name), line in rows.groupby(["model", _FORMAT], sort=False)
    ]
    table = pd.DataFrame(found)
    table.index = pd.MultiIndex.from_tuples(table.index, names=["model", _FORMAT])
    return table.dropna()


@table(*_COMMANDS, decimals={_SHOWN["held_out_kl"]: 3})
def bits_at_three(results: Path) -> pd.DataFrame:
    """Entropy-coded formats at 3.0 stored bits per weight, interpolated between rates."""
    return called(_at_three(results).rename(columns=_SHOWN))


def _by_rate(rows: pd.DataFrame) -> pd.DataFrame:
    return called(rows.set_index(["model", _FORMAT, _RATE])[list(_SHOWN)].rename(columns=_SHOWN))


@table(*_COMMANDS, decimals={_SHOWN["held_out_kl"]: 3})
def bits_of_two_shifts(results: Path) -> pd.DataFrame:
    """Two cycles per weight, entropy-coded, at several rates (M = 4, 8-bit activations, seed 0)."""
    return _by_rate(bits_rows(results).query("bits == 2"))


@table(decimals={_SHOWN["held_out_kl"]: 3})
def bits_of_three_shifts(results: Path) -> pd.DataFrame:
    """Three cycles per weight, entropy-coded, at several rates (M = 4, 8-bit activations, seed 0)."""
    return _by_rate(bits_rows(results).query("bits == 3"))


@table(
    *(f"{command} methods=[swis_signed]" for command in imagenet_commands("rate_logits")),
    *(f"{command} methods=[uniform] bits=3" for command in imagenet_commands("rate_logits")),
    f"{imagenet_commands('rate_logits')[1]} methods=[swis_signed] bits=3 calibration.rate=0.05",
    decimals={_SHOWN["held_out_kl"]: 3},
)
def bits_against_logits(results: Path) -> pd.DataFrame:
    """Bits weighed against what errors do to the logits, entropy-coded (M = 4, 8-bit activations, seed 0)."""
    return _by_rate(bits_rows(results, _LOGITS))


@values
def logits_rate(results: Path) -> dict[str, str]:
    """Compare signed digits with the uniform quantizer, both at three cycles and weighed against the logits.

    They are compared at the bits that the uniform quantizer takes at the rate ``_UNIFORM_AT``.
    """
    rows = bits_rows(results, _LOGITS)
    theirs = of(rows[rows[_RATE] == _UNIFORM_AT], Uniform).set_index("model")

    def ours(folder: str) -> pd.DataFrame:
        mine = of(bits_rows(results, folder).query("bits == 3"), SwisSigned)
        lines = {name: at_bits(line, theirs["weight_bits"][name]) for name, line in mine.groupby("model")}
        return pd.DataFrame(lines).T

    found = ours(_LOGITS)
    lost = floats(load_table(results / _LOGITS, "all")) - found["top1"]
    said = {"bits": ends(theirs["weight_bits"]), "lost": ends(lost)}
    said |= {"kl": ends(found["held_out_kl"], 2), "kl_theirs": ends(theirs["held_out_kl"], 2)}
    return said | {"kl_before": ends(ours("rate")["held_out_kl"], 2)}


@values
def bits(results: Path) -> dict[str, str]:
    """Compare, at 3.0 bits, the best shared-set format with two shifts and the best uniform quantizer."""
    found, rows = _at_three(results), bits_rows(results)
    uniform = rows["method"] == Uniform.name
    names = {
        "ours": set(rows.loc[~uniform & (rows["bits"] == _TWO), _FORMAT]),
        "theirs": set(rows.loc[uniform, _FORMAT]),
    }
    best = {
        side: found[found.index.get_level_values(_FORMAT).isin(names[side])].sort_values("held_out_kl")
        for side in names
    }
    best = {side: part.groupby("model").first() for side, part in best.items()}
    fixed = rows[uniform & (rows["bits"] == _TWO) & (rows[_RATE] == 0)].set_index("model")
    reference = floats(load_table(results / "rate", "all"))
    lost = {side: reference - part["top1"] for side, part in (*best.items(), ("fixed", fixed))}
    kl = {side: part["held_out_kl"] for side, part in best.items()}
    said = {f"lost_{side}": ends(points.dropna()) for side, points in lost.items()}
    said |= {f"kl_{side}": ends(values, 2) for side, values in kl.items()}
    said["cycles_theirs"] = ends(best["theirs"]["cycles_per_weight"], 0)
    ahead = kl["ours"] / kl["theirs"]
    said["answer"] = _answer(ahead.min(), ahead.max())
    return said


def _answer(least: float, most: float) -> str:
    """Return the answer for KL of SWIS over that of the uniform quantizer, the least and the most.

    >>> _answer(0.9, 1.1)
    'with entropy coding SWIS and the uniform quantizer are on par, and SWIS takes a cycle less'
    """
    if most < _ALIKE:
        return "with entropy coding SWIS, which takes a cycle less as well"
    if least > 1 / _ALIKE:
        return "with entropy coding the uniform quantizer, which takes a cycle more"
    return "with entropy coding SWIS and the uniform quantizer are on par, and SWIS takes a cycle less"
