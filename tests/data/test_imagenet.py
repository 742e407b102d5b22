"""ImageNet weights on real photographs: float accuracies, and accuracies that are known."""

import pandas as pd
import pytest

from swis.experiments.config import load
from swis.experiments.tasks.evaluate import evaluate_methods


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("imagenet"))


def run(shared, results, *overrides) -> pd.DataFrame:
    root = f"data.root={shared / 'data' / 'imagenet_sample'}"
    rows = evaluate_methods(
        load(["data=imagenet", root, f"results_dir={results}", "batch_size=50", *overrides])
    )
    assert (rows["images"] == 500).all()
    return rows.set_index("method")


def test_efficientnet_lite0_per_tensor_without_calibration(shared, results):
    setting = ["model=efficientnet_lite0", "bits=4", "granularity=tensor", "activation_bits=null"]
    rows = run(shared, results, *setting, "calibrate=none", "methods=[truncate,swis]")
    assert rows.loc["float", "top1"] == pytest.approx(87.8, abs=0.4)
    expected = {"int8": 88.0, "truncate": 0.2, "swis": 80.8}
    for method, top1 in expected.items():
        assert rows.loc[method, "top1"] == pytest.approx(top1, abs=2), method


def test_mobilenet_v2_float_and_its_exact_eight_bit_weights(shared, results):
    rows = run(
        shared,
        results,
        "model=mobilenet_v2",
        f"model.weights={shared / 'weights' / 'mobilenet_v2_imagenet.safetensors'}",
        "model.kwargs.pad_type=same",
        "model.mean=[0.5,0.5,0.5]",
        "model.std=[0.5,0.5,0.5]",
        "activation_bits=null",
        "methods=[round]",
    )
    assert rows.loc["float", "top1"] == pytest.approx(85.8, abs=0.4)
    # the checkpoint has 8-bit weights, so quantizing them changes no decision
    assert rows.loc["int8", "agreement"] == 100
