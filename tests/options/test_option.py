"""Options: which of them are in a row's identity, and their older names."""

from dataclasses import fields, is_dataclass, replace
from enum import Enum

import pytest
from conftest import ROOT

import swis
from swis.errors import InputError
from swis.experiments.config import Config, load
from swis.formats.int8 import Int8
from swis.formats.registry import from_settings, weight_format
from swis.options.calibrations import CalibrationConfig, Reconstruction
from swis.options.data import ActivationConfig
from swis.options.option import Part, default_of, former_names, identity, of_part, renamed
from swis.options.scheduling import ScheduleConfig
from swis.options.training import FloatTraining, RetrainConfig, Stage

GROUPS = (
    ActivationConfig,
    CalibrationConfig,
    FloatTraining,
    Reconstruction,
    RetrainConfig,
    ScheduleConfig,
    Stage,
)
# Settings with which every option of a group affects results, except those in NEVER.
ALL_COUNT = {
    CalibrationConfig: {"rate": 0.1},
    ActivationConfig: {"range": "percentile"},
    RetrainConfig: {"distillation": 0.25, "freeze_threshold": 0.1},
    ScheduleConfig: {"policy": "optimal", "sensitivity": True},
}
# Options that an option does not go with.
WITHOUT = {"losses": {"sensitivity": False}}
NEVER = {RetrainConfig: {"split", "images"}}
OTHER = {
    "split": "train",
    "images": 8,
    "max": 5,
    "depthwise": 3,
    "first": 3,
    "storage_bits": 4.5,
    "codebook": 4,
    "freeze_threshold": 0.2,
    "translate": 0.3,
    "momentum": 0.3,
}


def another(group: type, name: str, value):
    """Return a valid value of an option that differs from ``value``."""
    if name in OTHER and not isinstance(value, list):
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        kind = type(getattr(group(), name))
        return next(other for other in kind if other != value) if issubclass(kind, Enum) else "other"
    if isinstance(value, list):
        return [x * 0.9 for x in value] if isinstance(value[0], float) else [32]
    return value + 1 if isinstance(value, int) else value * 0.5 + 0.25


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_a_group_is_in_its_identity(group):
    settings = group(**ALL_COUNT.get(group, {}))
    for each in fields(group):
        without = replace(settings, **WITHOUT.get(each.name, {}))
        changed = replace(without, **{each.name: another(group, each.name, getattr(settings, each.name))})
        same = identity(changed) == identity(without)
        assert same == (each.name in NEVER.get(group, ())), each.name


def test_options_without_effect_are_in_no_identity():
    plain = RetrainConfig(momentum=0.5, temperature=2.0, ema_momentum=0.5, optimizer="adamw")
    assert identity(plain) == identity(RetrainConfig(optimizer="adamw"))
    assert identity(RetrainConfig(learned_scale=False, scale_rate=1.0)) == identity(
        RetrainConfig(learned_scale=False)
    )
    assert identity(ScheduleConfig(images=8, probe=2)) == identity(ScheduleConfig())
    assert identity(ActivationConfig(percentile=99.0)) == identity(ActivationConfig())


def test_an_option_younger_than_the_rows_is_in_the_key_only_if_it_is_set():
    assert "mirror" not in identity(RetrainConfig())
    assert identity(RetrainConfig(hflip=False))["mirror"] is False


@pytest.mark.parametrize("group", [*GROUPS, Config])
def test_no_older_name_is_the_present_name_of_an_option(group):
    assert not former_names(group).keys() & {each.name for each in fields(group)}


def test_an_interrupted_training_of_older_code_continues():
    """Its identity uses the older names of the options."""
    assert list(identity(FloatTraining())) == [
        *("batch_size", "momentum", "weight_decay", "label_smoothing", "shift", "precision")
    ]
    assert list(identity(Stage())) == ["epochs", "learning_rate", "image_sizes", "erase"]


def test_every_option_of_a_run_affects_exactly_one_part():
    parts = [of_part(Config, part) for part in Part]
    assert set().union(*parts) == {each.name for each in fields(Config)}
    assert sum(map(len, parts)) == len(fields(Config))
    assert {"device", "threads", "out"} <= of_part(Config, Part.run)


def test_commands_with_older_names_give_the_same_configuration():
    old = ["retrain.mirror=false", "retrain.refresh=epoch", "schedule.price=macs", "bits=2.5"]
    new = [
        "retrain.hflip=false",
        "retrain.set_update_interval=epoch",
        "schedule.budget_unit=macs",
        "bits=2.5",
    ]
    assert load(old) == load(new) != load(["bits=2.5"])
    with pytest.raises(InputError, match=r"no option retrain\.mirror; its new name is hflip"):
        load(["retrain={mirror:false}"])
    stage = load(["model=resnet18", "recipe.stages.0.erase=0.125"]).recipe.stages[0]
    assert stage.random_erasing == 0.125


def test_older_configurations_are_read_with_the_present_names():
    config = load(["retrain.translate=0.25", "schedule.budget_unit=macs"])
    written = {"retrain": {"shift": 0.25, "erase": 0.5}, "schedule": {"price": "macs"}, "bits": 3}
    now = renamed(written, config)
    assert now == {
        "retrain": {"translate": 0.25, "random_erasing": 0.5},
        "schedule": {"budget_unit": "macs"},
        "bits": 3,
    }
    assert renamed(written, Config) == now
    stages = {"recipe": {"shift": 0.1, "stages": [{"epochs": 3, "erase": 0.5}]}}
    assert renamed(stages, Config) == {
        "recipe": {"translate": 0.1, "stages": [{"epochs": 3, "random_erasing": 0.5}]}
    }
    assert renamed(now, Config) == now


def test_the_8_bit_format_has_one_name():
    assert weight_format("base") == weight_format("int8") == Int8()
    assert from_settings({"method": "base", "magnitude_bits": 7}) == Int8()
    assert Int8().settings()["method"] == "int8"


@pytest.mark.parametrize("folder", ["calibration", "scheduling", "retrain"])
def test_committed_rows_are_read_with_the_present_names(folder):
    rows = swis.load_table(ROOT / "results" / folder)
    assert "base" not in set(rows["method"])
    assert rows["shifts"].equals(rows["bits"])
    eight = rows[rows["method"] == "int8"]
    assert len(eight) > 0
    assert (eight["compression_vs_int8"] == 1).all()
    assert (eight["compression_vs_float32"] == 4).all()
    both = rows[["compression_vs_int8", "compression_vs_float32"]]
    assert both["compression_vs_float32"].tolist() == pytest.approx(
        (4 * both["compression_vs_int8"]).tolist()
    )


def test_default_of_returns_the_default_of_every_field():
    for group in GROUPS:
        assert group(**{each.name: default_of(each) for each in fields(group)}) == group()
    assert is_dataclass(default_of(Config.__dataclass_fields__["retrain"]))
