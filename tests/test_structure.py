"""The shape of the repository: one way of data flow, agreeing dependencies and configuration."""

import ast
import re
import tomllib

import pytest
import yaml
from conftest import ROOT
from hydra.core.config_store import ConfigStore

from swis import (
    accelerator,
    apply,
    bit_serial,
    codec,
    data,
    decompose,
    output_aware,
    quantizer,
    retrain,
    rewrite,
    schedule,
    systolic,
)
from swis.choices import (
    Clip,
    Coding,
    Dataflow,
    Datapath,
    Granularity,
    Method,
    Optimizer,
    Order,
    Policy,
    Rewrite,
    Scope,
    Selection,
    Skipping,
)
from swis.config import load, register

# A module imports only modules on its left.
_ORDER = """
progress notices errors names ranges files checksums memory choices pictures contents class_folders split
settings hardware_settings options command config quantizer simd lanes search fit joint
decompose oscillation straight_through metrics cost layers plain macs
knapsack schedule apply latent losses fold unfold rewrite activations data resnet20 models
codec packed_layer packed compare seeds
ablation evaluate train retrain
provenance schema line_files tables store rows kept hardware_lines upkeep records
shared images facts planning walk moments refit output_aware lockstep calibrate reconstruct checks
retrain_study train_study study
packed_study report storage figures tradeoff evidence scoreboard hardware_figures
workload tiling systolic bit_serial pe_array
offchip sram bitfusion accelerator energy designs operands simulate hardware hardware_study
explore gallery plan experiment sweep_report sweeper
"""
FLOW = _ORDER.split()


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("swis"):
            _, _, module = node.module.partition(".")
            yield from [module] if module else [alias.name for alias in node.names]


@pytest.mark.parametrize("module", FLOW)
def test_data_flows_one_way(module):
    for other in imported_modules(ROOT / "swis" / f"{module}.py"):
        assert FLOW.index(other) < FLOW.index(module), f"{module} imports {other}"


def test_the_flow_names_every_module():
    modules = {path.stem for path in (ROOT / "swis").glob("*.py")} - {"__init__"}
    assert modules == set(FLOW)


def test_only_the_configuration_knows_hydra():
    for path in (ROOT / "swis").glob("*.py"):
        uses = re.search(r"^\s*(from|import) (hydra|omegaconf)", path.read_text(), re.MULTILINE)
        knows = ("settings", "hardware_settings", "options", "command", "config", "sweeper")
        assert bool(uses) == (path.stem in knows), path


def test_names_on_the_command_line_are_those_of_the_library():
    assert set(Method) == {*decompose.METHODS, "uniform"}
    assert tuple(Granularity) == quantizer.GRANULARITIES
    assert tuple(Clip) == quantizer.CLIPS
    assert tuple(Selection) == decompose.SELECTIONS
    assert tuple(Coding) == codec.CODINGS
    assert tuple(Optimizer) == retrain.OPTIMIZERS
    assert tuple(Order) == output_aware.ORDERS
    assert tuple(Rewrite) == rewrite.REWRITES
    assert tuple(Policy) == schedule.POLICIES
    assert tuple(Scope) == schedule.SCOPES
    assert tuple(Datapath) == accelerator.DATAPATHS
    assert tuple(Dataflow) == systolic.DATAFLOWS
    assert tuple(Skipping) == (*bit_serial.SKIPPING, "products")
    assert {path.stem for path in (ROOT / "conf" / "data").glob("*.yaml")} == set(data._OPENERS)
    assert apply.WeightFormat("swis").magnitude_bits == load().magnitude_bits


def test_the_written_defaults_are_the_schema_s():
    register()
    schema = ConfigStore.instance().load("schema.yaml").node
    written = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())
    for key in set(written) - {"defaults", "hydra"}:
        default = schema[key]
        if key in ("activation", "calibration", "reconstruction", "retrain"):
            default = {name: getattr(default[name], "value", default[name]) for name in default}
        elif key == "methods":
            default = [method.value for method in default]
        assert getattr(default, "value", default) == written[key], key


def test_a_schedule_is_called_what_it_was_chosen_as():
    assert not load().scheduled  # the written defaults are the schema's
    for name in ("uniform", "greedy", "optimal", "network"):
        assert load([f"schedule={name}"]).schedule.label == name


@pytest.mark.parametrize("model", ["mobilenet_v2", "resnet18", "vgg16", "efficientnet_lite0", "resnet20"])
@pytest.mark.parametrize("dataset", ["fashion_mnist", "cifar10", "cifar100", "imagenette"])
def test_every_choice_composes(model, dataset):
    config = load([f"model={model}", f"data={dataset}"])
    assert config.model.label == model
    assert config.data.name == dataset


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf" / "experiment").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_experiment_composes_and_says_how_long_it_takes(path):
    config = load([f"experiment={path.stem}"])
    assert config.minutes > 0
    for name in config.sweep:  # a value, or a choice of files
        assert load([f"{name}={config.sweep[name].partition(',')[0]}"])
    multirun = yaml.safe_load(path.read_text()).get("hydra") == {"mode": "MULTIRUN"}
    assert multirun == bool(config.sweep)


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_and_pip_install_the_same():
    extras = project()["optional-dependencies"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert sorted(pip) == sorted([*project()["dependencies"], *extras["notebooks"], *extras["dev"]])
    assert f"python{project()['requires-python']}" in environment["dependencies"]


def test_every_dependency_is_pinned_within_its_range():
    from packaging.requirements import Requirement

    pins = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = re.fullmatch(r"([A-Za-z0-9_.-]+)==([^\s;]+)", line).groups()
            pins[name.lower().replace("_", "-")] = version
    extras = project()["optional-dependencies"]
    for text in [*project()["dependencies"], *extras["notebooks"], *extras["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name.lower().replace("_", "-")]), text
