"""The command line and the Python interface compute the same numbers."""

import pytest

import swis
from swis.experiments.config import load
from swis.experiments.study import prepare
from swis.experiments.tasks.evaluate import evaluate_methods


@pytest.mark.parametrize("calibrate", ["none", "stats"])
def test_a_row_and_the_interface_have_the_same_numbers(tiny, calibrate):
    settings = [*tiny, "methods=[swis]", f"calibrate={calibrate}", "calibration.images=32"]
    settings += ["bits=3", "fold_bn=true"]
    rows = evaluate_methods(load(settings)).set_index("method")
    study = prepare(load(settings))
    low = swis.quantize(
        study.network.module,
        swis.Swis(shifts=3),
        study.calibration_images,
        calibrate=calibrate,
        activation_bits=8,
    )
    found = swis.evaluate(low, study.batches, reference=study.network.module)
    assert found.top1 == rows.loc["swis", "top1"]
    assert found.agreement == rows.loc["swis", "agreement"]
    assert found.logit_sqnr_db == pytest.approx(rows.loc["swis", "logit_sqnr_db"], abs=0.05)
    for column in ("weight_bits", "cycles_per_weight", "ideal_cycles", "compression_vs_float32"):
        assert found[column] == rows.loc["swis", column]
    total = (
        swis.simulate(low, "swis_ss", versus=["stripes"]).query("layer == 'total'").set_index("accelerator")
    )
    assert total.loc["swis_ss", "latency_cycles"] == rows.loc["swis", "latency_cycles"]
    assert total.loc["swis_ss", "energy_pj"] == rows.loc["swis", "energy_pj"]
    speedup = total.loc["stripes", "latency_ms"] / total.loc["swis_ss", "latency_ms"]
    assert speedup == pytest.approx(rows.loc["swis", "speedup_vs_stripes"])
