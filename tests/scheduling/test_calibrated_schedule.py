"""Schedules with losses at the logits, from the command line and from Python."""

import pytest
import torch
from conftest import SHORT
from torch import nn

import swis
from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.study import prepare
from swis.options.option import identity
from swis.options.scheduling import ScheduleConfig


def test_the_preset_runs_with_two_budgets(command_line, tiny, tmp_path):
    line = [*tiny, *SHORT, "bits=2.5", "methods=[swis]", "calibrate=output_aware", "schedule=calibrated"]
    line += ["schedule.budget_unit=macs", "schedule.storage_bits=4.5"]
    done = command_line(*line)
    assert done.status == 0, done.err
    assert "swis, calibrated schedule of 2.5: " in done.out
    row = swis.load_table(tmp_path / "runs").dropna(subset="schedule_spent").iloc[0]
    assert 2.3 < row["cycles_per_mac"] <= 2.5
    assert row["weight_bits"] <= 4.5
    assert 0 < row["schedule_bound"] <= row["schedule_loss"]
    assert row["schedule_budget_unit"] == "macs"
    again = command_line(*line, "dry_run=true")
    assert "swis done" in again.out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["schedule.storage_bits=2"], "schedule.storage_bits=2 is too low: the fewest shifts take"),
        (["schedule.sensitivity=true"], "losses=logits has the effect on the logits already"),
        (["schedule.policy=greedy", "schedule.storage_bits=4"], "needs schedule.policy=optimal, not greedy"),
        (["bits=1.5", "schedule.min=2"], "of the cost of its fewest shifts"),
    ],
)
def test_mistakes_are_refused_before_any_work(command_line, tiny, more, message):
    done = command_line(*tiny, "bits=2.5", "methods=[swis]", "schedule=calibrated", *more)
    assert done.status == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_new_options_change_no_key_of_older_rows(tiny):
    for name in ("uniform", "network"):
        settings = load([f"schedule={name}"]).schedule
        assert not {"losses", "storage_bits"} & set(identity(settings))
    line = [*tiny, "bits=2.5", "calibrate=output_aware"]
    keys = set()
    for more in ([], ["schedule.images=16"], ["schedule.storage_bits=4.5"], ["schedule.losses=weights"]):
        study = prepare(load([*line, "methods=[swis]", "schedule=calibrated", "dry_run=true", *more]))
        keys.add(study.key(study.config.formats[-1]))
    assert len(keys) == 4


@pytest.fixture
def network() -> nn.Module:
    """Return a network whose first channel does not reach the output."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 3)).eval()
    made[3].weight.data[:, :36] = 0
    return made


def test_python_makes_the_schedule_by_name_and_by_options(network):
    images, fmt = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)), swis.Swis(shifts=2.5)
    found = swis.schedule(network, fmt, images, policy="calibrated")
    assert found.policy == "calibrated"
    assert found.layers["0"].shifts[0] == 1
    low = swis.quantize(network, fmt, images, schedule="calibrated", calibrate="output_aware")
    assert low.layers["shifts"].tolist() == [layer.shifts.mean() for layer in found.layers.values()]
    options = ScheduleConfig("optimal", "network", losses="logits", storage_bits=4.2)
    fewer = swis.quantize(network, fmt, images, schedule=swis.schedule(network, fmt, images, policy=options))
    assert fewer.cost["weight_bits"] <= 4.2 < low.cost["weight_bits"]
    with pytest.raises(InputError, match="policy=calibrated needs a calibration set"):
        swis.schedule(network, fmt, policy="calibrated", example=images)
