"""How much retraining helps, and what its settings do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import called, ends, imagenet_commands, in_order, of
from swis.analysis.ablation import recipe_changes
from swis.evaluation.seeds import gap, over_seeds
from swis.evaluation.seeds import table as with_spread
from swis.experiments.config import load
from swis.formats.float32 import Float
from swis.formats.swis import Swis
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.plots.names import label_of
from swis.results.records import load_table

KEYS = ["model", "data", "bits"]
_TOP1 = "top-1 [%]"
_AS_IT_IS, _NOT_RETRAINED = "", "not retrained"
_NOTHING_TRAINED = "learning_rate=1e-12 scale_rate=1e-12"
# Settings in words, as the changes of recipes have them.
_WORDS = {
    "": "the recipe as it is",
    "dampening=0.1": "weights are pulled to their levels",
    "dampening=1.0": "weights are pulled to their levels",
    "freeze_threshold=0.02": "oscillating weights are frozen",
    "dampening=0.1 freeze_threshold=0.02": "both",
    "dampening=1.0 freeze_threshold=0.02": "both",
    "distillation=0.0": "labels in place of the float network's outputs",
    "learned_scale=false": "scales stay fixed",
    _NOTHING_TRAINED: "no weight moves; statistics of normalisation alone",
    "reestimate=false": "statistics of normalisation as training leaves them",
    'set_update_interval="epoch"': "shift sets chosen once an epoch, not at every step",
    "set_update_interval=null": "shift sets never chosen again",
}
_COMMANDS = [
    "python run.py experiment=retraining",
    "python run.py experiment=retraining model=resnet18 calibration.rounds=0",
    "python run.py task=train experiment=resnet20_cifar10 model.weights=RESNET20 data.root=CIFAR10"
    " recipe.output=RESNET20_JPEG",
    "python run.py experiment=[resnet20_cifar10,retraining] model.weights=RESNET20_JPEG data.root=CIFAR10"
    " bits=2,3,4",
    imagenet_commands("retraining_folded")[1],
]


def rows_of(results: Path) -> pd.DataFrame:
    """Return all rows of the networks that were retrained, before and after."""
    return load_table(results / "retrain", "all")


def after(results: Path) -> pd.DataFrame:
    """Return the rows of retrained networks."""
    rows = rows_of(results)
    return rows[rows["training"].notna()]


def before(results: Path) -> pd.DataFrame:
    """Return the rows of the same networks, calibrated and not retrained, where they were measured."""
    rows = rows_of(results)
    return rows[rows["training"].isna() & rows["calibrate"].eq("output_aware")]


def _by_format(results: Path, rows: pd.DataFrame) -> pd.DataFrame:
    shown = with_spread(over_seeds(rows, [*KEYS, "method"])).unstack("method")
    shown = in_order(shown)
    every = rows_of(results)
    started = rows.groupby(KEYS)["weights"].first()  # of several float networks
    floats = of(every, Float).set_index(["model", "weights", "data"])["top1"]
    shown[label_of(Float.name)] = [
        f"{floats[model, weights, data]:.2f}" for (model, data, _), weights in started.items()
    ]
    return called(pd.concat({_TOP1: shown}, axis=1))


@table(*(f"{command} task=evaluate" for command in (_COMMANDS[0], _COMMANDS[-1])))
def retraining_before(results: Path) -> pd.DataFrame:
    """Calibrated, before retraining: mean over three seeds ± half of Student's 95 % interval (M = 4)."""
    return _by_format(results, before(results))


@table(*_COMMANDS)
def retraining_after(results: Path) -> pd.DataFrame:
    """After retraining by the same recipe: mean over three seeds ± half of Student's 95 % interval."""
    return _by_format(results, after(results))


@table()
def retraining_gaps(results: Path) -> pd.DataFrame:
    """At two shifts: how many points SWIS is above others, all calibrated and retrained alike."""
    return called(
        pd.DataFrame(
            {
                f"above {label_of(other)} [points]": with_spread(gaps(after(results), other))
                for other in (Truncate.name, Uniform.name)
            }
        )
    )


def gaps(rows: pd.DataFrame, other: str) -> pd.DataFrame:
    """Return by how much SWIS is above another format at two shifts, over seeds."""
    return gap(rows[rows["bits"] == 2], Swis.name, other, ["model", "data"])


def _effects(rows: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Return top-1 of every change, and by how much it is above that of the reference, seed by seed."""
    top1 = with_spread(over_seeds(rows, ["change"]))
    named = rows.assign(method=rows["change"])
    effect = {
        change: with_spread(gap(named, change, reference, ["model"])).item()
        for change in top1.index
        if change != reference
    }
    columns = {_TOP1: top1, "difference [points]": pd.Series(effect)}
    found = pd.DataFrame(columns).fillna("").rename_axis("network")
    return found.loc[[reference, *(change for change in found.index if change != reference)]]


def changed(results: Path, experiment: str) -> pd.DataFrame:
    """Return the rows of an experiment with one setting changed; ``change`` says which."""
    config = load([f"experiment={experiment}"])
    rows = load_table(results / "retrain_ablation", "all")
    rows = rows[rows["retrain"].notna() & (rows["bits"] == config.bits)]
    recipe = json.loads(json.dumps(asdict(config.retrain)))
    return rows.assign(change=recipe_changes(rows, recipe))


def effects(results: Path, experiment: str) -> pd.DataFrame:
    """Return top-1 by change, and the difference to the recipe as it is."""
    found = _effects(changed(results, experiment), _AS_IT_IS)
    found.insert(0, "what it does", [_WORDS.get(change, "") for change in found.index])
    settings = ["`" + " ".join(f"retrain.{one}" for one in change.split()) + "`" for change in found.index]
    return found.set_axis(pd.Index(settings, name="setting")).rename(index={"``": "none"})


@table(
    "python run.py experiment=retrain_ablation",
    "python run.py experiment=retrain_ablation retrain.dampening=0.1",
)
def retraining_settings(results: Path) -> pd.DataFrame:
    """Two shifts, one epoch of 4,000 images: the recipe of the quick run, and with one setting changed."""
    return effects(results, "retrain_ablation")


@table(
    "python run.py experiment=retrain_ablation_one_shift",
    "python run.py experiment=retrain_ablation_one_shift retrain.dampening=1",
)
def retraining_settings_one_shift(results: Path) -> pd.DataFrame:
    """One shift, two epochs of 4,000 images: the recipe, and with one setting changed."""
    return effects(results, "retrain_ablation_one_shift")


def statistics_rows(results: Path) -> pd.DataFrame:
    """Return the rows of MobileNet-v2 on ImageNet with matched statistics alone, as ``changed`` does."""
    rows = of(load_table(results / "retrain_stats", "all"), Swis)
    recipe = json.loads(json.dumps(asdict(load(["experiment=retrain_folded"]).retrain)))
    trained = rows[rows["training"].notna()]
    changes = recipe_changes(trained, recipe).replace("", "retrained")
    return rows.assign(change=changes.reindex(rows.index, fill_value=_NOT_RETRAINED))


@table(
    *(
        f"{imagenet_commands('retraining_folded')[1]} calibrate=stats methods=[swis]"
        f" results_dir=results/retrain_stats{task}"
        for task in ("", " task=evaluate")
    )
)
def retraining_statistics(results: Path) -> pd.DataFrame:
    """MobileNet-v2 on ImageNet, SWIS at two shifts, calibrated by matched statistics alone (three seeds)."""
    return _effects(statistics_rows(results), _NOT_RETRAINED)


@values
def retraining(results: Path) -> dict[str, str]:
    place = ("mobilenet_v2", "imagenet")
    truncation, uniform = (gaps(after(results), name)["mean"] for name in (Truncate.name, Uniform.name))
    rows = rows_of(results)
    floats = of(rows, Float).set_index("weights")["top1"]
    top1 = statistics_rows(results).assign(trained=lambda table: table["training"].notna())
    top1 = top1.pivot(index="seed", columns="trained", values="top1")
    named = changed(results, "retrain_ablation_one_shift").assign(method=lambda table: table["change"])
    trained = gap(named, _AS_IT_IS, _NOTHING_TRAINED, ["model"])["mean"]
    return {
        "over_truncation": f"{truncation[place]:.1f}",
        "over_uniform": f"{uniform[place]:.1f}",
        "before_truncation": f"{gaps(before(results), Truncate.name)['mean'][place]:.1f}",
        "fashion_mnist": f"{truncation['mobilenet_v2', 'fashion_mnist']:.1f}",
        "resnet20_published": f"{floats['resnet20_cifar10']:.1f}",
        "statistics_gains": ends(top1[True] - top1[False]),
        "one_shift_training": f"{trained.item():.1f}",
    }
