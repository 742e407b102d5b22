"""Images in files: rows depend on their contents, and a damaged image ends a run with one line."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, TINY_INPUTS
from PIL import Image

import swis
from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.preflight import results_folder
from swis.experiments.tasks.evaluate import evaluate_methods
from swis.networks.models import new_network, save_checkpoint
from swis.options.model import ModelConfig
from swis.sweeps.sweeper import _Log


@pytest.fixture(scope="module")
def colour_checkpoint(tmp_path_factory) -> Path:
    """A network of two classes of colour images."""
    inputs = TINY_INPUTS | {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3}
    path = tmp_path_factory.mktemp("weights") / "colour.safetensors"
    save_checkpoint(new_network(ModelConfig(label="tiny", name=TINY), 2, inputs, seed=0), path, {})
    return path


@pytest.fixture
def folders(colour_checkpoint, tmp_path) -> list[str]:
    """Command-line overrides for the network; a test adds data.root."""
    return [
        *("model=timm", f"model.name={TINY}", f"model.weights={colour_checkpoint}", "data=image_folder"),
        *("data.workers=0", "methods=[swis]", f"results_dir={tmp_path / 'runs'}", "versus=[]"),
    ]


def image_set(root: Path, seed: int, kind: str = "bmp") -> Path:
    random = np.random.default_rng(seed)
    for split in ("val", "train"):
        for number in range(6):
            path = root / split / "ab"[number % 2] / f"{number}.{kind}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 255, (32, 32, 3), np.uint8)).save(path)
    return root


def test_image_sets_with_equal_names_and_sizes_have_different_rows(folders, tmp_path):
    sets = [image_set(tmp_path / name, seed) for seed, name in enumerate(("first", "second"))]
    first, second = (
        evaluate_methods(load([*folders, f"data.root={root}", "force=true"])).iloc[-1] for root in sets
    )
    assert first["key"] != second["key"]
    assert first["logit_sqnr_db"] != second["logit_sqnr_db"]  # decoded images are not shared either


@pytest.mark.parametrize("split", ["val", "train"])
def test_a_damaged_image_ends_a_run_with_one_line_before_work_starts(folders, command_line, tmp_path, split):
    root = image_set(tmp_path / "set", 0, "png")
    bad = root / split / "b" / "3.png"
    bad.write_bytes(bad.read_bytes()[:200])
    done = command_line(*folders, f"data.root={root}")
    assert done.status == 2
    assert done.err.startswith(f"error: {bad} cannot be decoded (")
    assert done.err.endswith("; data.damaged=skip leaves such files out\n")
    assert done.err.count("\n") == 1
    assert not list((tmp_path / "runs").rglob("*.parquet"))


def test_a_damaged_image_is_left_out_on_request(folders, command_line, tmp_path):
    root = image_set(tmp_path / "set", 0, "png")
    for split in ("val", "train"):
        (root / split / "b" / "3.png").write_bytes(b"no image")
    done = command_line(*folders, f"data.root={root}", "data.damaged=skip")
    assert done.status == 0
    assert "5 images (2 damaged images are left out)" in done.out
    rows = swis.load_table(tmp_path / "runs", "all").set_index("method")
    assert (rows["images"] == 5).all()
    assert rows["damaged_images"].to_dict() == {"float": 1, "int8": 2, "swis": 2}  # one of calibration
    for split in ("val", "train"):
        (root / split / "b" / "3.png").unlink()
    again = evaluate_methods(load([*folders, f"data.root={root}"]))
    assert set(again["key"]) == set(rows["key"])  # because the images are the same


def test_measured_images_are_left_out_of_the_calibration_set(folders, tmp_path, caplog):
    root = image_set(tmp_path / "set", 0)
    before = evaluate_methods(load([*folders, f"data.root={root}"]))
    assert not before["config"].str.contains("left_out").any()
    shared = root / "train" / "a" / "9.bmp"
    shared.write_bytes((root / "val" / "a" / "0.bmp").read_bytes())
    after = evaluate_methods(load([*folders, f"data.root={root}"]))
    assert after["key"].tolist() == before["key"].tolist()  # because the same images are used
    (line,) = (message for message in caplog.messages if "measured on" in message)
    assert line.startswith(f"1 of 7 calibration or training images of {root / 'train'} are left out")
    assert line.endswith(str(shared))
    rows = evaluate_methods(load([*folders, f"data.root={root}", "force=true"])).set_index("method")
    counted = rows["config"].map(lambda text: json.loads(text).get("images_left_out"))
    assert counted.to_dict() == {"float": None, "int8": {"calibration": 1}, "swis": {"calibration": 1}}
    allowed = load([*folders, f"data.root={root}", "allow_calibration_on_test=true"])
    rows = evaluate_methods(allowed).set_index("method")
    assert rows.loc["swis", "calibration_on_test"]
    assert rows.loc["swis", "key"] not in set(after["key"])


def test_a_log_file_accepts_names_that_are_not_utf_8(tmp_path):
    with _Log(tmp_path / "0.log") as log:
        log.write(os.fsdecode(b"data.root=caf\xe9"))
    assert (tmp_path / "0.log").read_text() == r"data.root=caf\udce9"


def test_a_results_folder_s_name_must_be_utf_8(tmp_path):
    config = replace(load(), results_dir=str(tmp_path / os.fsdecode(b"caf\xe9")))
    with pytest.raises(InputError, match=r"caf\\xe9 must be a folder with a name in UTF-8"):
        results_folder(config)


def test_16_bit_images_give_the_same_numbers_as_8_bit_images(folders, tmp_path):
    random, roots = np.random.default_rng(0), [tmp_path / "eight", tmp_path / "sixteen"]
    for number in range(12):
        values = random.integers(0, 255, (32, 32), np.uint8)
        for root, depth in zip(roots, (values, values.astype(np.uint16) * 257), strict=True):
            path = root / ("val", "train")[number % 2] / "ab"[number // 6] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(depth).save(path)
    eight, sixteen = (evaluate_methods(load([*folders, f"data.root={root}"])).iloc[-1] for root in roots)
    assert eight["key"] != sixteen["key"]
    assert eight["logit_sqnr_db"] == sixteen["logit_sqnr_db"]


def test_an_image_that_is_damaged_later_leaves_no_failed_row(folders, command_line, tmp_path, monkeypatch):
    root = image_set(tmp_path / "set", 0, "png")
    monkeypatch.setattr("swis.experiments.shared_images.can_be_kept", lambda _: False)
    # as if the image had been undamaged when it was checked
    monkeypatch.setattr("swis.data.split.Split.looked_at", lambda split, *_, **__: split)
    monkeypatch.setattr("swis.data.split.Split.identities", [])
    monkeypatch.setattr("swis.data.split.Split.digest", "0")
    (root / "val" / "b" / "3.png").write_bytes(b"no image")
    done = command_line(*folders, f"data.root={root}", "data.workers=1")
    line = done.err.splitlines()[-1]
    assert (done.status, "Traceback" in done.err) == (2, False)
    assert line.startswith(f"error: {root / 'val' / 'b' / '3.png'} cannot be decoded")
    assert not list((tmp_path / "runs").glob("*.parquet"))
