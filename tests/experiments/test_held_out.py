"""Held-out images: which they are, what is reported on them, and whose keys depend on them."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import computed_methods

import swis
from swis.encoding.metrics import kl_divergence
from swis.errors import InputError
from swis.evaluation.predict import predict
from swis.experiments import study as study_module
from swis.experiments.config import load
from swis.experiments.study import prepare
from swis.experiments.tasks.evaluate import evaluate_methods

HELD_OUT = ["held_out_images", "held_out_agreement", "held_out_kl"]


@pytest.fixture
def few(tiny, monkeypatch) -> list[str]:
    """The tiny network with 48 images in each split, 16 of them to calibrate on and 24 to measure on."""
    real = study_module.drawn

    def drawn(data, name, count, seed, decode=True):
        return real(data, name, 48, 0, decode).sample(count, seed)

    monkeypatch.setattr(study_module, "drawn", drawn)
    return [*tiny, "methods=[swis]", "data.limit=24", "calibration.images=16"]


def by_method(*overrides: str) -> pd.DataFrame:
    return evaluate_methods(load([*overrides])).set_index("method")


def test_the_columns_are_over_all_images_that_nothing_is_learned_from(few):
    rows = by_method(*few, "data.held_out=true", "activation_bits=null")
    assert rows["held_out_images"].tolist() == [24 + 32] * 3
    assert rows.loc["float", ["agreement", "kl", *HELD_OUT[1:]]].tolist() == [100, 0, 100, 0]
    assert (rows.loc[["int8", "swis"], "kl"] > 0).all()
    study = prepare(load([*few, "data.held_out=true", "activation_bits=null"]))
    assert not set(study.held_out.identities) & set(study.calibration.identities + study.split.identities)
    images = [batch for part in (study.batches, study.held_out_batches) for batch in part]
    for name in ("int8", "swis"):
        fmt = next(fmt for fmt in study.config.formats if fmt.name == name)
        module, _ = study.emulate(fmt, None)
        logits, reference = (
            predict(network, images, study.device).logits for network in (module, study.network.module)
        )
        same = (logits.argmax(1) == reference.argmax(1)).float().mean()
        assert rows.at[name, "held_out_agreement"] == pytest.approx(100 * float(same))
        assert rows.at[name, "held_out_kl"] == pytest.approx(kl_divergence(reference, logits), rel=1e-3)


def test_measured_columns_are_those_of_a_run_without_them(few, tmp_path):
    one = by_method(*few)
    two = by_method(*few, "data.held_out=true", f"results_dir={tmp_path / 'more'}")
    same = ["top1", "top5", "agreement", "kl", "logit_sqnr_db", "correct", "images", "weight_bits"]
    pd.testing.assert_frame_equal(one[same], two[same])
    assert one[HELD_OUT].isna().all(axis=None) and two[HELD_OUT].notna().all(axis=None)
    assert (one["key"] != two["key"]).all()


def test_keys_without_the_option_are_those_of_older_rows(few):
    keys = [
        {fmt.name: study.key(fmt) for fmt in study.config.formats}
        for study in (prepare(load([*few, *more])) for more in ([], ["data.held_out=false"]))
    ]
    assert keys[0] == keys[1]
    identity = prepare(load(few)).identity(load(few).formats[0])
    assert "held_out" not in identity


def test_other_calibration_sets_leave_other_images(few):
    def keys(*more):
        study = prepare(load([*few, "data.held_out=true", *more]))
        return {fmt.name: study.key(fmt) for fmt in study.config.formats}

    first = keys()
    for more in ("seed=1", "calibration.images=8"):
        assert not set(first.values()) & set(keys(more).values()), more
    row = prepare(load([*few, "data.held_out=true"])).describe(load(few).formats[0])
    assert row["seed"] == 0 and '"calibration": {"images": 16}' in row["config"]


@pytest.mark.parametrize("more", [["calibrate=none", "activation_bits=null"], ["calibrate=output_aware"]])
def test_images_are_the_same_whether_rows_are_calibrated_or_not(few, more):
    plain, other = (prepare(load([*few, "data.held_out=true", *some])) for some in ([], more))
    assert plain.held_out.digest == other.held_out.digest
    assert len(plain.held_out) == 32


def test_a_calibration_set_of_the_whole_split_leaves_the_measured_images(few):
    rows = by_method(*few, "data.held_out=true", "calibration.images=48")
    assert rows["held_out_images"].tolist() == [24] * 3
    assert (rows["held_out_agreement"] == rows["agreement"]).all()
    assert (rows["held_out_kl"] == rows["kl"]).all()


def test_images_of_a_retraining_are_not_held_out_and_its_key_stays(few):
    retraining = [*few, "task=retrain", "retrain.images=20", "retrain.epochs=1", "retrain.batch_size=16"]
    plain, more = (prepare(load([*retraining, *some])) for some in ([], ["data.held_out=true"]))
    assert not set(more.held_out.identities) & set(more.training.identities)
    fmt = more.config.formats[-1]
    assert plain.training_key(fmt) == more.training_key(fmt) and plain.key(fmt) != more.key(fmt)


def test_rows_are_read_again_with_their_reference(few, monkeypatch):
    computed = computed_methods(monkeypatch)
    first = by_method(*few, "data.held_out=true")
    again = by_method(*few, "data.held_out=true", "methods=[swis,round]")
    assert computed == ["float", "int8", "swis", "round"]
    assert again.loc["swis", HELD_OUT].tolist() == first.loc["swis", HELD_OUT].tolist()
    assert again.at["round", "held_out_kl"] > 0


def test_the_report_and_the_table_have_them_only_with_the_option(command_line, tiny, tmp_path):
    common = [*tiny, "methods=[swis]", "calibration.images=9990"]
    done = command_line(*common, "data.held_out=true", "calibrate=none", "activation_bits=null")
    assert done.status == 0, done.err
    assert "with held-out images, 74 in total" in done.out and "all KL" in done.out
    assert set(HELD_OUT) <= set(swis.load_table(tmp_path / "runs"))
    done = command_line(*tiny, "methods=[swis]", f"results_dir={tmp_path / 'plain'}")
    assert "all KL" not in done.out and " KL " in done.out
    assert not set(HELD_OUT) & set(swis.load_table(tmp_path / "plain"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["data.calibration_split=test"],
            "data.held_out=true needs other images than those of data.split=test",
        ),
        (["task=storage", "out=a"], "data.held_out=true has no effect on task=storage"),
        (["task=pack", "out=a"], "data.held_out=true has no effect on task=pack"),
        (["weights=a"], "which weights=FILE, a packed network, lacks"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(overrides, message):
    with pytest.raises(InputError, match=message):
        load(["data.held_out=true", *overrides])


def test_a_divergence_is_computed_in_float64():
    reference = torch.tensor([[0.0, 0.0]])
    near = torch.tensor([[1e-6, 0.0]])
    assert kl_divergence(reference, near) == pytest.approx(1e-12 / 8, rel=1e-3)
    assert np.isfinite(kl_divergence(reference, torch.tensor([[3e38, -3e38]])))
