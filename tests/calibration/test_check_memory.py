"""A run stops before any work if the calibration of a layer needs more memory than is available."""

import pytest

from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.study import prepare


def test_the_error_names_the_layer_that_needs_too_much_memory(tiny, monkeypatch):
    settings = [*tiny, "calibrate=output_aware", "methods=[swis]"]
    everything = load(settings).formats
    prepare(load(settings)).check_memory(everything)
    # too little for the layer with 256 inputs, enough for all others
    monkeypatch.setattr("swis.calibration.layerwise.device_memory", lambda device: 4 * 2**20)
    with pytest.raises(InputError, match=r"calibrating layer classifier needs .*, but only 0\.0 GiB are av"):
        prepare(load(settings)).check_memory(everything)
    prepare(load(settings)).check_memory(everything[:2])  # float and int8 are not calibrated
    prepare(load([*settings, "skip=[classifier]"])).check_memory(everything)
    prepare(load([*tiny, "calibrate=stats", "methods=[swis]"])).check_memory(everything)


def test_rows_that_exist_are_read_without_that_memory(tiny, command_line, monkeypatch):
    settings = [*tiny, "calibrate=output_aware", "methods=[swis]"]
    monkeypatch.setattr("swis.calibration.layerwise.device_memory", lambda device: 4 * 2**20)
    refused = command_line(*settings)
    assert (refused.status, refused.err.count("\n")) == (2, 1)
    assert "calibrating layer classifier needs" in refused.err
    monkeypatch.undo()
    assert command_line(*settings).status == 0
    monkeypatch.setattr("swis.calibration.layerwise.device_memory", lambda device: 4 * 2**20)
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")  # without the cache, the network is loaded too
    assert command_line(*settings).status == 0
    assert command_line(*settings, "dry_run=true").out == "float done, int8 done, swis done\n"
