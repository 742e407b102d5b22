"""The tasks that write a file about a network: pack and storage."""

import pandas as pd
import pytest

from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.run import run


@pytest.mark.parametrize("task", ["pack", "storage"])
def test_an_existing_file_is_replaced_only_with_force(tiny, tmp_path, monkeypatch, task):
    monkeypatch.setattr("swis.packing.storage.storage_table.__defaults__", (7, (4,), (2,)))
    path = tmp_path / "out"
    path.write_text("precious")
    command = [*tiny, f"task={task}", "activation_bits=null", f"out={path}"]
    with pytest.raises(InputError, match="exists already; force=true replaces it"):
        run(load(command))
    assert path.read_text() == "precious"
    run(load([*command, "force=true"]))
    assert path.stat().st_size > 1000
    with pytest.raises(InputError, match="is a folder; give the name of a file"):
        run(load([*command, f"out={tmp_path}"]))


@pytest.mark.parametrize("bits", [4, 5])
def test_the_storage_task_with_few_magnitude_bits(tiny, tmp_path, monkeypatch, bits):
    monkeypatch.setattr("swis.packing.storage.storage_table.__defaults__", (7, (4,), (2, 4, 5, 6)))
    path = tmp_path / "storage.parquet"
    run(load([*tiny, "task=storage", f"out={path}", f"magnitude_bits={bits}"]))
    assert pd.read_parquet(path)["bits"].max() == bits


def test_the_storage_task_writes_rows_of_the_network_and_of_gaussian_weights(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("swis.packing.storage.storage_table.__defaults__", (7, (4,), (2,)))
    path = tmp_path / "storage.parquet"
    text = run(load([*tiny, "task=storage", f"out={path}"]))
    assert "compact" in text
    table = pd.read_parquet(path)
    assert set(table["weights"]) == {"tiny", "gaussian"}
    assert set(table["method"]) == {"swis", "swis_c", "swis_signed", "layer", "dpred"}
    assert table["git_commit"].notna().all()
