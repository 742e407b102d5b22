"""A layer that takes more memory to calibrate than there is is refused before any work."""

import pytest

from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.study import prepare


def test_a_layer_that_takes_more_memory_than_is_free_is_named(tiny, monkeypatch):
    settings = [*tiny, "calibrate=output_aware", "methods=[swis]"]
    prepare(load(settings))
    # too little for the matrices of 256 inputs, enough for those of others
    monkeypatch.setattr("swis.calibration.layerwise.free_memory", lambda device: 4 * 2**20)
    with pytest.raises(InputError, match=r"calibrating layer classifier takes .* GiB of memory and 0\.0 GiB"):
        prepare(load(settings))
    prepare(load([*settings, "skip=[classifier]"]))
    prepare(load([*tiny, "calibrate=stats", "methods=[swis]"]))
