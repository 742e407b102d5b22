"""Five claims of the paper compared with rows of results, and the commands that make these rows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from swis.analysis.ablation import fully_calibrated
from swis.analysis.trade_offs import CONSECUTIVE, LOSSES, fair_gains, most_gained, with_accuracy
from swis.errors import InputError
from swis.evaluation.seeds import gap
from swis.formats.float32 import Float
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.options.choices import Policy
from swis.results.records import COLUMNS, load_simulated, load_storage, load_table

# The network of the accuracies in the paper's abstract, and a second network for the ranges of ratios.
NETWORK = "mobilenet_v2"
_OTHER = "efficientnet_lite0"
_LOSS = 1.0  # the loss of top-1 [points], one of LOSSES, that the shown ratios allow

# The formats that the claims about accuracy compare.
_COMPARED = [Swis.name, Truncate.name, Uniform.name]

_FILES = {NETWORK: "model.weights=WEIGHTS data.root=PATH", _OTHER: "data.root=PATH"}
_FORMATS = "bits=1,2,3,4 calibrate=output_aware methods=[swis,swis_c,truncate,round,uniform]"
_RANGE = f"{min(LOSSES):g} to {max(LOSSES):g} points lost, {_OTHER} as well"


@dataclass(frozen=True)
class Span:
    """A value and its range: the 95 % interval of points, or the least and largest ratio over ``LOSSES``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """A claim of the paper, and our values for it.

    * ``paper``: the value of the paper, "up to" which it claims a gain.
    * ``most``: our best case, the largest gain in our rows, also over rivals without the same calibration or
      area.
    * ``fair``: our fair comparison, the gain over the rival ``against`` with the same calibration, training,
      area and accuracy, of the format ``method`` with ``bits`` on the array ``design``, if it is of hardware.
    * ``over_plain``: the same over ``plain``, what a practitioner would use instead of SWIS.
    * ``no_gain``: 0 for points, 1 for ratios.
    * ``most_rows``, ``fair_rows``: the rows behind the values, without those behind the ranges.
    * ``most_command``, ``fair_command``: commands, separated by semicolons, that make these rows and those
      behind the ranges.
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
    design: str
    method: str
    bits: float
    against: str
    plain: str
    over_plain: Span

    @property
    def no_gain(self) -> float:
        return 0.0 if self.unit == "points" else 1.0


def evidence(results: Path) -> list[Evidence]:
    """Return five claims of the paper; raise ``InputError`` if rows are missing.

    Four are from its abstract on arXiv, that of compression is from a public summary of its introduction.

    The values ``most`` are for SWIS with M = 4, for accelerators at any loss of accuracy, and for plain
    coding with M up to 16.
    """
    try:
        found = _claims(results)
    except InputError:
        raise
    except (IndexError, KeyError, ValueError) as error:
        raise InputError(f"rows for the claims are missing in {results}: {error}") from error
    for each in found:
        if any(isnan(number) for span in (each.fair, each.over_plain) for number in vars(span).values()):
            raise InputError(f"rows for the claim {each.claim!r} are missing in {results}")
    return found


def _claims(results: Path) -> list[Evidence]:
    rows = load_table(results / "calibration", COLUMNS).query("data == 'imagenet'")
    calibrated = rows[rows["seed"] == 0]
    published, area = (load_simulated(results / "hardware" / name) for name in ("as_published", "equal_area"))
    equal = with_accuracy(area, fully_calibrated(calibrated))
    return [
        _post_training(rows),
        _retrained(load_table(results / "retrain", COLUMNS)),
        _hardware("speedup", 6.0, "latency_ms", published, area, equal),
        _hardware("energy improvement", 1.9, "energy_pj", published, area, equal),
        _compression(calibrated, load_storage(results / "storage")),
    ]


def _post_training(calibrated: pd.DataFrame) -> Evidence:
    four = calibrated[calibrated["group_size"].isna() | calibrated["group_size"].eq(4)]
    four = four.query("model == @NETWORK and bits == 4 and rewrites == ''")
    settings = ["granularity", "calibrate"]
    best = (
        four[four["seed"] == 0]
        .sort_values("top1")
        .groupby([*settings, "method"])
        .tail(1)
        .set_index([*settings, "method"])
    )
    top1 = best["top1"].unstack()
    gaps = (top1[Swis.name] - top1[Truncate.name]).dropna()
    granularity, calibrate = gaps.idxmax()
    most = best.loc[[(granularity, calibrate, method) for method in (Swis.name, Truncate.name)]].reset_index()
    fair = fully_calibrated(four, seed=None).query("method in @_COMPARED")
    seeds = [str(seed) for seed in sorted(fair["seed"].unique())]
    return Evidence(
        claim="accuracy over truncation, 4 bits, post-training",
        paper=54.3,
        most=gaps.max(),
        most_setting=f"one scale per {granularity}, calibrate={calibrate}",
        most_command=_imagenet(
            NETWORK,
            "calibration",
            f"bits=4 granularity={granularity} calibrate={calibrate} methods=[swis,truncate]",
        ),
        most_rows=most,
        fair_setting=f"one scale per channel, all calibrated on {len(seeds)} calibration sets; ImageNet, "
        f"{fair['images'].iloc[0]} photographs",
        fair_command=_imagenet(
            NETWORK,
            "calibration",
            f"bits=4 calibrate=output_aware seed={','.join(seeds)} methods=[swis,truncate,uniform]",
        ),
        **_over_truncation(fair),
    )


def _retrained(rows: pd.DataFrame) -> Evidence:
    two = rows.query("model == @NETWORK and bits == 2 and method in @_COMPARED")
    before, after = (two[two["training"].isna()], two[two["training"].notna()])
    here = after[after["data"] == "imagenet"]
    top1 = here.set_index(["method", "seed"])["top1"].unstack("method")
    gaps = top1[Swis.name] - top1[Truncate.name]
    seed, seeds = gaps.idxmax(), ",".join(str(seed) for seed in sorted(here["seed"].unique()))
    recipe = json.loads(here["retrain"].iloc[0])
    small = _over(after, Truncate.name, "fashion_mnist").value
    where = "results_dir=results/retrain bits=2"
    return Evidence(
        claim="accuracy over truncation, 2 bits, retrained",
        paper=19.8,
        most=gaps.max(),
        most_setting=f"seed {seed} alone",
        most_command=_imagenet(NETWORK, "retrain_folded", f"{where} seed={seed} methods=[swis,truncate]"),
        most_rows=here[here["seed"].eq(seed) & here["method"].ne(Uniform.name)],
        fair_setting=f"all calibrated, then retrained alike for {recipe['epochs']} epochs; ImageNet; "
        f"{_over(before, Truncate.name).value:+.1f} before retraining; {small:+.1f} on Fashion-MNIST",
        fair_command=_imagenet(
            NETWORK, "retrain_folded", f"{where} seed={seeds} methods=[swis,truncate,uniform] --multirun"
        ),
        **_over_truncation(here),
    )


def _over_truncation(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the fields that both claims about accuracy share: the comparisons with other formats."""
    fair, over_plain = (_over(rows, other) for other in (Truncate.name, Uniform.name))
    shared = {"unit": "points", "design": "", "method": Swis.name, "bits": rows["bits"].max()}
    shared |= {"against": Truncate.name, "plain": Uniform.name}
    return shared | {"fair": fair, "fair_rows": rows, "over_plain": over_plain}


def _over(rows: pd.DataFrame, other: str, data: str = "imagenet") -> Span:
    found = gap(rows, Swis.name, other, ["data"])
    if data not in found.index:
        raise InputError(f"no rows of {Swis.name} and {other} on {data}")
    line = found.loc[data]
    return Span(line["mean"], line["low"], line["high"])


def _hardware(
    name: str, paper: float, by: str, published: pd.DataFrame, area: pd.DataFrame, equal: pd.DataFrame
) -> Evidence:
    tables = {"hardware": published, "equal_area": area}
    mosts = {experiment: most_gained(table, by) for experiment, table in tables.items()}
    experiment = max(mosts, key=lambda name: mosts[name]["gain"])
    most = mosts[experiment]
    found = fair_gains(equal, by)
    fair = found.query("network == @NETWORK and points == @_LOSS").iloc[0]
    commands = []
    for network in (NETWORK, _OTHER):
        commands.append(_imagenet(network, "calibration", _FORMATS))
        commands.append(_simulations(network, CONSECUTIVE, "equal_area", "1,2,3,4"))
    return Evidence(
        claim=f"{name} over bit-serial accelerators",
        unit="x",
        paper=paper,
        most=most["gain"],
        most_setting=f"{most['accelerator']} N={most['bits']:g} over {most['accelerator_over']}, 8-bit; "
        f"{most['network']}, any loss, {'equal area' if experiment == 'equal_area' else 'as many PEs'}",
        most_command=_simulations(most["network"], most["accelerator"], experiment, f"{most['bits']:g}"),
        most_rows=_lines(tables[experiment], most),
        fair=_span(fair["gain"], found["gain"]),
        fair_setting=f"equal area, at most {_LOSS:g} point lost by either; {fair['accelerator']}; "
        f"range: {_RANGE}",
        fair_command="; ".join(commands),
        fair_rows=_lines(equal, fair),
        design=fair["accelerator"],
        method=fair["method"],
        bits=fair["bits"],
        against=fair["accelerator_over"],
        plain="the array without shift sets",
        over_plain=_span(fair["gain_over_unshared"], found["gain_over_unshared"]),
    )


def compression_pairs(results: Path) -> pd.DataFrame:
    """Return the most that SWIS, and a uniform quantizer, compress networks that lose few points.

    A line per network and number of ``points`` that may be lost, of calibrated networks: ``swis`` and
    ``uniform`` are how many times smaller than 8 bits weights are; ``method``, ``bits``, ``group_size`` and
    ``key`` are of the SWIS row, ``uniform_bits`` and ``uniform_key`` of the other.
    """
    return _pairs(_of_all_sizes(load_table(results / "calibration", COLUMNS).query("data == 'imagenet'")))


def _of_all_sizes(calibrated: pd.DataFrame) -> pd.DataFrame:
    # no other schedule is measured for the uniform quantizer
    rows = fully_calibrated(calibrated, group_size=None)
    return rows[rows["schedule"].eq(Policy.uniform) | rows["method"].eq(Float.name)]


def _pairs(rows: pd.DataFrame) -> pd.DataFrame:
    places = [(network, points) for network in (NETWORK, _OTHER) for points in LOSSES]
    return pd.DataFrame([_smallest(rows, *place) for place in places])


def _compression(calibrated: pd.DataFrame, storage: pd.DataFrame) -> Evidence:
    stored = storage.query("weights != 'gaussian' and coding == 'plain' and group_size <= 16")
    stored = stored[stored["method"].isin((Swis.name, SwisC.name))]
    most = stored.loc[stored["compression_vs_int8"].idxmax()]
    rows = _of_all_sizes(calibrated)
    pairs = _pairs(rows)
    shown = pairs.query("network == @NETWORK and points == @_LOSS").iloc[0]
    over_plain = pairs["swis"] / pairs["uniform"]
    grid = "bits=1,2,3,4 group_size=2,4,8,16 calibrate=output_aware methods=[swis,swis_c,uniform]"
    return Evidence(
        claim="weight compression",
        unit="x",
        paper=3.7,
        most=most["compression_vs_int8"],
        most_setting=f"{most['model']}, N={most['bits']:g}, M={most['group_size']}, any loss",
        most_command=f"python run.py experiment=storage model={most['model']}",
        most_rows=most.to_frame().T,
        fair=_span(shown["swis"], pairs["swis"]),
        fair_setting=f"over 8-bit weights; {shown['method']}, M 2 to 16, calibrated, "
        f"at most {_LOSS:g} point lost; range: {_RANGE}",
        fair_command="; ".join(_imagenet(network, "calibration", grid) for network in (NETWORK, _OTHER)),
        fair_rows=rows[rows["key"].isin([shown["key"], shown["uniform_key"]])],
        design="",
        method=shown["method"],
        bits=shown["bits"],
        against="8-bit weights",
        plain=Uniform.name,
        over_plain=_span(shown["swis"] / shown["uniform"], over_plain),
    )


def _smallest(rows: pd.DataFrame, network: str, points: float) -> dict[str, object]:
    """Return the best compression of SWIS and of a uniform quantizer that loses at most ``points``."""
    some = rows[rows["model"] == network]
    reference = some.loc[some["method"] == Float.name, "top1"].item()
    good = some[some["top1"] >= reference - points - 1e-9].sort_values("compression_vs_int8")
    ours, plain = (Swis.name, SwisC.name), (Uniform.name,)
    swis, uniform = (good[good["method"].isin(names)].iloc[-1] for names in (ours, plain))
    return {
        "network": network,
        "points": points,
        "swis": swis["compression_vs_int8"],
        "uniform": uniform["compression_vs_int8"],
        "method": swis["method"],
        "bits": swis["bits"],
        "group_size": swis["group_size"],
        "key": swis["key"],
        "uniform_bits": uniform["bits"],
        "uniform_key": uniform["key"],
    }


def _span(value: float, values: Iterable[float]) -> Span:
    return Span(value, min(values), max(values))


def _lines(table: pd.DataFrame, pair: pd.Series) -> pd.DataFrame:
    """Return the simulated rows of both sides of a pair."""
    sides = [
        table["network"].eq(pair["network"])
        & table["accelerator"].eq(pair[f"accelerator{side}"])
        & table["method"].eq(pair[f"method{side}"])
        & table["bits"].eq(pair[f"bits{side}"])
        for side in ("", "_over")
    ]
    return table[sides[0] | sides[1]]


def _simulations(network: str, accelerator: str, experiment: str, bits: str) -> str:
    """Return the commands of simulated designs; ``CONSECUTIVE`` needs a separate command."""
    if network in _FILES:
        command = _imagenet(network, experiment, f"bits={bits}")
    else:
        command = f"python run.py experiment={experiment} model={network} workload={network} bits={bits}"
    if accelerator != CONSECUTIVE:
        return command
    return f"{command}; {command} accelerator={accelerator} versus=[] methods=[swis,swis_c]"


def _imagenet(network: str, experiment: str, overrides: str) -> str:
    return f"python run.py experiment=[{network}_imagenet,{experiment}] {_FILES[network]} {overrides}"
