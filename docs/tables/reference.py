"""What the reference lists: the options of a run, columns of results, formats, and presets."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

import swis
from docs.extension.options import options
from docs.extension.registry import table
from swis.experiments.config import Config, load
from swis.options.calibrations import CalibrationConfig, Reconstruction
from swis.options.conf_files import CONF, choices
from swis.options.data import ActivationConfig, DataConfig
from swis.options.hardware import AcceleratorConfig
from swis.options.model import ModelConfig
from swis.options.scheduling import ScheduleConfig
from swis.options.training import RecipeConfig, RetrainConfig, Stage


def _options(settings: type, *where: str) -> pd.DataFrame:
    lines = [
        {
            "option": f"`{known.name}`",
            "default": f"`{known.default}`" if known.default else "",
            "meaning": known.meaning,
        }
        for known in options(settings, *where)
    ]
    return pd.DataFrame(lines).set_index("option")


@table()
def options_run(results: Path) -> pd.DataFrame:
    """The options of every run."""
    return _options(Config)


@table()
def options_model(results: Path) -> pd.DataFrame:
    """The network, its weights, and the images that it takes."""
    return _options(ModelConfig, "model")


@table()
def options_data(results: Path) -> pd.DataFrame:
    """The images to measure on and to calibrate on."""
    return _options(DataConfig, "data")


@table()
def options_activation(results: Path) -> pd.DataFrame:
    """The range of rounded activations."""
    return _options(ActivationConfig, "activation")


@table()
def options_calibration(results: Path) -> pd.DataFrame:
    """Output-aware calibration."""
    return _options(CalibrationConfig, "calibration")


@table()
def options_reconstruction(results: Path) -> pd.DataFrame:
    """Learned rounding after output-aware calibration."""
    return _options(Reconstruction, "reconstruction")


@table()
def options_schedule(results: Path) -> pd.DataFrame:
    """How a budget of shifts is spent over filters."""
    return _options(ScheduleConfig, "schedule", "schedule/uniform.yaml")


@table()
def options_retrain(results: Path) -> pd.DataFrame:
    """Retraining in a format (`task=retrain`)."""
    return _options(RetrainConfig, "retrain")


@table()
def options_recipe(results: Path) -> pd.DataFrame:
    """Training of a float network (`task=train`)."""
    return _options(RecipeConfig, "recipe")


@table()
def options_stages(results: Path) -> pd.DataFrame:
    """A stage of a float training, one entry of the list `recipe.stages`."""
    return _options(Stage, "recipe.stages")


@table()
def options_accelerator(results: Path) -> pd.DataFrame:
    """The design of an accelerator."""
    return _options(AcceleratorConfig, "accelerator")


def _columns(group: str) -> pd.DataFrame:
    known = swis.columns().query("group == @group")
    names = pd.Index([f"`{name}`" for name in known.index], name="column")
    return known[["unit", "meaning"]].set_axis(names)


@table()
def columns_setting(results: Path) -> pd.DataFrame:
    """Settings: what was asked for."""
    return _columns("setting")


@table()
def columns_result(results: Path) -> pd.DataFrame:
    """Results: what was measured."""
    return _columns("result")


@table()
def columns_schedule(results: Path) -> pd.DataFrame:
    """Schedules: how the shifts were spent."""
    return _columns("schedule")


@table()
def columns_held_out(results: Path) -> pd.DataFrame:
    """Held-out images: how close a network is to the float one on more images."""
    return _columns("held_out")


@table()
def columns_design(results: Path) -> pd.DataFrame:
    """The simulated design."""
    return _columns("design")


@table()
def columns_hardware(results: Path) -> pd.DataFrame:
    """Simulated hardware, for one image. `DESIGN` stands for a design of `versus`."""
    return _columns("hardware")


@table()
def columns_provenance(results: Path) -> pd.DataFrame:
    """Provenance: how the row came about."""
    return _columns("provenance")


@table()
def formats(results: Path) -> pd.DataFrame:
    """The weight formats, with two shifts and groups of four weights where they have such."""
    known = swis.formats()
    names = pd.Index([f"`{name}`" for name in known.index], name="format")
    units = {"bits": "storage [bits/weight]", "cycles": "time [cycles/weight]"}
    return known.rename(columns=units).set_axis(names)


@table()
def presets(results: Path) -> pd.DataFrame:
    """The presets, `experiment=NAME`, with the minutes that they take on two cores."""
    lines = []
    for name in choices("experiment"):
        said, usages = _first_comment(CONF / "experiment" / f"{name}.yaml")
        lines.append(
            {
                "preset": f"`{name}`",
                "minutes": load([f"experiment={name}"]).minutes,
                "what it is": said,
                "`python run.py ...`": ", or ".join(
                    f"`{usage}`" for usage in usages or [f"experiment={name}"]
                ),
            }
        )
    return pd.DataFrame(lines).set_index("preset")


def _first_comment(path: Path) -> tuple[str, list[str]]:
    """Return what the comment at a file's top says, without what Hydra reads, and the usages in it."""
    said, usages = [], []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        text = line.removeprefix("# ")
        if usage := re.match("(?:Usage|or): (.*)", text):
            usages.append(usage[1])
        elif usages:  # which goes on
            usages[-1] += f" {text.strip()}"
        elif not text.startswith("@package"):
            said.append(text)
    return " ".join(said), usages


@table()
def groups(results: Path) -> pd.DataFrame:
    """The groups, and the files in each."""
    about = {
        "model": "the network",
        "data": "the images",
        "schedule": "which filters get how many of the shifts",
        "accelerator": "the design that is simulated",
        "energy": "its energy table",
        "experiment": "a preset, or several: `[one,other]`",
        "launch": "what runs the points of a sweep",
        "recipe": "how `task=train` trains a network",
    }
    lines = [
        {
            "group": f"`{name}=`",
            "what it chooses": said,
            "choices": ", ".join(f"`{c}`" for c in choices(name)),
        }
        for name, said in about.items()
    ]
    return pd.DataFrame(lines).set_index("group")
