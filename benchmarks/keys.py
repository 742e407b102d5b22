"""Check that every option that changes a row's numbers changes its key.

    python -m benchmarks.keys [SETTING ...] [values=N]

The check changes every option of several configurations to other valid values (at most N of each). If the key
of a row stays the same, its numbers must stay the same. A new option is checked without changes here. If no
other value of an option is known, the check ends with an error. It takes about an hour on two cores, and
minutes with values=1.
"""

from __future__ import annotations

import copy
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from swis.errors import InputError
from swis.experiments import shared, study
from swis.experiments.config import Config, load
from swis.experiments.known_options import hints as types_of
from swis.networks.models import new_network, save_checkpoint
from swis.options.model import ModelConfig
from swis.runtime.progress import tqdm

_SPLITS = ["train", "test"]
_OF_SPLITS = ("data.split", "data.calibration_split", "retrain.split")
# Options that say where inputs are and where results go, or that select several rows. A key depends on the
# inputs themselves, not on their place.
PLACES = {
    *("results_dir", "out", "weights", "workload", "device", "force", "dry_run", "sweep", "sweep_started"),
    *(
        "methods",
        "task",
        "retrained",
        "model.weights",
        "model.name",
        "model.factory",
        "model.kwargs",
        "model.label",
    ),
    *("data.name", "data.root", "data.download", "data.class_order"),
    *("recipe.output", "recipe.stages", "energy.banks"),
}
_NAMES_OF = ("accelerator.", "energy.")  # their texts are names, and sources of numbers
_INPUTS = {"input_size": [1, 32, 32], "mean": [0.286], "std": [0.353]}
_INPUTS |= {"interpolation": "bilinear", "crop_pct": 1.0, "crop_mode": "center"}
_ARCHITECTURE = "test_efficientnet"  # the smallest network of timm with depthwise convolutions

SETTINGS: dict[str, list[str]] = {
    "plain": [],
    "weights only, folded": ["activation_bits=null", "fold_bn=true", "rewrites=[equalize]"],
    "percentile, one scale": ["activation.range=percentile", "granularity=tensor", "skip=[conv_stem]"],
    "scheduled": ["bits=2.5", "schedule=greedy"],
    "scheduled by sensitivity": ["bits=2.5", "schedule=network", "schedule.images=8", "schedule.min=1"],
    "stats": ["calibrate=stats"],
    "output_aware": ["calibrate=output_aware", "calibration.rounds=1", "calibration.scales=[0.9,1.0]"],
    "reconstruct": ["calibrate=reconstruct", "calibration.scales=[1.0]", "reconstruction.steps=8"],
    "retrain": ["task=retrain", "retrain.images=16", "retrain.epochs=1", "retrain.batch_size=8"],
    "retrain, adamw": [
        *("task=retrain", "retrain.images=16", "retrain.epochs=1", "retrain.batch_size=8"),
        *("retrain.optimizer=adamw", "retrain.freeze_threshold=0.05", "retrain.distillation=0.5"),
    ],
}


def checkpoint(folder: Path) -> Path:
    """Write the random weights of a small network; return the file's path."""
    network = new_network(ModelConfig(label="small", name=_ARCHITECTURE), 10, _INPUTS, seed=0)
    path = folder / "small.safetensors"
    save_checkpoint(network, path, {"data": "fashion_mnist"})
    return path


def configuration(setting: str, weights: Path, folder: Path) -> Config:
    """Return the configuration of a setting, with few images."""
    images = ["data.limit=12", "data.workers=0", "calibration.images=8"]
    model = ["model=timm", f"model.name={_ARCHITECTURE}", f"model.weights={weights}"]
    methods = "methods=[swis,swis_c,truncate,round,uniform]"
    return load([*model, *images, methods, f"results_dir={folder}", *SETTINGS[setting]])


def changes(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, list[Any]]]:
    """Yield every option of a configuration: its dotted name, its value, and other possible values."""
    hints = types_of(type(config))
    for known in fields(config):
        value, name = getattr(config, known.name), f"{prefix}{known.name}"
        if name in PLACES:
            continue
        if is_dataclass(value):
            yield from changes(value, f"{name}.")
        elif isinstance(value, dict):
            for key, part in value.items():
                yield from changes(part, f"{name}.{key}.")
        else:
            yield name, value, _SPLITS if name in _OF_SPLITS else others(value, hints[known.name])


def others(value: Any, hint: Any) -> list[Any]:
    """Return other values of an option's type; some of them may be refused."""
    kinds = getattr(hint, "__args__", (hint,))
    numbers = [kind for kind in kinds if kind in (list[int], list[float])]
    if value is None and numbers:  # values per channel, or the size of an image
        return [[0.5], [0.4, 0.5, 0.6]] if numbers == [list[float]] else [[1, 40, 40], [3, 40, 40]]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, Enum):
        return [other for other in type(value) if other is not value]
    if isinstance(value, int | float):
        none = [None] if type(None) in kinds else []
        whole = isinstance(value, int) and float not in kinds
        return [value + 1, max(1, value - 1), *([2 * value] if whole else [value * 0.5, value * 1.5]), *none]
    if isinstance(value, list):
        parts = [*kinds[0]] if isinstance(kinds[0], type) and issubclass(kinds[0], Enum) else []
        numbers = bool(value) and isinstance(value[0], int | float)
        return (
            [[x * 0.9 for x in value], value[:1]] if numbers else [[part] for part in parts] or [["*.conv_*"]]
        )
    found: list[Any] = []
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, Enum):
            found += list(kind)
        elif kind in (int, float):
            found += [kind(1), kind(2), kind(0.5), kind(3)]
    return [other for other in found if other != value]


def changed(config: Any, name: str, value: Any) -> Any:
    """Return a configuration with one option changed; raise ``InputError`` for an invalid value."""
    first, _, rest = name.partition(".")
    if isinstance(config, dict):
        return config | {first: changed(config[first], rest, value)}
    part = changed(getattr(config, first), rest, value) if rest else value
    return replace(config, **{first: part})


# Options that a study reads while it is prepared; it reads all others later.
_BEFORE = ("model.", "data.", "calibration.", "seed", "skip", "retrain.images", "retrain.split", "calibrate")
_BEFORE += ("activation_bits", "schedule.sensitivity", "allow_")


def keys(prepared: study.Study, config: Config, name: str) -> dict[str, str]:
    """Return the key of every method's row, for a configuration in which option ``name`` has changed."""
    made = study.prepare(config) if name.startswith(_BEFORE) else replace(prepared, config=config)
    return {fmt.name: made.key(fmt) for fmt in config.formats}


def numbers(config: Config, methods: Sequence[str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the measured numbers of methods, computed without cached results."""
    shared._cache.clear()
    with tempfile.TemporaryDirectory() as folder:
        prepared, reference, found = study.prepare(replace(config, results_dir=folder)), None, {}
        for fmt in config.formats:
            if fmt.name != "float" and methods is not None and fmt.name not in methods:
                continue
            columns, logits = prepared.measure(fmt, reference)
            reference = logits if fmt.name == "float" else reference
            timeless = ("seconds", "images_per_second")
            found[fmt.name] = {key: value for key, value in columns.items() if key not in timeless}
            found[fmt.name]["logits"] = logits
    return found


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether numbers are equal; logits may differ by the rounding of other batch sizes."""
    rest = [{key: value for key, value in each.items() if key not in _INEXACT} for each in (one, other)]
    return rest[0] == rest[1] and torch.allclose(one["logits"], other["logits"], rtol=1e-4, atol=1e-5)


_INEXACT = ("logits", "logit_sqnr_db")


def harmless(config: Config, values: int | None = None) -> Iterator[tuple[str, Any, set[str]]]:
    """Yield changes of options that do not change keys: name, value, and the methods with unchanged keys.

    ``values``: the largest number of values per option.
    """
    prepared = study.prepare(config)
    before = {fmt.name: prepared.key(fmt) for fmt in config.formats}
    for name, value, candidates in changes(config):
        tried = 0
        if not candidates and not (isinstance(value, str) and name.startswith(_NAMES_OF)):
            raise ValueError(
                f"{name}={value}: no other value is known; add one to others(), or add it to PLACES"
            )
        for other in candidates:
            if other == value:
                continue
            try:
                after = keys(prepared, changed(copy.deepcopy(config), name, other), name)
            except InputError:
                continue
            tried += 1
            if alike := {method for method in before if after.get(method) == before[method]}:
                yield name, other, alike
            if tried == values:
                break


def together(config: Config, found: Sequence[tuple[str, Any, set[str]]]) -> list[str]:
    """Make all changes of ``harmless`` at once; return the changes that change numbers nevertheless.

    A single change is measured only if numbers have changed.
    """
    left, wrong, before = list(found), [], numbers(config)
    while left:
        mixed, used, rest, methods = config, {}, [], set(before)
        for name, value, alike in left:
            try:
                if name in used or len(alike & methods) < min(len(alike), len(methods)):
                    raise InputError("for the next round")
                mixed, methods = changed(mixed, name, value), methods & alike
                used[name] = value
            except InputError:
                rest.append((name, value, alike))
        after = numbers(mixed, sorted(methods))
        if not all(same(before[method], after[method]) for method in methods):
            for name, value in used.items():
                alone = numbers(changed(config, name, value), sorted(methods))
                if not all(same(before[method], alone[method]) for method in methods):
                    wrong.append(f"{name}={value}")
        left = rest if len(rest) < len(left) else []
    return wrong


def main(arguments: Sequence[str]) -> int:
    """Check settings (all by default) and print a line for each; return the exit status."""
    values = next((int(text.removeprefix("values=")) for text in arguments if "=" in text), None)
    chosen = [text for text in arguments if "=" not in text] or SETTINGS
    folder, wrong = Path(tempfile.mkdtemp()), 0
    try:
        weights = checkpoint(folder)
        for setting in tqdm(chosen, desc="settings"):
            config = configuration(setting, weights, folder / "runs")
            found = list(harmless(config, values))
            broken = together(config, found)
            wrong += len(broken)
            verdict = f"but these change numbers: {', '.join(broken)}" if broken else "correct"
            print(f"{setting}: {len(found)} changes do not change keys; {verdict}", flush=True)
    finally:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
