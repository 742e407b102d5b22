"""Existing rows are found by cached keys, without loading a network, and never by the key of other rows."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT, computed_methods
from safetensors.torch import load_file, save_file

from swis.experiments import row_names
from swis.experiments.config import Config, load
from swis.experiments.naming import named, names_of
from swis.experiments.row_names import Memory, RowNames
from swis.experiments.run import run
from swis.experiments.study import prepare
from swis.formats.round import Round
from swis.runtime import notices

# A process that prints the report of a configuration, and whether it has loaded PyTorch.
SOURCE = """
import sys
from swis.experiments.config import load
from swis.experiments.run import run
print(run(load(sys.argv[1:])))
print("loaded" if "torch" in sys.modules else "not loaded")
"""


@pytest.fixture
def settings(tiny_checkpoint, tiny, tmp_path, monkeypatch) -> list[str]:
    """Settings of a run of one method, with a file of weights that counts as unchanged for long."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(notices, "_given", False)
    weights = tmp_path / "weights.safetensors"
    shutil.copy(tiny_checkpoint, weights)
    monkeypatch.setattr(row_names, "SETTLED", 0)
    return [*tiny, f"model.weights={weights}", "methods=[round]"]


def recall(config: Config) -> RowNames | None:
    return Memory.of(config).recall(config)


def printed(settings: list[str]) -> list[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SOURCE, *settings], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_existing_rows_are_found_without_loading_torch(settings):
    before = run(load(settings)).splitlines()
    assert printed(settings) == [*before, "not loaded"]
    assert printed([*settings, "dry_run=true"]) == ["float done, int8 done, round done", "not loaded"]
    assert printed([*settings, "dry_run=true", "bits=1"]) == ["float done, int8 done, round to do", "loaded"]


def test_a_changed_file_is_loaded_again(settings, tiny_checkpoint, monkeypatch):
    run(load(settings))
    names = recall(load(settings))
    assert list(names.keys) == ["float", "int8", "round"]
    weights = Path(load(settings).model.weights)
    changed = bytearray(weights.read_bytes())
    changed[-2] ^= 1  # the last weight
    weights.write_bytes(changed)
    assert recall(load(settings)) is None
    computed = computed_methods(monkeypatch)
    run(load(settings))
    assert computed == ["float", "int8", "round"]
    assert recall(load(settings)).keys != names.keys


def test_a_file_that_may_still_change_is_not_trusted(settings, monkeypatch):
    monkeypatch.setattr(row_names, "SETTLED", 3600 * 10**9)
    run(load(settings))
    assert recall(load(settings)) is None


def test_cached_keys_depend_on_the_options_that_rows_depend_on(settings):
    run(load(settings))
    for same in ("device=cpu", "threads=1", "results_dir=elsewhere"):
        assert recall(load([*settings, same])) is not None
    others = ("bits=1", "versus=[]", "seed=1", "data.limit=32", "allow_calibration_on_test=true")
    for other in (*others, "device=cuda", "device=nonsense"):
        assert recall(load([*settings, other])) is None
    assert recall(load([*settings, "force=true"])) is None


def test_a_damaged_cache_file_is_ignored(settings, tmp_path):
    run(load(settings))
    (kept,) = (tmp_path / "cache" / "swis" / "row_names").glob("*/*.json")
    kept.write_bytes(kept.read_bytes().replace(b"round", b"swis_", 1))
    assert recall(load(settings)) is None


def test_a_run_with_a_warning_caches_no_keys_and_warns_again(settings, caplog):
    run(load(settings))
    assert recall(load(settings)) is not None
    notices.log.warning("something is wrong")
    run(load([*settings, "bits=1"]))
    assert recall(load([*settings, "bits=1"])) is None


def test_keys_of_images_in_separate_files_are_not_cached(cifar10_jpeg, settings, tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file(load_file(weights), weights)  # without the metadata on training data
    settings += ["model.kwargs.in_chans=1", "model.kwargs.num_classes=10", "model.input_size=[1,32,32]"]
    settings += ["model.mean=[0.3]", "model.std=[0.4]", "data=image_folder", f"data.root={cifar10_jpeg}"]
    settings += ["data.split=test"]
    named(load(settings))
    assert recall(load(settings)) is None


def test_changed_images_and_designs_are_read_again(settings, tmp_path, monkeypatch):
    images = tmp_path / "images"
    shutil.copytree(ROOT / "swis" / "assets" / "fashion_mnist", images)
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    monkeypatch.setattr("swis.options.conf_files.CONF", conf)
    monkeypatch.setattr(row_names, "CONF", conf)
    settings = [*settings, f"data.root={images}"]
    named(load(settings))
    first = recall(load(settings))
    stripes = conf / "accelerator" / "stripes.yaml"
    stripes.write_text(stripes.read_text() + "rows: 3\n")
    assert recall(load(settings)) is None
    named(load(settings))
    second = recall(load(settings))
    assert (second.keys, second.identity) == (first.keys, first.identity)
    assert second.versus != first.versus
    labels = images / "t10k-labels-idx1-ubyte.gz"
    os.utime(labels, (1, 1))
    assert recall(load(settings)) is None


def test_cached_keys_depend_on_the_working_folder(settings, tmp_path, monkeypatch):
    named(load(settings))
    monkeypatch.chdir(tmp_path)
    assert recall(load(settings)) is None


def test_keys_of_weights_that_change_during_a_run_are_not_cached(settings, tiny_checkpoint):
    memory = Memory.of(load(settings))
    study = prepare(load(settings))
    weights = Path(load(settings).model.weights)
    weights.unlink()
    weights.symlink_to(tiny_checkpoint)
    memory.keep(load(settings), names_of(study), study.splits)
    assert recall(load(settings)) is None


def test_keys_of_user_formats_and_downloaded_weights_are_not_cached(settings, monkeypatch):
    monkeypatch.setattr(Round, "__module__", "elsewhere")
    assert Memory.of(load(settings)).path is None
    monkeypatch.undo()
    assert Memory.of(load(["model.weights=timm"])).path is None


def test_rows_with_an_unexpected_float_accuracy_are_not_returned(settings):
    names = RowNames({"float": "no such key"}, recorded_top1=50.0)
    run(load(settings))
    found = recall(load(settings))
    folder = Path(load(settings).results_dir)
    top1 = found.rows(folder)["top1"][0]
    for recorded, there in ((top1 + 0.1, True), (top1 + 0.3, False)):
        assert (replace(found, recorded_top1=recorded).rows(folder) is not None) == there
    assert names.rows(folder) is None
