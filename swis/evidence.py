"""What rows of results say of the paper's five claims, and the commands that make these rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import nan
from pathlib import Path

import pandas as pd

from swis.ablation import fully_calibrated
from swis.compare import compare
from swis.errors import InputError
from swis.records import load_simulated, load_storage, load_table
from swis.seeds import gap
from swis.tradeoff import LOSSES, fair_gains, most_gained, with_accuracy

# The network that the abstract's accuracies are of, and the one beside it that ratios are judged by as well.
NETWORK = "mobilenet_v2"
_OTHER = "efficientnet_lite0"
_LOSS = 1.0  # points of top-1 that the values shown may cost, of LOSSES

_FILES = {NETWORK: "model.weights=WEIGHTS data.root=PATH", _OTHER: "data.root=PATH"}
_RANGE = f"{min(LOSSES):g} to {max(LOSSES):g} points lost, {_OTHER} as well"


@dataclass(frozen=True)
class Span:
    """A value and its ends: a 95 % interval of accuracies; of ratios the least and most over ``LOSSES``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """A claim of the paper's and what our rows say of it.

    ``most`` is what they show without equal care, ``fair`` compares ``against`` a rival of equal calibration,
    training, area and accuracy, and ``over_uniform`` compares with a uniform quantizer in its place. Points
    have a zero, ratios a one where nothing is gained (``no_gain``). The rows are those behind the numbers, as
    their ``config`` says; the commands, with a semicolon between them, make them and the ends of spans.
    """

    claim: str
    unit: str
    paper: float
    most: float
    most_setting: str
    most_command: str
    most_rows: pd.DataFrame
    fair: Span
    fair_setting: str
    fair_command: str
    fair_rows: pd.DataFrame
    against: str
    over_uniform: Span

    @property
    def no_gain(self) -> float:
        return 0.0 if self.unit == "points" else 1.0


def evidence(results: Path) -> list[Evidence]:
    """Return the five claims in METHOD's order; raise ``InputError`` if rows are missing.

    "most" is of SWIS at M = 4, of designs in equal units at any loss, of plain coding with M up to 16.
    """
    calibrated = load_table(results / "calibration").query("data == 'imagenet' and seed == 0")
    published, area = (load_simulated(results / "hardware" / name) for name in ("as_published", "equal_area"))
    equal = with_accuracy(area, fully_calibrated(calibrated))
    return [
        _post_training(calibrated),
        _retrained(load_table(results / "retrain")),
        _hardware("speedup", 6.0, "latency_ms", published, equal),
        _hardware("energy improvement", 1.9, "energy_pj", published, equal),
        _compression(calibrated, load_storage(results / "storage")),
    ]


def _post_training(calibrated: pd.DataFrame) -> Evidence:
    four = calibrated[calibrated["group_size"].isna() | calibrated["group_size"].eq(4)]
    four = four.query("model == @NETWORK and bits == 4 and rewrites == ''")
    settings = ["granularity", "calibrate"]
    best = four.sort_values("top1").groupby([*settings, "method"]).tail(1).set_index([*settings, "method"])
    top1 = best["top1"].unstack()
    gaps = (top1["swis"] - top1["truncate"]).dropna()
    granularity, calibrate = gaps.idxmax()
    most = best.loc[[(granularity, calibrate, method) for method in ("swis", "truncate")]].reset_index()
    fair = fully_calibrated(calibrated).query("model == @NETWORK and bits == 4").set_index("method")
    over_truncation, over_uniform = (
        compare(fair.at["swis", "correct"], fair.at[other, "correct"]) for other in ("truncate", "uniform")
    )
    return Evidence(
        claim="accuracy over truncation, 4 bits, post-training",
        unit="points",
        paper=54.3,
        most=gaps.max(),
        most_setting=f"one scale per {granularity}, calibrate={calibrate}",
        most_command=_imagenet(
            NETWORK,
            "calibration",
            f"bits=4 granularity={granularity} calibrate={calibrate} methods=[swis,truncate]",
        ),
        most_rows=most,
        fair=Span(over_truncation.difference, over_truncation.low, over_truncation.high),
        fair_setting=f"one scale per channel, all calibrated; ImageNet, {fair['images'].iloc[0]} photographs",
        fair_command=_imagenet(
            NETWORK, "calibration", "bits=4 calibrate=output_aware methods=[swis,truncate,uniform]"
        ),
        fair_rows=fair.loc[["swis", "truncate", "uniform"]].reset_index(),
        against="truncate",
        over_uniform=Span(over_uniform.difference, over_uniform.low, over_uniform.high),
    )


def _retrained(rows: pd.DataFrame) -> Evidence:
    two = rows.query("model == @NETWORK and bits == 2 and method in ('swis', 'truncate', 'uniform')")
    before, after = (two[two["training"].isna()], two[two["training"].notna()])
    over_truncation, over_uniform = (_over(after, other) for other in ("truncate", "uniform"))
    here = after[after["data"] == "imagenet"]
    top1 = here.set_index(["method", "seed"])["top1"].unstack("method")
    gaps = top1["swis"] - top1["truncate"]
    seed, seeds = gaps.idxmax(), ",".join(str(seed) for seed in sorted(here["seed"].unique()))
    recipe = json.loads(here["retrain"].iloc[0])
    small = _over(after, "truncate", "fashion_mnist").value
    where = "results_dir=results/retrain bits=2"
    return Evidence(
        claim="accuracy over truncation, 2 bits, retrained",
        unit="points",
        paper=19.8,
        most=gaps.max(),
        most_setting=f"seed {seed} of the fair rows",
        most_command=_imagenet(NETWORK, "retrain_folded", f"{where} seed={seed} methods=[swis,truncate]"),
        most_rows=here.query("seed == @seed and method != 'uniform'"),
        fair=over_truncation,
        fair_setting=f"all calibrated, then retrained alike for {recipe['epochs']} epochs; ImageNet; "
        f"{_over(before, 'truncate').value:+.1f} before retraining; {small:+.1f} on Fashion-MNIST",
        fair_command=_imagenet(
            NETWORK, "retrain_folded", f"{where} seed={seeds} methods=[swis,truncate,uniform] --multirun"
        ),
        fair_rows=here,
        against="truncate",
        over_uniform=over_uniform,
    )


def _over(rows: pd.DataFrame, other: str, data: str = "imagenet") -> Span:
    found = gap(rows, "swis", other, ["data"])
    if data not in found.index:
        raise InputError(f"no rows of swis and {other} at two shifts on {data}")
    line = found.loc[data]
    return Span(line["mean"], line["low"], line["high"])


def _hardware(name: str, paper: float, by: str, published: pd.DataFrame, equal: pd.DataFrame) -> Evidence:
    most, found = most_gained(published, by), fair_gains(equal, by)
    ours = "swis_c" if found["accelerator"].eq("swis_c").any() else "swis_ss"
    fair = found.query("network == @NETWORK and points == @_LOSS").iloc[0]
    return Evidence(
        claim=f"{name} over bit-serial accelerators",
        unit="x",
        paper=paper,
        most=most["gain"],
        most_setting=f"{most['accelerator']} N={most['bits']:g} over {most['accelerator_over']}, 8-bit; "
        f"{most['network']}, any loss, equal units",
        most_command=_simulations(most["network"], most["accelerator"], "hardware", f"{most['bits']:g}"),
        most_rows=_lines(published, most),
        fair=_span(fair["gain"], found["gain"]),
        fair_setting=f"equal area, at most {_LOSS:g} point lost by either; {fair['accelerator']}; "
        f"range: {_RANGE}",
        fair_command="; ".join(
            _simulations(network, ours, "equal_area", "1,2,3,4") for network in (NETWORK, _OTHER)
        ),
        fair_rows=_lines(equal, fair),
        against=fair["accelerator_over"],
        over_uniform=_span(fair["gain_over_unshared"], found["gain_over_unshared"]),
    )


def _compression(calibrated: pd.DataFrame, storage: pd.DataFrame) -> Evidence:
    stored = storage.query("weights != 'gaussian' and coding == 'plain' and group_size <= 16")
    most = stored.loc[stored["compression"].idxmax()]
    # no other schedule is measured for the uniform quantizer
    rows = fully_calibrated(calibrated, group_size=None).query("schedule == 'uniform' or method == 'float'")
    pairs = pd.DataFrame(
        _smallest(rows, network, points) for network in (NETWORK, _OTHER) for points in LOSSES
    )
    shown = pairs.query("network == @NETWORK and points == @_LOSS").iloc[0]
    over_uniform = pairs["swis"] / pairs["uniform"]
    grid = "bits=1,2,3,4 group_size=2,4,8,16 calibrate=output_aware methods=[swis,swis_c,uniform]"
    return Evidence(
        claim="weight compression at similar accuracy",
        unit="x",
        paper=3.7,
        most=most["compression"],
        most_setting=f"{most['model']}, N={most['bits']:g}, M={most['group_size']}, any loss",
        most_command=f"python run.py experiment=storage model={most['model']}",
        most_rows=most.to_frame().T,
        fair=_span(shown["swis"], pairs["swis"]),
        fair_setting=f"over 8-bit weights; {shown['method']}, M 2 to 16, calibrated, "
        f"at most {_LOSS:g} point lost; range: {_RANGE}",
        fair_command="; ".join(_imagenet(network, "calibration", grid) for network in (NETWORK, _OTHER)),
        fair_rows=rows[rows["key"].isin([shown["key"], shown["uniform_key"]])],
        against="8-bit weights",
        over_uniform=_span(shown["swis"] / shown["uniform"], over_uniform),
    )


def _smallest(rows: pd.DataFrame, network: str, points: float) -> dict[str, object]:
    """Return the most that SWIS, and a uniform quantizer, compress a network that loses no more points."""
    some = rows[rows["model"] == network]
    reference = some.loc[some["method"] == "float", "top1"].item()
    good = some[some["top1"] >= reference - points - 1e-9].sort_values("compression")
    swis, uniform = (
        good[good["method"].isin(names)].iloc[-1] for names in (("swis", "swis_c"), ("uniform",))
    )
    return {
        "network": network,
        "points": points,
        "swis": swis["compression"],
        "uniform": uniform["compression"],
        "method": swis["method"],
        "key": swis["key"],
        "uniform_key": uniform["key"],
    }


def _span(value: float, values: Iterable[float] = (nan,)) -> Span:
    return Span(value, min(values), max(values))


def _lines(table: pd.DataFrame, pair: pd.Series) -> pd.DataFrame:
    """Return the simulated lines of both sides of a pair."""
    sides = [
        table["network"].eq(pair["network"])
        & table["accelerator"].eq(pair[f"accelerator{side}"])
        & table["method"].eq(pair[f"method{side}"])
        & table["bits"].eq(pair[f"bits{side}"])
        for side in ("", "_over")
    ]
    return table[sides[0] | sides[1]]


def _simulations(network: str, accelerator: str, experiment: str, bits: str) -> str:
    """Return the commands of simulated designs: all but ``swis_c`` are in ``versus`` of the first."""
    if network in _FILES:
        command = _imagenet(network, experiment, f"bits={bits}")
    else:
        command = f"python run.py experiment={experiment} model={network} workload={network} bits={bits}"
    if accelerator != "swis_c":
        return command
    return f"{command}; {command} accelerator=swis_c versus=[] methods=[swis,swis_c]"


def _imagenet(network: str, experiment: str, overrides: str) -> str:
    return f"python run.py experiment=[{network}_imagenet,{experiment}] {_FILES[network]} {overrides}"
