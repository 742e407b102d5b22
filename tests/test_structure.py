"""The structure of the repository: imports, dependencies, and names of the configuration."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hydra.core.config_store import ConfigStore

from swis.calibration import kinds
from swis.coding import bitstream
from swis.data import image_sets
from swis.experiments.config import load, register
from swis.formats import registry, swis, weight_format
from swis.hardware.datapaths import registry as registry_of_datapaths
from swis.networks import channel_rewrite
from swis.options import calibrations, datapaths, tasks
from swis.options.choices import (
    Clip,
    Coding,
    Granularity,
    Policy,
    Rewrite,
    Selection,
)
from swis.scheduling import allocation


def test_imports_keep_the_contracts_of_pyproject():
    # in a separate process, because import-linter disables other loggers
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_folder_has_a_docstring():
    for folder in (path for path in (ROOT / "swis").rglob("*") if any(path.glob("*.py"))):
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text())), folder


def test_tests_mirror_the_library():
    for path in (ROOT / "tests").glob("*/**/test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests")
        others = ("docs", "tools", "benchmarks")
        assert (ROOT / "swis" / folder / "__init__.py").is_file() or folder.name in others, path


LITERALS = (ast.Constant, ast.Tuple, ast.List, ast.Set)
COMPARING = ("eq", "ne", "isin", "startswith", "endswith")


def compared_with(tree):
    """Yield the texts that a module compares with, or searches for; names of constants are resolved."""
    constants = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, LITERALS):
            constants |= {name.id: node.value for name in node.targets if isinstance(name, ast.Name)}
    for node in ast.walk(tree):
        called = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
        elif called in COMPARING:
            parts = node.args
        elif called == "query":
            yield from re.findall(r"['\"](\w+)['\"]", " ".join(texts_in(node)))
            continue
        elif isinstance(node, ast.Match):
            parts = [case.pattern for case in node.cases]
        else:
            continue
        for part in parts:
            for each in ast.walk(part):
                yield from texts_in(constants.get(getattr(each, "id", None), each))


def texts_in(node):
    values = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
    return [value for value in values if isinstance(value, str)]


# Names of formats, calibration methods, policies, datapaths and tasks: code must ask these objects instead of
# comparing their names.
VARIANTS = {
    *registry.formats(),
    *calibrations.CALIBRATIONS,
    *Policy,
    *datapaths.DATAPATHS,
    *tasks.TASKS,
}
# Allowed comparisons: other things that have the same names.
NAMESAKES = {
    "the last ingredient of a calibration, a column": {
        ("analysis/ablation.py", name) for name in ("none", "stats", "reconstruct")
    },
    "designs of accelerators": {("analysis/trade_offs.py", "swis"), ("analysis/trade_offs.py", "swis_c")},
    "splits of images": {("data/image_sets.py", "train")},
    "groups of settings in a row's identity": {
        ("experiments/identity.py", "output_aware"),
        ("experiments/identity.py", "retrain"),
    },
    "the header of a packed file": {("packing/file.py", "swis")},
}


def test_no_module_compares_with_the_name_of_a_variant():
    found = set()
    modules = [*(ROOT / "swis").rglob("*.py"), *(ROOT / "hydra_plugins").rglob("*.py"), ROOT / "run.py"]
    for path in modules:
        place = path.relative_to(ROOT).as_posix().removeprefix("swis/")
        found |= {(place, name) for name in VARIANTS.intersection(compared_with(ast.parse(path.read_text())))}
    assert found == set().union(*NAMESAKES.values())


@pytest.mark.parametrize(
    "line",
    [
        'kind == "bias"',
        'kind not in ("bias", "stats")',
        "kind in KINDS",
        'rows["calibrate"].ne("bias")',
        "rows.query(\"bits == 2 and calibrate == 'bias'\")",
        'match kind:\n    case "bias" | "stats":\n        pass',
    ],
)
def test_a_comparison_with_a_name_is_found(line):
    assert "bias" in compared_with(ast.parse(f'KINDS = ["bias"]\n{line}'))


def test_only_the_configuration_knows_hydra():
    knows = ("options/conf_files", "options/data", "options/hardware", "options/model")
    knows += ("experiments/known_options", "experiments/command", "experiments/config")
    knows += ("sweeps/program", "sweeps/sweeper")
    for path in (ROOT / "swis").rglob("*.py"):
        uses = re.search(r"^\s*(from|import) (hydra|omegaconf)", path.read_text(), re.MULTILINE)
        assert bool(uses) == (path.relative_to(ROOT / "swis").with_suffix("").as_posix() in knows), path


def test_names_on_the_command_line_equal_those_of_the_library():
    assert tuple(Granularity) == weight_format.GRANULARITIES
    assert tuple(Clip) == weight_format.CLIPS
    assert tuple(Selection) == weight_format.SELECTIONS
    assert tuple(Coding) == bitstream.CODINGS
    assert tuple(Rewrite) == channel_rewrite.REWRITES
    assert list(Policy) == list(allocation.POLICIES)
    assert list(datapaths.DATAPATHS) == list(registry_of_datapaths.DATAPATHS)
    looking = [name for name, kind in calibrations.CALIBRATIONS.items() if kind.looks_at_images]
    assert looking == list(kinds.KINDS)
    modules = {path.stem for path in (ROOT / "swis/experiments/tasks").glob("*.py")} - {"__init__"}
    assert set(tasks.TASKS) == modules
    assert {path.stem for path in (ROOT / "conf" / "data").glob("*.yaml")} == set(image_sets._OPENERS)
    assert swis.Swis().magnitude_bits == load().magnitude_bits


def test_the_defaults_in_conf_equal_those_of_the_schema():
    register()
    schema = ConfigStore.instance().load("schema.yaml").node
    written = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())
    for key in set(written) - {"defaults", "hydra"}:
        default = schema[key]
        if key in ("activation", "calibration", "reconstruction", "retrain"):
            default = {name: getattr(default[name], "value", default[name]) for name in default}
        elif key == "methods":
            default = [*default]
        assert getattr(default, "value", default) == written[key], key


def test_a_schedule_has_the_label_of_its_file():
    assert not load().scheduled  # the defaults in conf/ equal those of the schema
    for name in ("uniform", "greedy", "optimal", "network", "calibrated"):
        assert load([f"schedule={name}"]).schedule.label == name


@pytest.mark.parametrize("model", ["mobilenet_v2", "resnet18", "vgg16", "efficientnet_lite0", "resnet20"])
@pytest.mark.parametrize("dataset", ["fashion_mnist", "cifar10", "cifar100", "imagenette"])
def test_every_model_and_data_set_can_be_composed(model, dataset):
    config = load([f"model={model}", f"data={dataset}"])
    assert config.model.label == model
    assert config.data.name == dataset


@pytest.mark.parametrize(
    "path", sorted((ROOT / "conf" / "experiment").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_experiment_can_be_composed_and_has_its_duration(path):
    config = load([f"experiment={path.stem}"])
    assert config.minutes > 0
    for name in config.sweep:  # an option with a value, or a choice of a file
        value = config.sweep[name].partition(",")[0]
        assert load([f"experiment={path.stem}", f"{name}={value}"])
    multirun = yaml.safe_load(path.read_text()).get("hydra") == {"mode": "MULTIRUN"}
    assert multirun == bool(config.sweep)


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_and_pip_install_the_same():
    extras = project()["optional-dependencies"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    installed = [*extras["notebooks"], *extras["docs"], *extras["dev"]]
    assert sorted(pip) == sorted([*project()["dependencies"], *installed])
    assert f"python{project()['requires-python']}" in environment["dependencies"]


def test_every_dependency_is_pinned_within_its_range():
    from packaging.requirements import Requirement

    pins = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = re.fullmatch(r"([A-Za-z0-9_.-]+)==([^\s;]+)", line).groups()
            pins[name.lower().replace("_", "-")] = version
    extras = project()["optional-dependencies"]
    for text in [*project()["dependencies"], *extras["notebooks"], *extras["docs"], *extras["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[requirement.name.lower().replace("_", "-")]), text


def test_pre_commit_has_the_same_ruff():
    (hooks,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert f"ruff=={hooks['rev'].removeprefix('v')}" in (ROOT / "requirements.txt").read_text().split()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"]
    assert f"## {project()['version']}" in (ROOT / "CHANGELOG.md").read_text()
