"""What the README says of adding to it, done in a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys

import pandas as pd
from conftest import ROOT

README = (ROOT / "README.md").read_text()


def block(after: str, language: str) -> str:
    return re.search(rf"{re.escape(after)}.*?^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[1]


def test_a_model_an_accelerator_and_a_method_are_added_as_the_readme_says(tmp_path, tiny_checkpoint):
    for name in ("swis", "conf", "hydra_plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "run.py", tmp_path)
    shutil.copy(tiny_checkpoint, tmp_path / "small.safetensors")
    (tmp_path / "conf/model/small.yaml").write_text(block("**A model**", "yaml"))
    (tmp_path / "conf/accelerator/wide.yaml").write_text(block("**An accelerator**", "yaml"))
    patch = block("**A method**", "diff")
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch, text=True, check=True)
    arguments = block("All three at once", "text").split()[2:]
    done = subprocess.run(
        [sys.executable, "run.py", *arguments, "data.limit=64", "calibration.images=16", "results_dir=runs"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(tmp_path / "runs").set_index("method")
    assert {"swis", "swis_gap"} <= set(rows.index)
    assert (rows["model"] == "small").all()
    assert rows.at["swis", "logit_sqnr_db"] > rows.at["swis_gap", "logit_sqnr_db"]  # which has fewer sets
    assert "one image on wide" in done.stdout
    # an array for consecutive sets asks the method whether its sets are, and takes all bits of these
    asked = (
        "from swis.hardware.accelerator import Accelerator;"
        "from swis.formats.weight_format import WeightFormat;"
        "from swis.hardware.operands import operands_of; from swis.hardware.layer_shapes import Layer;"
        "layer = Layer('fc', 64, 8, 1, 1, 1, 1, 1, 1);"
        "array = Accelerator('c', '', 'swis', consecutive_sets=True);"
        "forms = [WeightFormat(name, 3) for name in ('swis_gap', 'swis_c')];"
        "print([array.work(layer, operands_of(layer, form, None, False)).steps for form in forms])"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str([7 * 16, 3 * 16]), done.stderr
