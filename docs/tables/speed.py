"""How fast the suite is, as its benchmarks were measured once: results/speed.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import ends


def measurements(results: Path) -> pd.DataFrame:
    """Return all measurements: the command, what was measured, in which unit, on which machine."""
    return pd.read_csv(results / "speed.csv")


def _of(results: Path, *measured: str) -> pd.DataFrame:
    rows = measurements(results)
    return rows[rows["measured"].isin(measured)]


def _one_column(results: Path, measured: str, case: str, title: str) -> pd.DataFrame:
    rows = _of(results, measured)
    return rows.set_index(rows["case"].rename(case))[["value"]].rename(columns={"value": title})


@table("python benchmarks/decompose.py")
def speed_decomposition(results: Path) -> pd.DataFrame:
    """Decomposition of as many weights as VGG-16 has (B = 7, M = 4, N = 4), on two cores without a GPU."""
    rows = _of(results, "decomposition")
    found = rows.pivot(index="case", columns="machine", values="value").loc[rows["case"].unique()]
    return pd.concat({"speed [million weights/s]": found.rename_axis(columns=None)}, axis=1)


@table("python benchmarks/evaluate.py")
def speed_evaluation(results: Path) -> pd.DataFrame:
    """Evaluation of emulated networks: images per second, and those of SWIS networks in percent of them."""
    rows = _of(results, "evaluation")
    parts = rows["case"].str.split(": ", expand=True)
    found = rows.assign(network=parts[0], what=parts[1].str.removesuffix(", over float")).set_index("network")
    wide = found.pivot(columns="what", values="value").loc[parts[0].unique()]
    units = {"float": "float [images/s]"} | {name: f"{name} [% of float]" for name in wide if name != "float"}
    return wide.rename(columns=units)[list(units.values())].rename_axis(columns=None)


@table(
    "python benchmarks/calibrate.py",
    "python benchmarks/calibrate.py experiment=efficientnet_lite0_imagenet data.root=PATH",
)
def speed_calibration(results: Path) -> pd.DataFrame:
    """Calibration on 256 images of 224 x 224 pixels, all forward passes included."""
    rows = _of(results, "calibration")
    parts = rows["case"].str.split(": ", expand=True)
    found = rows.assign(network=parts[0], what=parts[1] + " [" + rows["unit"] + "]")
    wide = found.pivot(index="network", columns="what", values="value")
    return (
        wide[["stats [s]", "output_aware [s]", "peak memory [GB]"]]
        .rename_axis(columns=None)
        .rename(columns={"stats [s]": "statistics [s]", "output_aware [s]": "output-aware [s]"})
    )


@values
def speed(results: Path) -> dict[str, str]:
    rows = _of(results, "evaluation")
    return {"emulated": ends(rows.loc[rows["unit"].eq("%"), "value"], 0)}


@table("python benchmarks/retrain.py")
def speed_retraining(results: Path) -> pd.DataFrame:
    """A step of training: MobileNet-v2 at 64 x 64, batches of 64, one thread."""
    found = _one_column(results, "retraining", "step of", "time [ms]")
    return found.assign(**{"over a float step [x]": found["time [ms]"] / found.loc["float", "time [ms]"]})


@table(
    "python benchmarks/schedule.py",
    "python benchmarks/simulate.py",
    "python benchmarks/records.py",
    "python benchmarks/sweep.py model=mobilenet_v2 data.limit=100",
    "python benchmarks/explore.py",
)
def speed_others(results: Path) -> pd.DataFrame:
    """Schedules, simulations, large folders of results, sweeps and the explorer, on the AMD EPYC."""
    rows = _of(results, "scheduling", "simulation", "results", "sweep", "explorer")
    times = [f"{value:g} {unit}" for value, unit in zip(rows["value"], rows["unit"], strict=True)]
    return rows.assign(**{"time or factor": times}).set_index(["measured", "case"])[["time or factor"]]
