"""Fixtures shared by the tests: a tiny network on real images, and the development data."""

import io
import os
import re
import runpy
import sys
import tarfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import timm
import torch
from torch import nn

import swis
from swis.experiments import study
from swis.hardware.layer_shapes import Layer
from swis.networks.models import new_network, save_checkpoint
from swis.options.model import ModelConfig

# Test processes share the cores; the programs that they start read this variable.
_SHARE = max(1, torch.get_num_threads() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
os.environ["OMP_NUM_THREADS"] = str(_SHARE)
torch.set_num_threads(_SHARE)
os.environ["SWIS_QUICK"] = "1"  # notebooks measure on fewer images

ROOT = Path(__file__).parents[1]
TINY = "test_efficientnet"
TINY_KWARGS = {"act_layer": "relu6"}  # some rewrites scale the limits of ReLU6
TINY_INPUTS = {
    "input_size": [1, 32, 32],
    "mean": [0.2860],
    "std": [0.3530],
    "interpolation": "bilinear",
    "crop_pct": 1.0,
    "crop_mode": "center",
}


# Files with slow tests: they run first, because a slow test at the end would leave other cores idle.
SLOW = {
    f"test_{name}.py"
    for name in ("imagenet", "launchers", "sweep_faults", "browser", "extending", "commands", "retrain_study")
}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in SLOW and item.path.suffix != ".ipynb")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of development data beside the repository, or a skip."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the development data (../shared)")
    return folder


@pytest.fixture(scope="session")
def cifar10_jpeg(shared, tmp_path_factory) -> Path:
    """Return a folder with 50 images of every class in train/ and in test/."""
    folder = tmp_path_factory.mktemp("cifar10")
    with tarfile.open(shared / "data" / "cifar10_jpeg.tar") as archive:
        some = [entry for entry in archive if re.fullmatch(r"t\w+/\w+/00[0-4]\d\.jpg", entry.name)]
        archive.extractall(folder, some, filter="data")
    return folder


def scalesim_layer(row, groups: int = 1) -> Layer:
    """Return the layer of a row of scalesim_cycles.csv; a depthwise layer has one channel, or ``groups``."""
    squares = [side for side in (row.kernel, row.out_hw * row.stride, row.out_hw) for _ in "hw"]
    return Layer(row.layer, row.in_channels * groups, row.out_channels * groups, *squares, groups)


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """Return the weights of a small timm network with random weights, for grey images of 10 classes."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    network = new_network(ModelConfig(label="tiny", name=TINY, kwargs=TINY_KWARGS), 10, TINY_INPUTS, seed=0)
    # random weights give logits close to zero; larger ones make agreement meaningful
    with torch.no_grad():
        network.module.classifier.weight.mul_(20)
    save_checkpoint(network, path, {"data": "fashion_mnist"})
    return path


@pytest.fixture(scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def computed_methods(monkeypatch) -> list[str]:
    """Return a list that records the methods whose rows are computed instead of read."""
    computed = []
    measure = study.Study.measure

    def watched(self, fmt, reference):
        computed.append(fmt.name)
        return measure(self, fmt, reference)

    monkeypatch.setattr(study.Study, "measure", watched)
    return computed


def numbers_of(folder: Path) -> pd.DataFrame:
    """Return the rows of a folder without columns about time."""
    return swis.load_table(folder, "all").drop(columns=["seconds", "images_per_second", "created"])


@pytest.fixture
def tiny(tiny_checkpoint, tmp_path) -> list[str]:
    """Command-line overrides for the tiny network on 64 images, with results in a fresh folder."""
    return [
        "model=timm",
        f"model.name={TINY}",
        *(f"model.kwargs.{name}={value}" for name, value in TINY_KWARGS.items()),
        f"model.weights={tiny_checkpoint}",
        "data.limit=64",
        "data.workers=0",
        "calibration.images=32",
        f"results_dir={tmp_path / 'runs'}",
    ]


# A calibration with all its steps, each done once.
SHORT = ["calibration.rounds=1", "calibration.scales=[1.0]"]


def normalised_network(name: str, **kwargs) -> nn.Module:
    """Return a timm network whose batch normalisations are not the identity."""
    torch.manual_seed(0)
    model = timm.create_model(name, in_chans=1, num_classes=10, **kwargs).eval()
    for module in model.modules():  # a mistake in folding changes the outputs with these statistics
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.2)
    return model


@pytest.fixture(scope="session")
def model() -> nn.Module:
    """Return a small network whose batch normalisations are not the identity; tests must not change it."""
    return normalised_network(TINY, **TINY_KWARGS)


@dataclass(frozen=True)
class Finished:
    status: int
    out: str
    err: str


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def command_line(monkeypatch, tmp_path):
    """Return a function that runs run.py in this process and an empty folder; stderr may be a terminal."""

    def call(*arguments: str, terminal: bool = False) -> Finished:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        monkeypatch.setenv("TERM", "xterm")
        out, err = io.StringIO(), Terminal() if terminal else io.StringIO()
        status = 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
            except SystemExit as stop:
                status = stop.code or 0
        return Finished(status, out.getvalue(), err.getvalue())

    return call
