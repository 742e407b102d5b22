"""How much a schedule of shifts over filters helps."""

from __future__ import annotations

from math import ceil
from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import called, ends, floats, imagenet_commands, of
from swis.analysis.settings import schedule_setting
from swis.evaluation.paired_tests import unpack_correct
from swis.formats.swis import Swis
from swis.formats.swis_signed import SwisSigned
from swis.options.choices import BudgetUnit, Policy
from swis.plots.names import label_of
from swis.results.intervals import Z
from swis.results.records import load_table

_KEYS = ["model", "data", "bits"]
_SHOWN = [2, 2.5, 3, 3.5, 4]
_FRACTIONS = [2.25, 2.5, 2.75, 3.25, 3.5, 3.75]
NETWORK_BY_MACS = "budget of the network, in MACs"
_POLICIES = {
    "uniform": "same shifts everywhere",
    "optimal": "budget per layer",
    "network": "budget of the network, in weights",
    NETWORK_BY_MACS: NETWORK_BY_MACS,
}
_ON_IMAGENET = "calibrate=none data.limit=null"
_COMMANDS = [
    "python run.py experiment=scheduling",
    f"python run.py experiment=[scheduling,efficientnet_lite0_imagenet] data.root=PATH {_ON_IMAGENET}"
    " model=efficientnet_lite0",
    "python run.py experiment=[scheduling,mobilenet_v2_imagenet] model.weights=WEIGHTS data.root=PATH"
    f" {_ON_IMAGENET} model=mobilenet_v2",
]


def scheduled(results: Path) -> pd.DataFrame:
    """Return the rows of all schedules, ``policy`` with what the budget is over if that is MACs."""
    rows = load_table(results / "scheduling", "all")
    by_macs = schedule_setting(rows, "budget_unit").eq(BudgetUnit.macs)
    return rows.assign(policy=rows["schedule"].mask(by_macs, NETWORK_BY_MACS))


def _by_policy(results: Path, column: str, title: str) -> pd.DataFrame:
    rows = scheduled(results)
    some = of(rows[rows["bits"].isin(_SHOWN)], Swis)
    found = some.pivot(index=_KEYS, columns="policy", values=column)[list(_POLICIES)]
    return called(pd.concat({title: found.rename(columns=_POLICIES).rename_axis(columns=None)}, axis=1))


@table(*_COMMANDS, *(f"{command} schedule=network schedule.budget_unit=macs" for command in _COMMANDS))
def scheduling_top1(results: Path) -> pd.DataFrame:
    """Top-1 accuracy of SWIS (M = 4) by schedule, without calibration of weights."""
    return _by_policy(results, "top1", "top-1 [%]")


@table()
def scheduling_cycles(results: Path) -> pd.DataFrame:
    """What the same networks take: cycles per multiply-accumulate."""
    return _by_policy(results, "cycles_per_mac", "time [cycles/MAC]")


def above_optimum(results: Path) -> pd.DataFrame:
    """Return by how many percent the greedy schedule's loss is above the optimum's, a column per budget."""
    rows = of(scheduled(results), Swis)
    rows = rows[rows["policy"].isin([Policy.greedy, Policy.optimal])]
    loss = rows.pivot(index=_KEYS, columns="policy", values="schedule_loss")
    excess = 100 * (loss[Policy.greedy] / loss[Policy.optimal] - 1)
    return excess.unstack("bits")


@table(decimals={f"excess loss [%] N = {bits:g}": 3 for bits in _FRACTIONS})
def scheduling_greedy(results: Path) -> pd.DataFrame:
    """By how much the greedy schedule's total loss is above the optimum's, each layer with its own budget."""
    found = above_optimum(results)[_FRACTIONS].rename(columns="N = {:g}".format)
    return called(pd.concat({"excess loss [%]": found.rename_axis(columns=None)}, axis=1))


@table(
    *(
        f"{command} bits=2.5 schedule=network methods=[swis] results_dir=results/calibration"
        for command in imagenet_commands()
    )
)
def scheduling_calibrated(results: Path) -> pd.DataFrame:
    """SWIS with 2.5 shifts per weight on average, scheduled over the network, and calibrated."""
    rows = load_table(results / "calibration").query("data == 'imagenet'")
    mine = of(rows, Swis).query("bits == 2.5").set_index("model")
    columns = {
        "top1": "top-1 [%]",
        "cycles_per_weight": "time [cycles/weight]",
        "cycles_per_mac": "time [cycles/MAC]",
        "weight_bits": "storage [bits/weight]",
    }
    found = mine[list(columns)].rename(columns=columns)
    found.insert(1, "float top-1 [%]", floats(rows))
    return called(found)


def _beside_line(mine: pd.Series, ends: pd.DataFrame) -> dict[str, float]:
    """Return a schedule's top-1 [%] and logits' SQNR [dB], beside those of the same shifts everywhere.

    The line lies between the whole numbers of shifts around it, at equal cycles per multiply-accumulate. The
    interval of the difference is a normal one, over the images' differences: each image counts as correct on
    the line by the share of both ends.
    """
    fewer, more = ends.loc[ceil(mine["bits"]) - 1], ends.loc[ceil(mine["bits"])]
    share = (mine["cycles_per_mac"] - fewer["cycles_per_mac"]) / (
        more["cycles_per_mac"] - fewer["cycles_per_mac"]
    )

    def on_line(column: str) -> float:
        return (1 - share) * fewer[column] + share * more[column]

    right = [unpack_correct(row["correct"]).astype(float) for row in (mine, fewer, more)]
    ahead = 100 * (right[0] - (1 - share) * right[1] - share * right[2])
    reach = Z * ahead.std(ddof=1) / len(ahead) ** 0.5
    return {
        "top-1 [%]": mine["top1"],
        "top-1 of the line [%]": on_line("top1"),
        "ahead [points]": ahead.mean(),
        "low": ahead.mean() - reach,
        "high": ahead.mean() + reach,
        "SQNR [dB]": mine["logit_sqnr_db"],
        "SQNR of the line [dB]": on_line("logit_sqnr_db"),
    }


def _at_logits(results: Path) -> pd.DataFrame:
    rows = of(load_table(results / "scheduling_calibrated", "all"), Swis, SwisSigned)
    known = load_table(results / "formats", "all").query("seed == 0").set_index(["model", "method", "bits"])
    found = {
        (row["model"], label_of(row["method"]), row["bits"]): _beside_line(
            row, known.loc[row["model"], row["method"]]
        )
        for _, row in rows.sort_values(["model", "method", "bits"]).iterrows()
    }
    return pd.DataFrame.from_dict(found, orient="index").rename_axis(index=["model", "format", "bits"])


@table(
    *imagenet_commands("scheduling_calibrated"),
    *(
        f"{command} methods=[swis_signed] bits=1.5,2"
        for command in imagenet_commands("scheduling_calibrated")
    ),
)
def scheduling_at_logits(results: Path) -> pd.DataFrame:
    """Calibrated schedules beside the same shifts everywhere, at equal cycles per multiply-accumulate."""
    found = _at_logits(results)
    ends_ = found.pop("low").map("{:+.1f}".format) + " to " + found.pop("high").map("{:+.1f}".format)
    found["ahead [points]"] = found["ahead [points]"].map("{:+.1f}".format) + " (" + ends_ + ")"
    return called(found)


@values
def scheduling(results: Path) -> dict[str, str]:
    rows = of(scheduled(results), Swis).query("bits == 3")
    top1 = rows.pivot(index=["model", "data"], columns="policy", values="top1")
    found = _at_logits(results)
    return {
        "macs_gain": ends(top1[NETWORK_BY_MACS] - top1[Policy.uniform]),
        "greedy_excess": f"{above_optimum(results).max().max():.2f}",
        "logits_db": ends(found["SQNR [dB]"] - found["SQNR of the line [dB]"]),
        "logits_points": ends(found["ahead [points]"]),
    }
