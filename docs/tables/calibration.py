"""How much each ingredient of calibration helps, and how much depends on the calibration images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import calibrated, called, imagenet_commands, of, of_four
from swis.analysis.ablation import by_ingredient, fully_calibrated, gains, plainly_scaled
from swis.evaluation.seeds import gap
from swis.evaluation.seeds import table as with_spread
from swis.formats.int8 import Int8
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.uniform import Uniform
from swis.plots.names import INGREDIENTS, label_of
from swis.results.records import load_table

_KEYS = ["model", "bits"]
_INGREDIENTS = [
    *imagenet_commands("calibration"),
    *imagenet_commands("calibration_steps"),
]


def _steps(results: Path, method: str) -> pd.DataFrame:
    rows = plainly_scaled(calibrated(results))
    return rows[rows["method"].eq(method) & rows["ingredient"].isin(list(INGREDIENTS))]


def _ingredients(results: Path, method: str) -> pd.DataFrame:
    found = by_ingredient(_steps(results, method))[method].rename(columns=INGREDIENTS)
    return called(pd.concat({"top-1 [%]": found.rename_axis(columns=None)}, axis=1))


@table(*_INGREDIENTS)
def ingredients_swis(results: Path) -> pd.DataFrame:
    """SWIS (M = 4): top-1 accuracy as calibration gets one ingredient after another, from left to right."""
    return _ingredients(results, Swis.name)


@table()
def ingredients_uniform(results: Path) -> pd.DataFrame:
    """The (N + 1)-bit uniform quantizer: top-1 accuracy by ingredient of calibration."""
    return _ingredients(results, Uniform.name)


@table()
def ingredients_rounding(results: Path) -> pd.DataFrame:
    """Rounding to the top N bits: top-1 accuracy by ingredient of calibration."""
    return _ingredients(results, Round.name)


def _gains(results: Path, model: str) -> pd.DataFrame:
    rows = _steps(results, Swis.name).query("model == @model")
    found = gains(rows).dropna(subset="difference")
    named = found.assign(step=found["ingredient"].map(INGREDIENTS))
    ends = zip(named["low"], named["high"], strict=True)
    return pd.DataFrame(
        {
            "shifts N": named["bits"],
            "step": named["step"],
            "top-1 [%]": named["top1"],
            "gain over the step before [points]": named["difference"].map("{:+.1f}".format),
            "95 % interval [points]": [f"{low:+.1f} to {high:+.1f}" for low, high in ends],
            "p": named["p_value"].map("{:.2g}".format),
        }
    ).set_index(["shifts N", "step"])


@table()
def gains_mobilenet_v2(results: Path) -> pd.DataFrame:
    """MobileNet-v2 in SWIS: what each ingredient adds to those before it, image by image."""
    return _gains(results, "mobilenet_v2")


@table()
def gains_efficientnet_lite0(results: Path) -> pd.DataFrame:
    """EfficientNet-Lite0 in SWIS: what each ingredient adds to those before it, image by image."""
    return _gains(results, "efficientnet_lite0")


def beyond_the_walk(results: Path) -> pd.DataFrame:
    """Return top1 and logit_sqnr_db of SWIS at two shifts by model, scale, rewrite and calibration."""
    rows = of(of_four(calibrated(results)), Swis).query("bits == 2 and seed == 0")
    some = rows[rows["ingredient"].isin(["scales", "reconstruct"])]
    keys = ["model", "granularity", "rewrites", "calibrate"]
    return some.set_index(keys)[["top1", "logit_sqnr_db"]].sort_index()


_LITE0, _MOBILENET = (
    f"{command} methods=[swis] results_dir=results/calibration" for command in imagenet_commands()
)


@table(
    *(f"{command} calibrate=reconstruct" for command in (_LITE0, _MOBILENET)),
    f"{_MOBILENET} fold_bn=true rewrites=[permute]",
    f"{_MOBILENET} granularity=tensor fold_bn=true",
    f"{_MOBILENET} granularity=tensor fold_bn=true rewrites=[equalize]",
)
def calibration_more(results: Path) -> pd.DataFrame:
    """SWIS at two shifts (M = 4): learned rounding, and rewrites of the network before it is quantized."""
    columns = {"top1": "top-1 [%]", "logit_sqnr_db": "SQNR of the logits [dB]"}
    found = beyond_the_walk(results).rename(columns=columns)
    return called(found.rename(index={"": "none"}, level="rewrites"))


def equalized_8_bit(results: Path) -> float:
    """Return the top-1 accuracy [%] of the 8-bit MobileNet-v2 whose channels are equalized."""
    rows = calibrated(results)
    return rows[rows["method"].eq(Int8.name) & rows["rewrites"].eq("equalize")]["top1"].item()


def of_seeds(results: Path) -> pd.DataFrame:
    """Return fully calibrated rows (M = 4, a scale per channel) of all seeds, at 2 to 4 shifts."""
    return fully_calibrated(calibrated(results), seed=None).query("bits in [2, 3, 4]")


@table(*imagenet_commands("calibration_seeds"))
def seeds_top1(results: Path) -> pd.DataFrame:
    """Top-1 accuracy by the seed that chooses the 256 calibration images (M = 4)."""
    rows = of(of_seeds(results), Swis, Uniform)
    found = rows.pivot(index=_KEYS, columns=["method", "seed"], values="top1").sort_index(axis=1).dropna()
    found = found.rename(columns=label_of, level="method").rename(columns="seed {}".format, level="seed")
    found.columns = [f"{method}, {seed}" for method, seed in found.columns]
    return called(pd.concat({"top-1 [%]": found}, axis=1))


@table()
def seeds_gaps(results: Path) -> pd.DataFrame:
    """SWIS compared with the uniform quantizer: mean over seeds ± half of Student's 95 % interval."""
    differences = gap(of_seeds(results), Swis.name, Uniform.name, _KEYS)
    repeated = differences[differences["seeds"] > 1]
    columns = {"seeds": repeated["seeds"], "SWIS above uniform [points]": with_spread(repeated)}
    return called(pd.DataFrame(columns))


@values
def calibration(results: Path) -> dict[str, str]:
    top1 = of_seeds(results).groupby([*_KEYS, "method"])["top1"]
    leads = gap(of_seeds(results), Swis.name, Uniform.name, _KEYS)
    place = "model == 'mobilenet_v2' and data == 'imagenet' and bits == 2 and seed == 0"
    here = of(fully_calibrated(calibrated(results)), Swis).query(place)["top1"]
    other = of(load_table(results / "retrain", "all"), Swis).query(place)
    return {
        "equalized_8_bit": f"{equalized_8_bit(results):.1f}",
        "spread": f"{(top1.max() - top1.min()).max():.1f}",
        **{f"lead_{bits:g}": " and ".join(with_spread(leads.xs(bits, level="bits"))) for bits in (2, 3)},
        "behind_at_four": f"{-leads.loc[('mobilenet_v2', 4), 'mean']:.1f}",
        "mobilenet_here": f"{here.item():.1f}",
        "mobilenet_retraining": f"{other[other['training'].isna()]['top1'].item():.1f}",
    }
