"""task=retrain: rows of retrained networks, their learning curves, and their keys."""

import json
from dataclasses import replace

import pandas as pd
import pytest
import torch
from conftest import TINY, TINY_INPUTS, TINY_KWARGS, computed_methods

from swis.errors import InputError, RunFailed
from swis.evaluation.predict import predict, score
from swis.experiments.config import load
from swis.experiments.run import run
from swis.experiments.study import prepare
from swis.experiments.tasks.evaluate import evaluate_methods, evaluate_packed
from swis.networks.apply import weight_layers
from swis.networks.models import new_network, save_checkpoint
from swis.options.model import ModelConfig
from swis.results import records

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def quick(tiny, model, tmp_path) -> list[str]:
    """Return settings for two epochs of 64 images; the network's batch normalisation has statistics."""
    network = new_network(ModelConfig(label="tiny", name=TINY, kwargs=TINY_KWARGS), 10, TINY_INPUTS, seed=0)
    weights = tmp_path / "normalised.safetensors"
    save_checkpoint(replace(network, module=model), weights, {"data": "fashion_mnist"})
    return [
        *tiny,
        f"model.weights={weights}",
        "task=retrain",
        "methods=[swis]",
        *("retrain.images=64", "retrain.epochs=2", "retrain.batch_size=16"),
    ]


def row_of(overrides):
    return evaluate_methods(load(overrides)).set_index("method").loc["swis"]


def test_a_row_records_its_retraining(quick, tmp_path):
    before, after = row_of([*quick, "task=evaluate"]), row_of([*quick, "retrain.learning_rate=0.001"])
    assert after["status"] == "ok", after["error"]
    assert after["weight_bits"] == before["weight_bits"]
    assert after["key"] != before["key"]
    assert pd.isna(before["retrain"])
    assert json.loads(after["retrain"])["epochs"] == 2
    curve = pd.read_parquet(records.artifact_path(after["training"], tmp_path / "runs", records.CURVE))
    assert curve["epoch"].tolist() == [1, 2]
    assert {"loss", "learning_rate", "changed", "frozen", "git_commit"} <= set(curve.columns)
    report = run(load([*quick, "retrain.learning_rate=0.001"]))
    assert f"swis, retrained: mean loss {curve['loss'][0]:.4f} in epoch 1" in report
    assert f"{after['training']}.curve.parquet" in report


def test_retraining_recovers_more_than_new_statistics_alone(tmp_path):
    overrides = ["task=retrain", "bits=1", "data.limit=300", "data.workers=0", "calibration.images=32"]
    overrides += ["retrain.images=384", "retrain.epochs=1", "retrain.batch_size=16"]
    overrides += ["retrain.distillation=1.0", f"results_dir={tmp_path}"]

    def agreement(rate: float) -> float:
        """Return the agreement with the float network [%]; any rate estimates the statistics again."""
        made = prepare(load([*overrides, f"retrain.learning_rate={rate}", f"retrain.scale_rate={rate}"]))
        fmt = next(fmt for fmt in made.config.formats if fmt.name == "swis")
        float_logits = predict(made.network.module, made.batches, made.device, "").logits
        prediction = predict(made.emulate(fmt, 8)[0], made.batches, made.device, "")
        return score(prediction, float_logits)["agreement"]

    assert agreement(0.01) > agreement(1e-12) + 5  # with other seeds the difference is 12 to 16 points


def test_the_references_are_those_without_retraining(quick, monkeypatch):
    evaluate_methods(load([*quick, "task=evaluate"]))
    computed = computed_methods(monkeypatch)
    first = evaluate_methods(load(quick))
    assert computed == ["swis"]
    pd.testing.assert_frame_equal(first, evaluate_methods(load(quick)))
    assert computed == ["swis"]
    row_of([*quick, "retrain.learning_rate=0.02"])
    row_of([*quick, "seed=1"])
    assert computed.count("swis") == 3


@pytest.mark.parametrize(
    "settings", [["calibrate=none"], ["calibrate=stats"], ["calibrate=stats", "fold_bn=true"]]
)
def test_the_measured_network_has_the_encoded_weights(settings, quick):
    config = load([*quick, *settings, "bits=2.5", "schedule=optimal"])
    made = prepare(config)
    fmt = next(fmt for fmt in config.formats if fmt.name == "swis")
    module, encoded = made.retrained(fmt, made.schedule(fmt), 8)
    assert set(encoded) == set(weight_layers(module))
    for name, layer in weight_layers(module).items():
        assert torch.equal(layer.weight, encoded[name].weight())
    normalised = any(isinstance(part, torch.nn.BatchNorm2d) for part in module.modules())
    assert normalised == made.live == ("fold_bn=true" not in settings)
    assert not any(layer._forward_pre_hooks for layer in weight_layers(module).values())
    _, same = made.retrained(fmt, made.schedule(fmt), 8)  # read from the stored state
    assert all(torch.equal(same[name].codes, found.codes) for name, found in encoded.items())


@pytest.mark.parametrize(
    "settings", [["calibrate=none"], ["calibrate=stats"], ["calibrate=stats", "fold_bn=true"]]
)
def test_a_retrained_network_is_packed_and_measured_as_it_was_before(settings, quick, tmp_path, monkeypatch):
    quick = [*quick, *settings, "retrain.epochs=1"]
    row, path = row_of(quick), tmp_path / "packed"
    assert row["status"] == "ok", row["error"]
    monkeypatch.setattr("swis.training.qat.task_loss", None)  # nothing is trained, the state exists
    run(load([*quick, "task=pack", "retrained=true", f"out={path}"]))
    measured = load(["data.limit=64", "data.workers=0", f"results_dir={tmp_path}", f"weights={path}"])
    (packed,) = evaluate_packed(measured).to_dict("records")
    same = ["correct", "top1", "top5", "weight_bits", "cycles_per_weight", "calibrate", "retrain", "bits"]
    assert {name: packed[name] for name in same} == {name: row[name] for name in same}


def test_a_packed_file_is_replaced_without_training_again(quick, tmp_path, monkeypatch):
    pack = [*quick, "task=pack", "retrained=true", f"out={tmp_path / 'packed'}", "retrain.epochs=1"]
    run(load(pack))
    monkeypatch.setattr("swis.training.qat.task_loss", None)
    run(load([*pack, "force=true"]))


def test_packing_with_too_high_a_rate_fails_with_one_line(quick, tmp_path):
    wild = ["task=pack", "retrained=true", f"out={tmp_path / 'packed'}", "retrain.learning_rate=1e12"]
    with pytest.raises(RunFailed, match=r"swis could not be retrained: the .* became .* a lower"):
        run(load([*quick, *wild]))


@pytest.mark.parametrize(
    "settings",
    [
        ["skip=[blocks.0.*]", "activation_bits=null", "granularity=tensor", "methods=[truncate]"],
        ["fold_bn=true", "rewrites=[permute,equalize]", "calibrate=bias", "methods=[uniform]"],
    ],
)
def test_networks_with_skipped_and_rewritten_layers_are_retrained_and_packed(settings, quick, tmp_path):
    quick = [*quick, *settings, "retrain.epochs=1"]
    row, path = evaluate_methods(load(quick)).iloc[2], tmp_path / "packed"
    assert row["status"] == "ok", row["error"]
    run(load([*quick, "task=pack", "retrained=true", f"out={path}"]))
    measured = load(["data.limit=64", "data.workers=0", f"results_dir={tmp_path}", f"weights={path}"])
    assert evaluate_packed(measured)["correct"].item() == row["correct"]


def test_a_key_has_only_options_with_an_effect(quick):
    def key(*overrides):
        study = prepare(load([*quick, *overrides]))
        fmt = next(fmt for fmt in study.config.formats if fmt.name == study.config.methods[0])
        return study.key(fmt)

    assert key() != key("retrain.set_update_interval=2")
    assert key() != key("retrain.hflip=false")
    truncate = "methods=[truncate]"
    assert key(truncate) == key(truncate, "retrain.set_update_interval=2", "retrain.ema_momentum=0.5")
    assert key() == key("retrain.temperature=2")
    assert key("retrain.distillation=1") != key("retrain.distillation=1", "retrain.temperature=2")
    assert key("retrain.distillation=1") == key("retrain.distillation=1", "retrain.label_smoothing=0.1")


def test_shift_sets_are_updated_once_per_epoch(quick):
    quick = [*quick, "retrain.batch_size=24"]  # 2 steps per epoch, and 16 images are left over
    epoch, two, never = (
        row_of([*quick, f"retrain.set_update_interval={value}"]) for value in ("epoch", 2, "null")
    )
    assert len({row["key"] for row in (epoch, two, never)}) == 3
    assert epoch["logit_sqnr_db"] == two["logit_sqnr_db"] != never["logit_sqnr_db"]


class Forked(torch.nn.Module):
    """A convolution whose output is also used without normalisation, so that folding is impossible."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(1, 8, 3, 4), torch.nn.BatchNorm2d(8)
        self.head = torch.nn.Linear(8, 10)

    def forward(self, images):
        found = self.conv(images)
        return self.head((found + self.norm(found)).mean((2, 3)))


def test_a_network_that_cannot_be_folded_starts_from_its_calibrated_weights(quick, monkeypatch):
    config = load([*quick, "calibrate=bias", "retrain.epochs=1"])
    made = prepare(config)
    torch.manual_seed(0)
    forked = Forked().eval()
    forked.norm.running_mean.fill_(0.3)
    made = replace(made, network=replace(made.network, module=forked, digest="forked"))
    fmt = next(fmt for fmt in config.formats if fmt.name == "swis")
    calibrated, expected = made.calibrated(fmt, None, 8)
    started = {}

    def start(teacher, module, encoded, *_, **__):
        started.update(encoded)
        return module, encoded

    monkeypatch.setattr("swis.experiments.study.retrained", start)
    module, _ = made.retrained(fmt, None, 8)
    assert isinstance(module.norm, torch.nn.BatchNorm2d)
    for name, found in expected.items():
        assert torch.equal(started[name].weight(), found.weight())
        assert torch.equal(module.get_submodule(name).weight, found.weight())
        assert torch.equal(module.get_submodule(name).bias, calibrated.get_submodule(name).bias)


def test_force_trains_again(quick, monkeypatch):
    quick = [*quick, "retrain.epochs=1"]
    first = row_of(quick)
    monkeypatch.setattr("swis.training.qat.task_loss", None)
    assert row_of([*quick, "force=true"])["status"] == "failed"  # because it trained again
    assert row_of(quick)["created"] == first["created"]


def test_measuring_on_other_images_does_not_train_again(quick, monkeypatch, tmp_path):
    first = row_of(quick)
    monkeypatch.setattr("swis.training.qat.task_loss", None)
    second = row_of([*quick, "data.limit=20"])
    assert second["status"] == "ok", second["error"]
    assert second["training"] == first["training"]
    assert second["key"] != first["key"]


def test_an_interrupted_run_continues(quick, monkeypatch, tmp_path):
    whole = row_of([*quick, f"results_dir={tmp_path / 'whole'}"])
    write = records.write_table

    def interrupt(table, path):
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "write_table", interrupt)
    with pytest.raises(KeyboardInterrupt):
        row_of(quick)
    monkeypatch.setattr(records, "write_table", write)
    resumed = row_of(quick)
    assert resumed["logit_sqnr_db"] == whole["logit_sqnr_db"]
    assert resumed["correct"] == whole["correct"]


def test_impossible_settings_are_refused_before_any_work(quick):
    with pytest.raises(InputError, match=r"data\.split=test has the images to measure on"):
        load([*quick, "retrain.split=test"])
    with pytest.raises(InputError, match=r"64 images do not fill a batch of retrain\.batch_size=65"):
        prepare(load([*quick, "retrain.batch_size=65"]))
    with pytest.raises(InputError, match="retraining, which uses nearest levels"):
        load([*quick, "selection=joint"])
    with pytest.raises(InputError, match="retrained=true needs task=pack"):
        load([*quick, "retrained=true"])
    with pytest.raises(InputError, match=r"retrain\.distillation must be in \[0, 1\], not 2"):
        load([*quick, "retrain.distillation=2"])
    for refresh in ("0", "batch"):
        with pytest.raises(InputError, match=rf"set_update_interval must be .* epoch or null, not {refresh}"):
            load([*quick, f"retrain.set_update_interval={refresh}"])
