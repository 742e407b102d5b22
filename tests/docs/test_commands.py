"""What README and the pages show works: commands, Python blocks, and the presets they name."""

import re
import shutil
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, TINY, TINY_INPUTS

import swis
from docs.extension.registry import tables
from swis.experiments.config import Config, load
from swis.formats import registry
from swis.gallery.registry import figures
from swis.networks.models import new_network, save_checkpoint
from swis.options.model import ModelConfig

PAGES = {
    path.relative_to(ROOT).with_suffix("").as_posix(): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in path.parts
}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def commands_of(page: str) -> list[str]:
    """The lines in a page's blocks, and those below its tables."""
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    shown = re.findall(r"^```{results-table} (\w+)", PAGES[page], re.MULTILINE)
    return [*lines, *(line for name in shown for line in tables()[name].commands)]


# Those of rows come last: a preset that a recipe or another page of results runs need not run again.
ORDER = sorted(PAGES, key=lambda page: (page.startswith("docs/results"), page))
COMMANDS = list(
    dict.fromkeys(line for page in ORDER for line in commands_of(page) if line.startswith("python run.py"))
)


def preset_of(command: str) -> str | None:
    """The last preset that a command names, which says what it does; the others say with which network."""
    named = re.search(r"experiment=(?:\[.*?(\w+)\]|(\w+))", command)
    return named and (named[1] or named[2])


RECIPES = {line for page in ORDER if not page.startswith("docs/results") for line in commands_of(page)}
FIRST_OF_PRESET = {preset_of(line): line for line in reversed(COMMANDS)}
RUN = [line for line in COMMANDS if line in RECIPES or FIRST_OF_PRESET[preset_of(line)] == line]


def test_the_main_commands_are_shown():
    assert "python run.py model=efficientnet_lite0 data=imagenet data.root=PATH bits=4" in RUN
    assert any("model.kwargs.pad_type=same" in command for command in RUN)
    assert "make run" in PAGES["README"]
    assert "make test" in PAGES["README"]


def test_the_table_of_figures_has_all_and_their_pages_have_commands():
    lines = [line.split("|")[1:] for line in PAGES["docs/how_to/reproduce"].splitlines() if line[:2] == "| "]
    lines = [line for line in lines if line[0].strip().split(", ")[0] in figures()]
    assert sorted(name for line in lines for name in line[0].strip().split(", ")) == list(figures())
    for line in lines:
        names = line[0].strip().split(", ")
        pages = re.findall(r"\]\(/(.+?)\.md\)", line[2])
        assert pages or line[2].strip() == "none"
        for page in pages:
            assert commands_of(f"docs/{page}"), page
        if pages:
            assert all(f"{{results-figure}} {name}" in PAGES[f"docs/{pages[0]}"] for name in names)


def test_every_table_and_every_figure_is_on_a_page():
    text = "\n".join(PAGES.values())
    for kind, names in (("table", tables()), ("figure", figures())):
        shown = set(re.findall(rf"{{results-{kind}}} ([a-z]\w*)", text))
        assert shown == set(names), kind


@pytest.mark.parametrize("command", [line for line in COMMANDS if line not in RUN])
def test_the_other_commands_of_rows_are_right(command):
    config = load([text for text in first_point(command.split()[2:]) if text != "--multirun"])
    folder = Path(config.out).parent if config.out else Path(config.results_dir)
    assert folder.as_posix() != "results/runs"
    assert (ROOT / folder).is_dir()


@cache
def preset_config(experiment: tuple[str, ...]) -> Config:
    return load(experiment)


def first_point(arguments: list[str]) -> list[str]:
    """The arguments with the first of every value that is swept."""
    preset = preset_config(tuple(text for text in arguments if text.startswith("experiment=")))
    lists = re.compile(r"^([\w.]+)=([^\[,]+),.*")
    arguments = [lists.sub(r"\1=\2", text) for text in arguments]
    return [*arguments, *unswept(arguments, preset.sweep)]


def unswept(arguments: list[str], swept: dict[str, str]) -> list[str]:
    """The first value of all that a preset sweeps and the arguments do not say."""
    named = {text.partition("=")[0] for text in arguments}
    return [f"{name}={values.split(',')[0]}" for name, values in swept.items() if name not in named]


def network_of(command: str) -> tuple[str, bool]:
    """The network that a command runs, the default one if it says none, and whether on photographs."""
    named = re.search(r"efficientnet_lite0|mobilenet_v2|resnet18|lite0_per_tensor|joint_selection", command)
    return named[0] if named else "mobilenet_v2", "PATH" in command


FIRST = {network_of(command): command for command in reversed(RUN) if "--multirun" not in command}


def has_its_own_network(command: str) -> bool:
    """The first command for a network runs it; a small one is in its place in those that follow."""
    own = any(text in command for text in ("task=train", "workload=", "CIFAR10"))
    return own or command in FIRST.values()


@pytest.fixture(scope="module")
def colour_checkpoint(tmp_path_factory):
    """A small network for colour images of 1000 classes."""
    path = tmp_path_factory.mktemp("weights") / "colour.safetensors"
    inputs = {**TINY_INPUTS, "input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3}
    network = new_network(ModelConfig(label="colour", name=TINY), 1000, inputs, seed=0)
    save_checkpoint(network, path, {"data": "imagenet"})
    return path


@pytest.mark.parametrize("command", [command for command in RUN if "outputs/" not in command])
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
    preset = preset_config(tuple(text for text in arguments if text.startswith("experiment=")))
    swept = preset.sweep
    arguments += unswept(arguments, swept)
    if list(preset.versus) == ["all"] and not any(text.startswith("versus=") for text in arguments):
        arguments.append("versus=[stripes,laconic]")
    if any("retrain" in text for text in arguments):
        arguments = ["methods=[swis]" if text.startswith("methods=") else text for text in arguments]
    arguments += [f"results_dir={tmp_path / 'runs'}", "data.limit=24", "calibration.images=4"]
    arguments += ["calibration.scales=[1.0]", "calibration.rounds=1", "reconstruction.steps=2"]
    arguments += ["retrain.images=32", "retrain.epochs=1", "retrain.batch_size=16"]
    if not any(text.startswith("methods=") for text in arguments):
        arguments.append("methods=[swis]" if swept or "--multirun" in arguments else "methods=[swis,uniform]")
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
    write, measure = (command.split()[2:] for command in RUN if name in command)
    shorter = ["retrain.images=64", "retrain.batch_size=16"]
    done = command_line(*write, *limits, *shorter)
    assert done.status == 0, done.err
    done = command_line(*measure, *limits)
    assert done.status == 0, done.err
    (row,) = swis.load_table(tmp_path / "runs").to_dict("records")
    assert row["status"] == "ok"
    assert re.search(rf"^ *swis +{row['top1']:.2f} ", done.out, re.MULTILINE)


def python_of(page: str) -> str:
    return "".join(blocks(page, "python"))


# the first page of the site has README's lines
WITH_PYTHON = {python_of(page): page for page in reversed(PAGES) if python_of(page)}


@pytest.mark.parametrize("page", sorted(WITH_PYTHON.values()))
def test_every_python_block_runs(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    names = {"__name__": "page"}  # later blocks of a page use what earlier ones made
    monkeypatch.setattr(registry, "_FORMATS", registry.formats())
    monkeypatch.setitem(sys.modules, "page", ModuleType("page"))  # where dataclasses look
    for code in blocks(page, "python"):
        if not code.startswith(">>>"):  # examples, which a test of their own runs
            exec(code, names)
