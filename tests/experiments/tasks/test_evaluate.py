"""task=evaluate from end to end, on a tiny network and real images."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import SHORT, computed_methods

import swis
from swis.data import image_sets
from swis.errors import InputError, RunFailed
from swis.experiments import study
from swis.experiments.config import load
from swis.experiments.run import run
from swis.experiments.tasks import evaluate
from swis.experiments.tasks.evaluate import evaluate_methods
from swis.networks.apply import weight_layers
from swis.networks.models import load_network
from swis.results import records
from swis.scheduling import planner

METHODS = ["float", "int8", "swis", "swis_c", "truncate", "round", "uniform"]


def test_a_row_for_every_method_with_its_costs(tiny):
    rows = evaluate_methods(load([*tiny, "bits=3"])).set_index("method")
    assert list(rows.index) == METHODS
    assert (rows["status"] == "ok").all()
    assert (rows["images"] == 64).all()
    assert rows.loc["float", "agreement"] == 100
    assert rows.loc["int8", "cycles_per_weight"] == 7
    assert rows.loc["int8", "weight_bits"] == 8
    assert (rows.loc[["swis", "truncate", "uniform"], "cycles_per_weight"] == 3).all()
    assert rows.loc["truncate", "weight_bits"] == 4
    assert rows.loc["swis", "weight_bits"] > 25 / 4  # because filters of 9 weights are padded
    assert rows.loc["swis", "ideal_cycles"] * 7 == rows.loc["int8", "ideal_cycles"] * 3
    assert rows.at["swis", "mse_plus_plus"] < rows.at["swis_c", "mse_plus_plus"]
    # better weights give logits closer to those of the float network
    for method in ("swis", "swis_c"):
        order = ["int8", method, "truncate"]
        assert rows.loc[order, "logit_sqnr_db"].is_monotonic_decreasing


def test_the_second_run_reads_the_rows_of_the_first(tiny, monkeypatch):
    computed = computed_methods(monkeypatch)
    first = evaluate_methods(load(tiny))
    assert computed == METHODS
    again = evaluate_methods(load(tiny))
    assert computed == METHODS
    pd.testing.assert_frame_equal(first, again)
    evaluate_methods(load([*tiny, "force=true", "methods=[swis]"]))
    assert computed == [*METHODS, "float", "int8", "swis"]


def test_only_rows_that_depend_on_a_changed_option_are_computed(tiny, monkeypatch):
    evaluate_methods(load(tiny))
    computed = computed_methods(monkeypatch)
    evaluate_methods(load([*tiny, "group_size=8"]))
    assert computed == ["swis", "swis_c"]
    computed.clear()
    evaluate_methods(load([*tiny, "bits=3", "methods=[round]"]))
    assert computed == ["round"]
    computed.clear()
    evaluate_methods(load([*tiny, "batch_size=17", "device=cpu", "data.workers=1"]))
    assert computed == []


def test_the_batch_size_does_not_change_predictions(tiny):
    first = evaluate_methods(load([*tiny, "methods=[swis]"]))
    second = evaluate_methods(load([*tiny, "methods=[swis]", "batch_size=7", "force=true"]))
    for column in ("top1", "top5", "agreement"):
        assert first[column].tolist() == second[column].tolist()
    assert first["logit_sqnr_db"][2] == pytest.approx(second["logit_sqnr_db"][2], abs=0.01)


def test_options_change_the_numbers_of_rows(tiny):
    def sqnr(*overrides):
        rows = evaluate_methods(load([*tiny, "methods=[swis]", "bits=6", *overrides]))
        return rows.iloc[-1]["logit_sqnr_db"]

    default = sqnr()
    assert sqnr("activation_bits=null") > default
    assert sqnr("bits=4") < default
    assert sqnr("skip=[conv_stem,classifier]") != default
    assert sqnr("fold_bn=true") != default
    assert sqnr("granularity=tensor") != default
    assert sqnr("activation.range=percentile", "activation.percentile=99") != default


def test_joint_selection_changes_rows_of_swis_but_not_of_int8(tiny, monkeypatch):
    computed = computed_methods(monkeypatch)
    nearest = evaluate_methods(load([*tiny, "methods=[swis]"])).set_index("method")
    joint = evaluate_methods(load([*tiny, "methods=[swis]", "selection=joint"])).set_index("method")
    assert computed == ["float", "int8", "swis", "swis"]
    assert (nearest.loc["swis", "selection"], joint.loc["swis", "selection"]) == ("nearest", "joint")
    assert nearest.loc["swis", "logit_sqnr_db"] != joint.loc["swis", "logit_sqnr_db"]
    assert joint.loc["int8", "selection"] is None or pd.isna(joint.loc["int8", "selection"])


@pytest.mark.parametrize(
    ("schedule", "price"),
    [("uniform", "weights"), ("greedy", "storage"), ("optimal", "macs"), ("network", "macs")],
)
def test_a_schedule_keeps_its_budget_and_its_filters_are_stored(tiny, tmp_path, schedule, price):
    methods = "methods=[swis,truncate,uniform]"
    overrides = [f"schedule={schedule}", f"schedule.budget_unit={price}", "schedule.images=8", methods]
    config = load([*tiny, "bits=2.5", *overrides])
    rows = evaluate_methods(config).set_index("method")
    assert (rows["status"] == "ok").all()
    scheduled = rows.loc[["swis", "truncate", "uniform"]]
    assert (scheduled["schedule"] == schedule).all()
    assert scheduled["schedule_spent"].between(2.2, 2.5).all()
    spent = {"weights": "cycles_per_weight", "macs": "cycles_per_mac"}.get(price)
    if spent:
        assert scheduled[spent].to_numpy() == pytest.approx(scheduled["schedule_spent"].to_numpy())
    for row in scheduled.itertuples():
        filters = pd.read_parquet(records.artifact_path(row.key, tmp_path / "runs", records.SCHEDULE))
        weights = filters["weights"] @ filters["cycles"] / filters["weights"].sum()
        assert weights == pytest.approx(row.cycles_per_weight)
        assert filters["macs"] @ filters["cycles"] / filters["macs"].sum() == pytest.approx(
            row.cycles_per_mac
        )
        assert set(filters["shifts"]) <= set(range(1, 8))


def test_a_scheduled_row_depends_on_the_settings_of_its_schedule(tiny):
    def keys(*overrides):
        prepared = study.prepare(load([*tiny, "bits=2.5", *overrides]))
        return {fmt.name: prepared.key(fmt) for fmt in prepared.config.formats}

    first, other = (keys("schedule=optimal", f"alpha={alpha}") for alpha in (0, 1))
    assert {method for method in first if first[method] != other[method]} == {
        "swis",
        "swis_c",
        "truncate",
        "round",
    }


def test_better_policies_have_a_lower_loss(tiny):
    loss = {
        name: evaluate_methods(load([*tiny, "bits=2.5", f"schedule={name}", "methods=[swis]"])).iloc[-1]
        for name in ("uniform", "greedy", "optimal")
    }
    assert loss["optimal"]["schedule_loss"] <= loss["greedy"]["schedule_loss"]
    assert loss["greedy"]["schedule_loss"] < loss["uniform"]["schedule_loss"]
    assert loss["optimal"]["mse_plus_plus"] < loss["uniform"]["mse_plus_plus"]


def test_losses_and_sensitivities_are_measured_once(tiny, monkeypatch):
    calls = []
    for name in ("filter_losses", "layer_sensitivities"):
        original = getattr(planner, name)
        monkeypatch.setattr(
            planner, name, lambda *a, name=name, original=original: calls.append(name) or original(*a)
        )
    for bits in (2.5, 3.5):
        evaluate_methods(load([*tiny, f"bits={bits}", "schedule=network", "methods=[swis]"]))
    assert calls.count("layer_sensitivities") == 1
    assert calls.count("filter_losses") == len(weight_layers(load_network(load(tiny).model).module))


@pytest.mark.parametrize("extra", [[], ["bits=2.5", "schedule=optimal"]])
def test_calibration_brings_every_method_closer_to_float(tiny, monkeypatch, extra):
    computed = computed_methods(monkeypatch)
    sqnr = {}
    for kind in ("none", "stats", "output_aware"):
        methods = "methods=[swis,round]"
        rows = evaluate_methods(load([*tiny, *SHORT, "bits=3", *extra, methods, f"calibrate={kind}"]))
        sqnr[kind] = rows.set_index("method").loc[["swis", "round"], "logit_sqnr_db"]
        assert (rows["calibrate"].dropna() == kind).all()
        assert rows["cycles_per_weight"].iloc[2:].between(2.2, 3).all()
    assert (sqnr["none"] < sqnr["output_aware"]).all()
    assert (sqnr["stats"] < sqnr["output_aware"]).all()
    assert computed == ["float", "int8", *["swis", "round"] * 3]  # float and int8 need no calibration


def test_a_broken_image_is_named(tiny, tmp_path):
    for split in ("val", "train"):
        (tmp_path / split / "one").mkdir(parents=True)
        (tmp_path / split / "one" / "broken.png").write_bytes(b"no image")
    config = load([*tiny, "data=image_folder", f"data.root={tmp_path}"])
    split = image_sets.open_split(config.data, "val").prepared(None, 3)
    with pytest.raises(InputError, match=r"broken\.png cannot be decoded"):
        split[0]


def test_the_first_and_depthwise_layers_have_their_minimum_of_shifts(tiny, tmp_path):
    favours = ["schedule=optimal", "schedule.first=5", "schedule.depthwise=4"]
    row = evaluate_methods(load([*tiny, "bits=2.5", *favours, "methods=[swis]"])).iloc[-1]
    filters = pd.read_parquet(records.artifact_path(row["key"], tmp_path / "runs", records.SCHEDULE))
    assert (filters.query("layer == 'conv_stem'")["cycles"] == 5).all()
    assert (filters.query("layer.str.contains('conv_dw')")["cycles"] == 4).all()
    assert filters.query("layer == 'classifier'")["cycles"].mean() < 2.5
    assert row["schedule_spent"] <= 2.5


def test_a_failed_row_does_not_stop_the_other_rows(tiny, monkeypatch):
    measure = study.Study.measure

    def fail(self, fmt, reference):
        if fmt.name == "swis_c":
            raise MemoryError("too big")
        return measure(self, fmt, reference)

    monkeypatch.setattr(study.Study, "measure", fail)
    config = load(tiny)
    with pytest.raises(RunFailed, match=r"1 of 7 rows failed.*swis_c: MemoryError: too big") as failure:
        run(config)
    assert "truncate" in failure.value.report
    table = swis.load_table(config.results_dir, "all").set_index("method")
    assert table.loc["swis_c", "status"] == "failed"
    assert "MemoryError: too big" in table.loc["swis_c", "error"]
    assert (table.drop("swis_c")["status"] == "ok").all()
    monkeypatch.setattr(study.Study, "measure", measure)
    assert (evaluate_methods(config)["status"] == "ok").all()


def test_without_a_float_reference_every_row_fails(tiny, monkeypatch):
    monkeypatch.setattr(study.Study, "measure", lambda *_: 1 / 0)
    config = load(tiny)
    rows = evaluate_methods(config)
    assert list(rows["method"]) == METHODS
    assert (rows["status"] == "failed").all()
    assert len(swis.load_table(config.results_dir)) == 7


def test_a_failure_does_not_replace_a_good_row(tiny, monkeypatch):
    config = load([*tiny, "methods=[swis]"])
    before = evaluate_methods(config)
    monkeypatch.setattr(study.Study, "measure", lambda *_: 1 / 0)
    again = evaluate_methods(load([*tiny, "methods=[swis]", "force=true"]))
    assert (again["status"] == "failed").all()
    monkeypatch.undo()
    pd.testing.assert_frame_equal(evaluate_methods(config), before)


def test_rows_are_stored_even_if_the_simulation_fails(tiny, monkeypatch):
    monkeypatch.setattr(evaluate, "simulated_rows", lambda *_: 1 / 0)
    config = load([*tiny, "methods=[round]"])
    with pytest.raises(ZeroDivisionError):
        evaluate_methods(config)
    rows = swis.load_table(config.results_dir)
    assert rows["method"].tolist() == ["float", "int8", "round"]
    assert rows["status"].eq("ok").all()


def test_a_row_is_the_same_whichever_point_of_a_sweep_computes_it(tiny):
    points = [
        ["seed=0", "bits=2", "clip=absmax", "calibration.rounds=0"],
        ["seed=1", "bits=3", "clip=mse", "calibration.rounds=1"],
    ]
    described = {}
    for point in points:
        config = load([*tiny, *point, "data.limit=null", "methods=[uniform]", "activation.range=minmax"])
        prepared = study.prepare(config)
        for fmt in config.formats:
            row = prepared.describe(fmt)
            described.setdefault(row["key"], []).append(row)
    shared = [rows for rows in described.values() if len(rows) == len(points)]
    assert [rows[0]["method"] for rows in shared] == ["float"]
    assert all(row == rows[0] for rows in shared for row in rows)


def test_an_interrupted_run_keeps_its_rows(tiny, monkeypatch):
    measure = study.Study.measure

    def interrupt(self, fmt, reference):
        if fmt.name == "truncate":
            raise KeyboardInterrupt
        return measure(self, fmt, reference)

    monkeypatch.setattr(study.Study, "measure", interrupt)
    config = load(tiny)
    with pytest.raises(KeyboardInterrupt):
        evaluate_methods(config)
    assert set(swis.load_table(config.results_dir)["method"]) == {"float", "int8", "swis", "swis_c"}


def test_the_report_shows_every_row_and_the_results_folder(tiny):
    config = load(tiny)
    text = run(config)
    for word in ("float", "int8", "swis_c", "truncate", "uniform (3-bit)", "cycles/weight", "64 images"):
        assert word in text
    assert f"swis.load_table({config.results_dir!r})" in text


def test_an_unexpected_float_accuracy_gives_a_warning(tiny, tiny_checkpoint, monkeypatch, caplog):
    config = load(tiny)
    prepared = study.prepare(config)
    prepared.network.metadata.update(images_digest=prepared.split.digest, top1="99.9")
    monkeypatch.setattr(evaluate, "prepare", lambda _: prepared)
    for _ in range(2):  # the first run computes the row, the second reads it
        caplog.clear()
        evaluate_methods(config)
        assert "its checkpoint records 99.90 %" in caplog.text


def test_rows_calibrated_on_measured_images_are_marked(tiny, tmp_path):
    common = [
        *tiny,
        "data.split=train",
        "methods=[swis]",
        "calibration.images=16",
        "data.limit=16",
        "versus=[]",
    ]
    with pytest.raises(InputError, match=r"data\.split=train has the images to measure on"):
        load(common)
    rows = evaluate_methods(load([*common, "allow_calibration_on_test=true"])).set_index("method")
    assert rows["calibration_on_test"].isna().to_dict() == {"float": True, "int8": False, "swis": False}
    assert rows.loc["swis", "calibration_on_test"]
    weights_only = [*common, "activation_bits=null", "calibrate=none", f"results_dir={tmp_path / 'float'}"]
    assert evaluate_methods(load(weights_only))["calibration_on_test"].isna().all()


def test_splits_with_the_same_images_are_refused(tiny, tmp_path):
    from tools.embed_fashion_mnist import write_idx

    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28))
    for split, some in (("train", images), ("t10k", images[::-1][:21])):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", some)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", np.arange(len(some)) % 10)
    config = load([*tiny, f"data.root={tmp_path}", "methods=[swis]", "calibration.images=40"])
    with pytest.raises(InputError, match=r"data\.calibration_split=train has images that are measured on"):
        study.prepare(config)
    allowed = study.prepare(replace(config, allow_calibration_on_test=True))
    base = next(fmt for fmt in config.formats if fmt.name == "int8")
    assert allowed.describe(base)["calibration_on_test"]
    retrains = load([*tiny, f"data.root={tmp_path}", "task=retrain", "activation_bits=null"])
    with pytest.raises(InputError, match="the training images include images that are measured on"):
        study.prepare(replace(retrains, retrain=replace(retrains.retrain, batch_size=8)))


def test_a_few_measured_images_are_left_out_of_the_training_images(tiny, tmp_path):
    from tools.embed_fashion_mnist import write_idx

    images = np.random.default_rng(0).integers(0, 256, (40, 28, 28))
    for split, some in (("train", images), ("t10k", images[:20])):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", some)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", np.arange(len(some)) % 10)
    config = load(
        [*tiny, f"data.root={tmp_path}", "task=retrain", "calibration.images=40", "retrain.batch_size=20"]
    )
    prepared = study.prepare(config)
    for left in (prepared.training, prepared.calibration):
        assert np.array_equal(left.sources, images[20:])
        assert (left.shared, len(left.labels)) == (20, 20)
    fmt = next(fmt for fmt in config.formats if fmt.name == "swis")
    left_out = json.loads(prepared.describe(fmt)["config"])["images_left_out"]
    assert left_out == {"calibration": 20, "training": 20}
    with pytest.raises(InputError, match=r"20 training images, without those .*, do not fill a batch"):
        study.prepare(replace(config, retrain=replace(config.retrain, batch_size=21)))


def test_keys_do_not_depend_on_paths(tiny, tiny_checkpoint, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(tiny_checkpoint.read_bytes())
    first = study.prepare(load(tiny))
    second = study.prepare(load([*tiny, f"model.weights={copy}", f"results_dir={tmp_path / 'other'}"]))
    for fmt in first.config.formats:
        assert first.key(fmt) == second.key(fmt)
