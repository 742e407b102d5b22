"""Rows with another coding than plain: their bits are those of the file, and older rows stay theirs."""

import pytest
from conftest import SHORT

import swis
from swis.experiments.config import load
from swis.experiments.run import run
from swis.experiments.study import prepare
from swis.experiments.tasks import evaluate
from swis.experiments.tasks.evaluate import evaluate_methods


def row(options):
    return evaluate_methods(load(options)).iloc[-1]


@pytest.mark.parametrize("method", ["swis", "uniform"])
def test_a_row_has_the_bits_of_its_file(tiny, tmp_path, method):
    options = [*tiny, f"methods=[{method}]", "coding=entropy", "calibrate=output_aware", *SHORT]
    before, plain = row(options), row([*options, "coding=plain"])
    assert before["top1"] == plain["top1"]
    assert before["cycles_per_weight"] == plain["cycles_per_weight"]
    assert before["weight_bits"] != plain["weight_bits"]
    assert before["coding"] == "entropy"
    path = tmp_path / "packed.safetensors"
    run(load([*options, "task=pack", f"out={path}"]))
    packed = [f"weights={path}", "data.limit=64", "data.workers=0", f"results_dir={tmp_path / 'packed'}"]
    after = evaluate.evaluate_packed(load(packed)).iloc[0]
    assert after["weight_bits"] == before["weight_bits"]
    assert after["top1"] == before["top1"]


def test_a_rate_takes_fewer_bits_and_is_a_column(tiny):
    options = [*tiny, "methods=[swis]", "coding=entropy", "calibrate=output_aware", *SHORT]
    free, paid = row(options), row([*options, "calibration.rate=0.05"])
    assert paid["weight_bits"] < free["weight_bits"]
    assert paid["rate"] == 0.05
    assert paid["key"] != free["key"]


def test_plain_coding_and_no_rate_are_in_no_key_and_int8_and_float_have_no_coding(tiny):
    plain = prepare(load(tiny))
    coded = prepare(load([*tiny, "coding=entropy"]))
    for before, after in zip(plain.config.formats, coded.config.formats, strict=True):
        assert "coding" not in plain.identity(before)
        same = plain.key(before) == coded.key(after)
        assert same == (not before.has_shifts)


def test_retraining_does_not_depend_on_the_coding(tiny):
    options = [*tiny, "data.split=test", "retrain.split=train", "retrain.images=64", "retrain.batch_size=32"]
    plain, coded = (
        prepare(load([*options, "task=retrain", f"coding={coding}"])) for coding in ("plain", "entropy")
    )
    one, other = plain.config.formats[-1], coded.config.formats[-1]
    assert plain.key(one) != coded.key(other)
    assert plain.training_key(one) == coded.training_key(other)


def test_hardware_is_that_of_plain_coding(tiny):
    options = [*tiny, "methods=[swis]", "calibrate=none"]
    for coding in ("plain", "entropy"):
        text = run(load([*options, f"coding={coding}"]))
        assert ("weights in plain coding" in text) == (coding == "entropy")
    rows = swis.load_table(load(options).results_dir, "all").query("method == 'swis'")
    assert rows["weight_bits"].nunique() == 2
    for column in ("latency_ms", "energy_pj", "dram_bytes"):
        assert rows[column].notna().all()
        assert rows[column].nunique() == 1
