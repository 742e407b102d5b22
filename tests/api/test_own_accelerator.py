"""An accelerator of one's own: a changed design in Python, a file of its own on the command line."""

import pandas as pd
import pytest
import timm
import torch

import swis
from swis.errors import InputError


@pytest.fixture(scope="module")
def low():
    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", num_classes=10).eval()
    return swis.quantize(network, swis.Swis(shifts=2), torch.randn(4, 3, 32, 32), activation_bits=8)


def totals(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["layer"] == "total"].set_index("accelerator")


def test_a_changed_design_is_simulated_beside_others(low):
    tall = swis.accelerator("swis_ss", rows=16)
    slow = swis.accelerator("swis_ss", name="slow", dram_bits_per_cycle=8)
    both = totals(swis.simulate(low, tall, versus=["stripes"]))
    own, plain = (totals(swis.simulate(low, design)).iloc[0] for design in (slow, "swis_ss"))
    assert both.index.to_list() == ["swis_ss rows=16", "stripes"]
    assert both["area_mm2"].iloc[0] > plain["area_mm2"]
    assert both["compute_cycles"].iloc[0] != plain["compute_cycles"]
    assert own["latency_cycles"] > plain["latency_cycles"]


def test_a_design_may_be_compared_with_one_of_its_own(low):
    skipping = swis.accelerator("bitwave", name="own", skipping="bits", frequency_mhz=250)
    table = totals(swis.simulate(low, "swis_ss", versus=[skipping, "bitwave"]))
    assert table.at["own", "latency_cycles"] != table.at["bitwave", "latency_cycles"]
    cycles = table.loc["own", "latency_cycles"]
    assert table.loc["own", "latency_ms"] == pytest.approx(cycles / 250e3)  # its clock, not that of swis_ss
    alone = totals(swis.simulate(low, "swis_ss", versus=skipping))
    assert alone.loc["own"].equals(table.loc["own"])


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda low: swis.accelerator("swis_s"), "accelerator must be one of .* did you mean swis_"),
        (lambda low: swis.accelerator("swis_ss", column=16), "option must be one of .* did you mean columns"),
        (lambda low: swis.accelerator("swis_ss", columns="many"), "accelerator.columns: Value 'many'"),
        (lambda low: swis.accelerator("swis_ss", columns=0), "columns must be at least 1, not 0"),
        (
            lambda low: swis.accelerator("stripes", shifts_per_cycle=2),
            "is only for datapath=swis, not serial",
        ),
        (
            lambda low: swis.simulate(low, "swis_ss", versus=["swis_ss"]),
            "two accelerators are called swis_ss",
        ),
        (
            lambda low: swis.simulate(low, swis.accelerator("swis_ss", unit="none")),
            "accelerator.unit=none is not in the energy",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(low, wrong, reason):
    with pytest.raises(InputError, match=reason) as error:
        wrong(low)
    assert "\n" not in str(error.value)


def test_the_command_line_takes_a_file_from_another_folder(command_line, tiny, tmp_path):
    folder = tmp_path / "own" / "accelerator"
    folder.mkdir(parents=True)
    (folder / "wide.yaml").write_text("defaults: [swis_ds, _self_]\nname: wide\ncolumns: 16\n")
    few = [*tiny, "methods=[swis]", "calibrate=none", "versus=[swis_ds]"]
    done = command_line("--config-dir", str(folder.parent), "accelerator=wide", *few)
    assert done.status == 0, done.err
    assert "one image on wide" in done.out
    rows = swis.load_table(tmp_path / "runs", "all").dropna(subset="accelerator")
    assert set(rows["accelerator"]) == {"wide"}
    assert set(rows["columns"]) == {16}
    assert "wide" not in swis.accelerators().index


def test_a_file_with_the_name_of_one_in_conf_is_refused(command_line, tiny, tmp_path):
    folder = tmp_path / "own" / "accelerator"
    folder.mkdir(parents=True)
    (folder / "swis_ds.yaml").write_text("defaults: [swis_ss, _self_]\nname: swis_ds\ncolumns: 32\n")
    done = command_line("--config-dir", str(folder.parent), "accelerator=swis_ds", *tiny)
    assert done.status == 2
    assert "swis_ds.yaml would not be read, because conf/ has accelerator=swis_ds" in done.err
