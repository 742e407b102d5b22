"""A layer that takes more memory to calibrate than there is is refused before any work."""

import pytest

from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.study import prepare


def test_a_layer_that_takes_more_memory_than_is_free_is_named(tiny, monkeypatch):
    settings = [*tiny, "calibrate=output_aware", "methods=[swis]"]
    everything = load(settings).formats
    prepare(load(settings)).check_memory(everything)
    # too little for the matrices of 256 inputs, enough for those of others
    monkeypatch.setattr("swis.calibration.layerwise.device_memory", lambda device: 4 * 2**20)
    with pytest.raises(InputError, match=r"calibrating layer classifier takes .* and there are 0\.0 GiB"):
        prepare(load(settings)).check_memory(everything)
    prepare(load(settings)).check_memory(everything[:2])  # rows that are there need no calibration
    prepare(load([*settings, "skip=[classifier]"])).check_memory(everything)
    prepare(load([*tiny, "calibrate=stats", "methods=[swis]"])).check_memory(everything)


def test_a_run_is_refused_and_rows_that_are_there_are_not(tiny, command_line, monkeypatch):
    settings = [*tiny, "calibrate=output_aware", "methods=[swis]"]
    monkeypatch.setattr("swis.calibration.layerwise.device_memory", lambda device: 4 * 2**20)
    refused = command_line(*settings)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "calibrating layer classifier takes" in refused.err
    monkeypatch.undo()
    assert command_line(*settings).status == 0
    monkeypatch.setattr("swis.calibration.layerwise.device_memory", lambda device: 4 * 2**20)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")  # so that all is loaded
    assert command_line(*settings).status == 0
    assert command_line(*settings, "dry_run=true").out == "float done, int8 done, swis done\n"
