"""The paper's claims beside what rows of results say of them; python -m swis.scoreboard writes the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from swis.ablation import fully_calibrated
from swis.compare import compare
from swis.errors import InputError
from swis.files import write_atomically
from swis.records import load_simulated, load_storage, load_table
from swis.seeds import gap
from swis.tradeoff import claims, with_accuracy, within_loss

# What each claim of the abstract is about; all are of MobileNet-v2 here, the network that it names.
_NETWORK = "mobilenet_v2"
_LOSS = 1.0  # points of top-1 that "similar accuracy" may cost

_FILES = "model.weights=WEIGHTS data.root=PATH"
_CALIBRATION = f"python run.py experiment=[mobilenet_v2_imagenet,calibration] {_FILES}"
_RETRAINING = {
    "fashion_mnist": "python run.py experiment=retraining",
    "imagenet": "python run.py --multirun experiment=[mobilenet_v2_imagenet,retrain_folded] "
    f"bits=2 seed=0,1,2 {_FILES} results_dir=results/retrain",
}
_HARDWARE = f"python run.py experiment=[mobilenet_v2_imagenet,hardware] {_FILES}"


def scoreboard(results: Path) -> pd.DataFrame:
    """Return a line per claim: the paper's number, the most of ours, the fair comparison and its verdict.

    ``most`` is what rows show without such care (SWIS at M = 4; designs in equal units; plain coding, M up to
    16); ``fair`` compares with equal calibration, training, area, accuracy; ``low`` and ``high`` are its 95 %
    interval where there is one.
    ``against``: the rival of the fair comparison; ``uniform``, ``uniform_low`` and ``uniform_high``: the same
    over a uniform quantizer, where the claim is one over truncation. Raises ``InputError`` if rows are
    missing.
    """
    calibrated = load_table(results / "calibration").query("data == 'imagenet' and seed == 0")
    lines = [_post_training(calibrated), _retrained(results), *_hardware(results, calibrated)]
    table = pd.DataFrame([*lines, _compression(results, calibrated)])
    table.insert(table.columns.get_loc("fair_setting") + 1, "verdict", table.apply(_verdict, axis=1))
    return table


def _verdict(line: pd.Series) -> str:
    """Judge the fair comparison: by its interval, or where it has none by its value.

    >>> line = {"paper": 54.3, "fair": 3.0, "low": 0.8, "no_gain": 0.0}
    >>> _verdict(pd.Series(line)), _verdict(pd.Series(line | {"low": -1.0}))
    ('in direction, not in size', 'not beyond chance')
    """
    sure = line["fair"] if pd.isna(line["low"]) else line["low"]
    if sure >= line["paper"]:
        return "holds"
    if sure > line["no_gain"]:
        return "in direction, not in size"
    return "no" if pd.isna(line["low"]) else "not beyond chance"


def _post_training(calibrated: pd.DataFrame) -> dict[str, Any]:
    four = calibrated[calibrated["group_size"].isna() | calibrated["group_size"].eq(4)]
    four = four.query("model == @_NETWORK and bits == 4 and rewrites == ''")
    settings = ["granularity", "calibrate"]
    best = four.sort_values("top1").groupby([*settings, "method"]).tail(1)
    top1 = best.pivot(index=settings, columns="method", values="top1")
    gaps = (top1["swis"] - top1["truncate"]).dropna()
    granularity, calibrate = gaps.idxmax()
    fair = fully_calibrated(calibrated).query("model == @_NETWORK and bits == 4").set_index("method")
    found, uniform = (
        compare(fair.at["swis", "correct"], fair.at[other, "correct"]) for other in ("truncate", "uniform")
    )
    return {
        "claim": "accuracy over truncation, 4 bits, post-training",
        "unit": "points",
        "paper": 54.3,
        "no_gain": 0.0,
        "most": gaps.max(),
        "most_setting": f"one scale per {granularity}, calibrate={calibrate}",
        "fair": found.difference,
        "low": found.low,
        "high": found.high,
        "against": "truncate",
        "uniform": uniform.difference,
        "uniform_low": uniform.low,
        "uniform_high": uniform.high,
        "fair_setting": "one scale per channel, both calibrated; ImageNet weights, 500 photographs",
        "command": _CALIBRATION,
    }


def _retrained(results: Path) -> dict[str, Any]:
    quick = load_table(results / "retrain_quick").query("model == @_NETWORK and training.notna()")
    trained = load_table(results / "retrain").query("model == @_NETWORK and bits == 2 and training.notna()")
    keys = ["model", "data"]
    fair, over_uniform = (gap(trained, "swis", other, keys) for other in ("truncate", "uniform"))
    data = "imagenet" if (_NETWORK, "imagenet") in fair.index else "fashion_mnist"
    line, most = fair.loc[(_NETWORK, data)], gap(quick, "swis", "truncate", keys)["mean"].max()
    uniform = over_uniform.loc[(_NETWORK, data)]
    setting = f"both calibrated, then retrained alike; {data}, {line['seeds']:.0f} seeds"
    return {
        "claim": "accuracy over truncation, 2 bits, retrained",
        "unit": "points",
        "paper": 19.8,
        "no_gain": 0.0,
        "most": max(most, line["mean"]),
        "most_setting": "experiment=retrain_quick, 1 seed, 2,000 images" if most > line["mean"] else setting,
        "fair": line["mean"],
        "low": line["low"],
        "high": line["high"],
        "against": "truncate",
        "uniform": uniform["mean"],
        "uniform_low": uniform["low"],
        "uniform_high": uniform["high"],
        "fair_setting": setting,
        "command": _RETRAINING[data],
    }


def _hardware(results: Path, calibrated: pd.DataFrame) -> list[dict[str, Any]]:
    published, area = (load_simulated(results / "hardware" / name) for name in ("as_published", "equal_area"))
    equal = within_loss(with_accuracy(area, fully_calibrated(calibrated)), _LOSS)
    found = claims(published, equal)
    lines = []
    for name, said in (("speedup", "speedup"), ("energy gain", "energy improvement")):
        some = found[found["claim"] == name]
        most = some[some["kind"] == "most"].iloc[0]
        fair = some.query("kind == 'fair' and network == @_NETWORK").iloc[0]
        pair = f"{most['accelerator']} N={most['bits']:g} over {most['accelerator_over']}, 8-bit"
        lines.append(
            {
                "claim": f"{said} over bit-serial accelerators",
                "unit": "x",
                "paper": most["paper"],
                "no_gain": 1.0,
                "most": most["ours"],
                "most_setting": f"{pair}; {most['network']}, any loss",
                "fair": fair["ours"],
                "low": None,
                "high": None,
                "against": fair["accelerator_over"],
                "fair_setting": f"equal area, at most {_LOSS:g} point lost by either; {fair['accelerator']}",
                "command": _HARDWARE,
            }
        )
    return lines


def _compression(results: Path, calibrated: pd.DataFrame) -> dict[str, Any]:
    measured = load_storage(results / "storage").query(
        "weights != 'gaussian' and coding == 'plain' and group_size <= 16"
    )
    most = measured.loc[measured["compression"].idxmax()]
    some = calibrated.query("model == @_NETWORK and granularity == 'channel' and rewrites == ''")
    reference = calibrated.query("model == @_NETWORK and method == 'float'")["top1"].iloc[0]
    good = some[some["bits"].notna() & some["top1"].ge(reference - _LOSS - 1e-9)]
    best = good.sort_values("compression").groupby("method").tail(1).set_index("method")["compression"]
    shared, rival = best.reindex(["swis", "swis_c"]), best["uniform"]
    return {
        "claim": "weight compression at similar accuracy",
        "unit": "x",
        "paper": 3.7,
        "no_gain": rival,
        "most": most["compression"],
        "most_setting": f"{most['model']}, N={most['bits']:g}, M={most['group_size']}, any loss",
        "fair": shared.max(),
        "low": None,
        "high": None,
        "against": f"uniform, {rival:.2f}x",
        "fair_setting": f"{shared.idxmax()}, calibrated, at most {_LOSS:g} point lost",
        "command": _CALIBRATION,
    }


def markdown(table: pd.DataFrame) -> str:
    """Return the scoreboard as a table of Markdown."""
    names = ["claim", "paper", "most", "fair", "against", "over uniform", "verdict"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for line in table.itertuples():
        number = "{:+.1f} points".format if line.unit == "points" else "{:.2f}x".format
        fair = number(line.fair) + _interval(line.low, line.high)
        uniform = number(line.uniform) + _interval(line.uniform_low, line.uniform_high)
        said = [line.claim, number(line.paper), number(line.most), fair, line.against]
        lines.append(f"| {' | '.join([*said, '' if pd.isna(line.uniform) else uniform, line.verdict])} |")
    return "\n".join(lines)


def _interval(low: float, high: float) -> str:
    return "" if pd.isna(low) else f" ({low:+.1f} to {high:+.1f})"


def main(arguments: list[str]) -> int:
    """Write RESULTS/claims.csv and print the table; return the exit status."""
    results = Path(arguments[0] if arguments else "results")
    try:
        table = scoreboard(results)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    path = results / "claims.csv"
    write_atomically(path, lambda partial: table.to_csv(partial, index=False, float_format="%.4g"))
    print(f"{markdown(table)}\n\nin {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
