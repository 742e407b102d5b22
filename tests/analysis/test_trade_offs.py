"""Trade-offs of hardware and accuracy: rows are matched, and only formats of equal loss are compared."""

import pandas as pd
import pytest

from swis.analysis.trade_offs import (
    advantage,
    at_dram_cost,
    fair_gains,
    most_gained,
    with_accuracy,
    within_loss,
)
from swis.errors import InputError
from swis.results.records import load_simulated

ROWS = pd.DataFrame(
    [("float", None, 90.0), ("int8", None, 89.5), ("swis", 2, 80.0), ("swis", 3, 89.2), ("uniform", 3, 89.0)],
    columns=["method", "bits", "top1"],
).assign(model="n", magnitude_bits=7)

# accelerator, method, bits, latency, energy
HARDWARE = pd.DataFrame(
    [
        ("swis_ss", "int8", 7, 7.0, 70),
        ("swis_ss", "swis", 2, 2.0, 20),
        ("swis_ss", "swis", 3, 3.0, 36),
        ("swis_ss", "uniform", 3, 2.9, 29),
        ("stripes", "int8", 7, 8.0, 80),
        ("stripes", "swis", 3, 1.0, 10),
        ("stripes", "uniform", 3, 4.0, 30),
        ("pragmatic", "int8", 7, 6.0, 90),
        ("bitfusion", "int8", 7, 0.5, 1),
    ],
    columns=["accelerator", "method", "bits", "latency_ms", "energy_pj"],
).assign(network="n", dram_energy_pj=0, dram_bytes=0.0)


def test_the_loss_is_relative_to_the_float_row():
    table = with_accuracy(HARDWARE, ROWS).set_index(["accelerator", "method", "bits"])
    assert len(table) == len(HARDWARE)
    assert table.loc[("stripes", "int8", 7), "loss"] == 0.5
    assert table.loc[("swis_ss", "swis", 2), "loss"] == 10.0


def test_a_design_runs_the_fastest_format_that_it_is_designed_for():
    best = within_loss(with_accuracy(HARDWARE, ROWS), 1.0).set_index("accelerator")
    assert best["latency_ms"].to_dict() == {
        "swis_ss": 3.0,
        "stripes": 4.0,
        "pragmatic": 6.0,
        "bitfusion": 0.5,
    }
    strict = within_loss(with_accuracy(HARDWARE, ROWS), 0.5).set_index("accelerator")
    assert "swis_ss" not in strict.index  # it is designed for shift sets, and swis loses 0.8
    assert strict.loc["stripes", "method"] == "int8"
    frugal = within_loss(with_accuracy(HARDWARE, ROWS), 1.0, by="energy_pj").set_index("accelerator")
    assert frugal.loc["stripes", "energy_pj"] == 30


def test_advantages_are_ratios_over_bit_serial_designs():
    best = within_loss(with_accuracy(HARDWARE, ROWS))
    gains = advantage(best, "swis_ss").set_index("over")
    assert sorted(gains.index) == ["pragmatic", "stripes"]
    assert gains.loc["stripes", "speedup"] == pytest.approx(4 / 3)
    assert gains.loc["pragmatic", "energy_gain"] == 90 / 36
    assert gains.loc["stripes", ["method", "method_over"]].tolist() == ["swis", "uniform"]


def test_the_largest_gain_is_over_eight_bits_at_any_loss():
    assert most_gained(HARDWARE, "latency_ms")["gain"] == 8 / 2
    energy = most_gained(HARDWARE, "energy_pj")
    assert energy[["gain", "accelerator_over"]].tolist() == [90 / 20, "pragmatic"]


def test_a_fair_gain_compares_the_best_formats_of_both_sides_at_each_loss():
    unshared = [("truncation", "int8", 7, 6.6, 40), ("truncation", "uniform", 3, 2.7, 45)]
    own = pd.DataFrame(unshared, columns=HARDWARE.columns[:5]).assign(network="n")
    equal = with_accuracy(pd.concat([HARDWARE, own]), ROWS)
    time = fair_gains(equal, "latency_ms", [1.0, 20.0])
    assert time["gain"].tolist() == pytest.approx([4 / 3, 4 / 2])
    assert time["gain_over_unshared"].tolist() == pytest.approx([2.7 / 3, 2.7 / 2])
    assert time["accelerator_over"].tolist() == ["stripes", "stripes"]
    energy = fair_gains(equal, "energy_pj", [1.0])  # each side has its format of least energy
    assert energy[["gain", "gain_over_unshared", "method_over"]].values.tolist() == [
        [30 / 36, 40 / 36, "uniform"]
    ]
    assert fair_gains(equal, "latency_ms", [0.1]).empty  # every format loses more


def test_another_energy_of_dram_changes_only_the_dram_part():
    rows = pd.DataFrame({"dram_bytes": [100.0], "dram_energy_pj": [12_000], "energy_pj": [20_000]})
    assert at_dram_cost(rows, 15)["energy_pj"].item() == 20_000
    assert at_dram_cost(rows, 5)["energy_pj"].item() == 12_000


def test_a_row_in_two_tables_of_a_folder_is_read_once(tmp_path):
    HARDWARE.assign(group_size=4).to_parquet(tmp_path / "a.parquet")
    HARDWARE.assign(group_size=4).iloc[:3].to_parquet(tmp_path / "b.parquet")
    assert len(load_simulated(tmp_path)) == len(HARDWARE)
    with pytest.raises(InputError, match="has no tables of simulated networks"):
        load_simulated(tmp_path / "none")
