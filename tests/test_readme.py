"""What the README shows works."""

import re
import shutil
import sys
from types import ModuleType

import pytest
from conftest import ROOT, TINY, TINY_INPUTS

import swis
from swis.experiments.config import load
from swis.formats import registry
from swis.gallery.registry import figures
from swis.networks.models import new_network, save_checkpoint
from swis.options.model import ModelConfig

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


LINES = [line for block in blocks("bash") for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith("python run.py")]


def test_the_main_commands_are_shown():
    assert "python run.py model=efficientnet_lite0 data=imagenet data.root=PATH bits=4" in COMMANDS
    assert any("model.kwargs.pad_type=same" in command for command in COMMANDS)
    assert "python run.py --help" in COMMANDS
    assert "make run" in README
    assert "make test" in README


def test_the_table_of_figures_has_all_and_its_experiments_exist():
    lines = [line for line in README.splitlines() if line.startswith("| [")]
    shown = re.findall(r"\[(\w+)\]\(results/figures/\1\.png\)", "\n".join(lines))
    assert sorted(shown) == list(figures())
    for line in lines:
        for named in re.findall(r"`(.+?)`", line.split("|")[3]):
            assert load([f"experiment={named}"]).sweep, named


def network_of(command: str) -> tuple[str, bool]:
    """The network that a command runs, the default one if it says none, and whether on photographs."""
    named = re.search(r"efficientnet_lite0|mobilenet_v2|resnet18|lite0_per_tensor|joint_selection", command)
    return named[0] if named else "mobilenet_v2", "PATH" in command


FIRST = {network_of(command): command for command in reversed(COMMANDS) if command != "python run.py --help"}


def has_its_own_network(command: str) -> bool:
    """The first command for a network runs it; a small one is in its place in those that follow."""
    own = any(text in command for text in ("--help", "task=train", "workload=", "CIFAR10"))
    return own or command in FIRST.values()


@pytest.fixture(scope="module")
def colour_checkpoint(tmp_path_factory):
    """A small network for colour images of 1000 classes."""
    path = tmp_path_factory.mktemp("weights") / "colour.safetensors"
    inputs = {**TINY_INPUTS, "input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3}
    network = new_network(ModelConfig(label="colour", name=TINY), 1000, inputs, seed=0)
    save_checkpoint(network, path, {"data": "imagenet"})
    return path


@pytest.mark.parametrize("command", [command for command in COMMANDS if "outputs/" not in command])
def test_every_command_runs(command, command_line, tmp_path, request):
    arguments = command.split()[2:]
    if "CIFAR10" in command:
        shared, images = (request.getfixturevalue(name) for name in ("shared", "cifar10_jpeg"))
        published = shared / "weights" / "resnet20_cifar10.safetensors"
        names = {"RESNET20": published, "CIFAR10": images}
        names["RESNET20_JPEG"] = shutil.copy(published, tmp_path)
    elif "PATH" in command:
        shared = request.getfixturevalue("shared")
        names = {
            "PATH": shared / "data" / "imagenet_sample",
            "WEIGHTS": shared / "weights" / "mobilenet_v2_imagenet.safetensors",
        }
    else:
        names = {"FASHION_MNIST": ROOT / "swis" / "assets" / "fashion_mnist"}
    arguments = [
        re.sub(r"=([A-Z][A-Z_0-9]+)$", lambda name: f"={names[name[1]]}", text) for text in arguments
    ]
    if not has_its_own_network(command):
        weights = request.getfixturevalue("colour_checkpoint" if "PATH" in command else "tiny_checkpoint")
        arguments = [text for text in arguments if not text.startswith("model.weights=")]
        arguments += [f"model.name={TINY}", f"model.weights={weights}"]
    # of a sweep one or two points will do, and of all designs two
    arguments = ["versus=[stripes,laconic]" if text == "versus=[all]" else text for text in arguments]
    arguments = [re.sub(r"^bits=([\d.]+,[\d.]+),.*", r"bits=\1", text) for text in arguments]
    arguments = [re.sub(r"^seed=(\d+),.*", r"seed=\1", text) for text in arguments]
    preset = load([text for text in arguments if text.startswith("experiment=")])
    swept = preset.sweep
    named = {text.partition("=")[0] for text in arguments}
    arguments += [f"{name}={swept[name].split(',')[0]}" for name in swept if name not in named]
    if list(preset.versus) == ["all"] and not any(text.startswith("versus=") for text in arguments):
        arguments.append("versus=[stripes,laconic]")
    if any("retrain" in text for text in arguments):
        arguments = ["methods=[swis]" if text.startswith("methods=") else text for text in arguments]
    if arguments != ["--help"]:
        arguments += [f"results_dir={tmp_path / 'runs'}", "data.limit=24", "calibration.images=4"]
        arguments += ["calibration.scales=[1.0]", "calibration.rounds=1", "reconstruction.steps=2"]
        arguments += ["retrain.images=32", "retrain.epochs=1", "retrain.batch_size=16"]
        if not any(text.startswith("methods=") for text in arguments):
            arguments.append(
                "methods=[swis]" if swept or "--multirun" in arguments else "methods=[swis,uniform]"
            )
    if "task=train" in arguments:
        arguments += [
            "recipe.stages=[{epochs: 1, image_sizes: [32]}]",
            "recipe.batch_size=16",
            "recipe.average=1",
            f"recipe.output={tmp_path / 'out.safetensors'}",
        ]
    done = command_line(*arguments)
    assert done.status == 0, done.err
    assert done.out


@pytest.mark.parametrize("name", ["outputs/packed", "outputs/retrained"])
def test_a_packed_file_is_written_and_measured(name, command_line, tmp_path):
    limits = ["data.limit=64", "calibration.images=8", f"results_dir={tmp_path / 'runs'}"]
    write, measure = (command.split()[2:] for command in COMMANDS if name in command)
    shorter = ["retrain.images=64", "retrain.batch_size=16"]
    done = command_line(*write, *limits, *shorter)
    assert done.status == 0, done.err
    done = command_line(*measure, *limits)
    assert done.status == 0, done.err
    (row,) = swis.load_table(tmp_path / "runs").to_dict("records")
    assert row["status"] == "ok"
    assert re.search(rf"^ *swis +{row['top1']:.2f} ", done.out, re.MULTILINE)


SECTIONS = [section for section in re.split(r"^## ", README, flags=re.MULTILINE) if "```python\n" in section]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0])
def test_every_python_block_runs(section, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {"__name__": "readme"}  # later blocks of a section use what earlier ones made
    monkeypatch.setattr(registry, "_FORMATS", registry.formats())
    monkeypatch.setitem(sys.modules, "readme", ModuleType("readme"))  # where dataclasses look
    for code in re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE):
        exec(code, names)
