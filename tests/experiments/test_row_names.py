"""Rows that are there are found without loading a network, and never by the name of others."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, computed_methods
from safetensors.torch import load_file, save_file

from swis.experiments import row_names
from swis.experiments.config import load
from swis.experiments.naming import named
from swis.experiments.run import run
from swis.runtime import notices, user_cache

# What a process prints of a configuration, and whether it has loaded PyTorch for it.
SOURCE = """
import sys
from swis.experiments.config import load
from swis.experiments.run import run
print(run(load(sys.argv[1:])))
print("loaded" if "torch" in sys.modules else "not loaded")
"""


@pytest.fixture
def settings(tiny_checkpoint, tiny, tmp_path, monkeypatch) -> list[str]:
    """Settings of a run of two methods, with weights that nobody has written to for a while."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    user_cache.of_this_code.cache_clear()
    monkeypatch.setattr(notices, "_given", False)
    weights = tmp_path / "weights.safetensors"
    shutil.copy(tiny_checkpoint, weights)
    monkeypatch.setattr(row_names, "_SETTLED", 0)
    return [*tiny, f"model.weights={weights}", "methods=[round]"]


def said(settings: list[str]) -> list[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SOURCE, *settings], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_what_is_there_is_found_without_loading_torch(settings):
    time.sleep(0.1)
    before = run(load(settings)).splitlines()
    assert said(settings) == [*before, "not loaded"]
    assert said([*settings, "dry_run=true"]) == ["float done, int8 done, round done", "not loaded"]
    assert said([*settings, "dry_run=true", "bits=1"]) == ["float done, int8 done, round to do", "loaded"]


def test_a_file_that_changed_is_loaded_again(settings, tiny_checkpoint, monkeypatch):
    run(load(settings))
    names = row_names.recall(load(settings))
    assert list(names.keys) == ["float", "int8", "round"]
    weights = Path(load(settings).model.weights)
    changed = bytearray(weights.read_bytes())
    changed[-2] ^= 1  # the last weight
    weights.write_bytes(changed)
    assert row_names.recall(load(settings)) is None
    computed = computed_methods(monkeypatch)
    run(load(settings))
    assert computed == ["float", "int8", "round"]
    assert row_names.recall(load(settings)).keys != names.keys


def test_a_file_that_may_still_change_is_not_trusted(settings, monkeypatch):
    monkeypatch.setattr(row_names, "_SETTLED", 3600 * 10**9)
    run(load(settings))
    assert row_names.recall(load(settings)) is None


def test_names_are_those_of_options_that_rows_depend_on(settings):
    run(load(settings))
    for same in ("device=cpu", "threads=1", "results_dir=elsewhere"):
        assert row_names.recall(load([*settings, same])) is not None
    for other in ("bits=1", "versus=[]", "seed=1", "data.limit=32", "allow_calibration_on_test=true"):
        assert row_names.recall(load([*settings, other])) is None
    assert row_names.recall(load([*settings, "force=true"])) is None


def test_a_damaged_name_is_no_name(settings, tmp_path):
    run(load(settings))
    (kept,) = (tmp_path / "cache" / "swis" / "row_names").glob("*/*.json")
    kept.write_bytes(kept.read_bytes().replace(b"round", b"swis_", 1))
    assert row_names.recall(load(settings)) is None


def test_who_was_warned_is_warned_again(settings, caplog):
    run(load(settings))
    assert row_names.recall(load(settings)) is not None
    notices.log.warning("something is not as it seems")
    run(load([*settings, "bits=1"]))
    assert row_names.recall(load([*settings, "bits=1"])) is None


def test_images_in_files_of_their_own_are_looked_at(cifar10_jpeg, settings, tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file(load_file(weights), weights)  # without saying what it was trained on
    settings += ["model.kwargs.in_chans=1", "model.kwargs.num_classes=10", "model.input_size=[1,32,32]"]
    settings += ["model.mean=[0.3]", "model.std=[0.4]", "data=image_folder", f"data.root={cifar10_jpeg}"]
    settings += ["data.split=test"]
    named(load(settings))
    assert row_names.recall(load(settings)) is None
