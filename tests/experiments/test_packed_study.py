"""Packed files are measured like the networks that they were made from."""

import pandas as pd
import pytest
import torch
from conftest import SHORT

from swis.evaluation.predict import predict
from swis.experiments.config import load
from swis.experiments.run import run
from swis.experiments.tasks import evaluate
from swis.experiments.tasks.evaluate import evaluate_methods


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["activation_bits=null", "fold_bn=true"],
        ["skip=[blocks.0.*]"],
        ["calibrate=stats", "skip=[blocks.0.*]"],
        ["calibrate=output_aware", "activation_bits=null", *SHORT],
        ["fold_bn=true", "rewrites=[equalize,permute]"],
        ["fold_bn=true", "rewrites=[permute,equalize]", "calibrate=bias"],
    ],
)
def test_a_packed_network_is_measured_as_it_was_before(tiny, tmp_path, monkeypatch, extra):
    logits = []

    def watched(*arguments):
        prediction = predict(*arguments)
        logits.append(prediction.logits)
        return prediction

    monkeypatch.setattr("swis.experiments.study.predict", watched)
    monkeypatch.setattr("swis.experiments.packed_study.predict", watched)
    before = evaluate_methods(load([*tiny, *extra, "bits=3", "methods=[swis]"])).iloc[-1]
    assert len(logits) == 3
    for coding in ("plain", "compact"):
        path = tmp_path / f"{coding}.safetensors"
        text = run(load([*tiny, *extra, "bits=3", "task=pack", f"out={path}", f"coding={coding}"]))
        assert str(path) in text
        packed = [f"weights={path}", "data.limit=64", "data.workers=0", f"results_dir={tmp_path / coding}"]
        after = evaluate.evaluate_packed(load(packed)).iloc[0]
        assert torch.equal(logits[-1], logits[2])
        same = ["model", "weights", "images", "method", "bits", "group_size", "top1", "top5"]
        same += ["cycles_per_weight", "ideal_cycles", "skip", "fold_bn", "rewrites", "calibrate", "clip"]
        same += ["magnitude_bits", "activation_bits"]
        pd.testing.assert_series_equal(after[same], before[same], check_names=False)
        assert pd.isna(before["activation_range"]) or after["activation_range"] == before["activation_range"]
        if coding == "plain":
            assert after["weight_bits"] == pytest.approx(before["weight_bits"], abs=0.01)
        else:
            assert after["weight_bits"] < before["weight_bits"]
        assert "swis" in run(load(packed))  # the row is read, not measured again
    assert len(logits) == 5


@pytest.mark.parametrize(
    ("method", "calibrate"), [("swis", "none"), ("swis", "output_aware"), ("uniform", "output_aware")]
)
def test_a_scheduled_network_is_packed_and_measured_as_it_was_before(tiny, tmp_path, method, calibrate):
    scheduled = ["bits=2.5", "schedule=network", "schedule.filters_per_tile=4", "schedule.images=8"]
    scheduled += [f"methods=[{method}]", f"calibrate={calibrate}", *SHORT]
    before = evaluate_methods(load([*tiny, *scheduled])).iloc[-1]
    path = tmp_path / "packed.safetensors"
    run(load([*tiny, *scheduled, "task=pack", f"out={path}"]))
    packed = [f"weights={path}", "data.limit=64", "data.workers=0", f"results_dir={tmp_path / 'packed'}"]
    after = evaluate.evaluate_packed(load(packed)).iloc[0]
    same = ["bits", "schedule", "top1", "top5", "cycles_per_weight", "cycles_per_mac", "ideal_cycles"]
    pd.testing.assert_series_equal(after[same], before[same], check_names=False)
    assert after["schedule"] == "network"
    assert after["weight_bits"] == pytest.approx(before["weight_bits"], abs=0.02)


def test_packing_needs_no_images_for_float_activations(tiny, tmp_path):
    path = tmp_path / "packed.safetensors"
    nowhere = ["data=imagenet", f"data.root={tmp_path / 'nowhere'}"]
    run(load([*tiny, *nowhere, "activation_bits=null", "calibrate=none", "task=pack", f"out={path}"]))
    assert path.is_file()
