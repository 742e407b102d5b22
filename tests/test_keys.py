"""Any option that changes a row's numbers changes its key; python -m benchmarks.keys tries all settings."""

from dataclasses import replace

import pytest

from benchmarks.keys import checkpoint, configuration, numbers, same
from swis import study
from swis.choices import Clip


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return configuration("scheduled", checkpoint(folder), folder / "runs")


def test_a_scheduled_uniform_row_has_a_key_for_every_base_format(scheduled):
    """Its own bits and clip are no option, but its loss is over the base format's codes."""
    before = numbers(scheduled, ["uniform"])["uniform"]
    form = next(form for form in study.formats(scheduled) if form.method == "uniform")
    for changes in ({"clip": Clip.mse}, {"magnitude_bits": 6}):
        config = replace(scheduled, **changes)
        other = next(form for form in study.formats(config) if form.method == "uniform")
        assert not same(before, numbers(config, ["uniform"])["uniform"])
        assert study.prepare(config).key(other) != study.prepare(scheduled).key(form)
