"""Networks from a user's own code, on the command line."""

import sys

import pytest
import torch

import swis
from swis.errors import InputError
from swis.networks.factories import made_by

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, stride=2, padding=1)
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        return self.head(self.conv(images).relu().mean((2, 3)))

def small(width=8):
    torch.manual_seed(0)
    return Net(width)

def fails():
    return 1 / 0

def nothing():
    return "a network"
"""
OWN = ["model=python", "model.factory=own_network:small", "model.input_size=[1,28,28]", "model.mean=[0.29]"]
OWN += ["model.std=[0.35]", "data.limit=64", "calibration.images=16", "results_dir=runs"]
SWIS = [*OWN, "methods=[swis]"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a module that has not been imported."""
    (tmp_path / "own_network.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_network", raising=False)
    return tmp_path


def test_a_user_s_network_is_measured_packed_and_measured_again(here, command_line):
    done = command_line(*SWIS, "calibrate=stats")
    assert done.status == 0, done.err
    rows = swis.load_table("runs").set_index("method")
    assert list(rows.index) == ["float", "int8", "swis"]
    assert set(rows["model"]) == {"own_network:small"}
    assert set(rows["weights"]) == {"factory"}
    assert "all rows exist" in command_line(*SWIS, "calibrate=stats", terminal=True).err
    packed = command_line(*SWIS, "task=pack", "out=own.safetensors")
    assert packed.status == 0, packed.err
    assert "run.py weights=own.safetensors model=python model.factory=own_network:small" in packed.out
    again = command_line(*OWN, "weights=own.safetensors")
    assert again.status == 0, again.err
    lost = command_line("weights=own.safetensors", "data.limit=64", "results_dir=runs")
    assert (lost.status, lost.err.count("\n")) == (2, 1)
    assert "timm does not know the network" in lost.err


def test_changed_code_gives_new_rows(here, command_line):
    wider = command_line(*SWIS, "model.kwargs.width=9", "dry_run=true")
    assert command_line(*SWIS).status == 0
    assert wider.out == "float to do, int8 to do, swis to do\n"
    assert command_line(*SWIS, "dry_run=true").out == "float done, int8 done, swis done\n"
    (here / "own_network.py").write_text(SOURCE.replace("def small(width=8)", "def small(width=8, depth=1)"))
    sys.modules.pop("own_network")
    assert command_line(*SWIS, "dry_run=true").out == "float to do, int8 to do, swis to do\n"


def test_trained_weights_are_read_from_a_file(here, command_line):
    network = made_by("own_network:small", {})
    torch.save(network.state_dict(), "trained.pth")
    done = command_line(*SWIS, "model.weights=trained.pth")
    assert done.status == 0, done.err
    assert set(swis.load_table("runs")["weights"]) == {"trained"}


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("own_network", "is not PACKAGE.MODULE:FUNCTION"),
        ("no_such_module:f", "cannot be loaded: No module named"),
        ("own_network:missing", "cannot be loaded: module 'own_network' has no attribute"),
        ("own_network:fails", "fails: ZeroDivisionError"),
        ("own_network:nothing", "returns str, not a torch module"),
    ],
)
def test_a_factory_that_returns_no_network_is_named(here, command_line, factory, reason):
    done = command_line(*OWN, f"model.factory={factory}")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert reason in done.err


def test_the_input_size_of_a_user_s_network_is_required(here, command_line):
    done = command_line("model=python", "model.factory=own_network:small")
    assert done.status == 2
    assert "set model.input_size=[C,H,W]" in done.err
    wrong = command_line(*OWN, "model.input_size=[3,28,28]", "model.mean=[0.5,0.5,0.5]", "model.std=[1,1,1]")
    assert wrong.status == 2
    assert "the network cannot be run on an image of [3, 28, 28]" in wrong.err
    with pytest.raises(InputError, match="is not PACKAGE"):
        made_by(":small", {})
