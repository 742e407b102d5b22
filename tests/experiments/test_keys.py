"""An option that changes a row's numbers changes its key; python -m benchmarks.keys tries all settings."""

from dataclasses import replace

import pytest

from benchmarks.keys import checkpoint, configuration, harmless, numbers, same, together
from swis.experiments import study
from swis.options.choices import Clip


@pytest.fixture(scope="module")
def of(tmp_path_factory):
    """Return a function that returns the configuration of a setting."""
    folder = tmp_path_factory.mktemp("keys")
    weights = checkpoint(folder)
    return lambda setting: configuration(setting, weights, folder / "runs")


@pytest.fixture(scope="module")
def scheduled(of):
    return of("scheduled")


def test_options_that_do_not_change_keys_change_no_number(of):
    config = of("plain")
    found = list(harmless(config, values=1))
    assert len(found) > 100
    assert together(config, found) == []


def test_an_option_that_is_missing_in_keys_is_found(of, monkeypatch):
    config = of("plain")
    key, forms = study.Study.key, {fmt.name: fmt for fmt in config.formats}
    monkeypatch.setattr(
        study.Study, "key", lambda self, fmt: key(replace(self, config=config), forms[fmt.name])
    )
    found = [change for change in harmless(config, values=1) if change[0] in ("bits", "alpha")]
    assert {name for name, *_ in found} == {"bits", "alpha"}
    assert [name.partition("=")[0] for name in together(config, found)] == ["bits", "alpha"]


def test_a_scheduled_uniform_row_has_a_key_for_every_8_bit_format(scheduled):
    """The uniform format does not depend on these options, but its loss is relative to the 8-bit codes."""
    before = numbers(scheduled, ["uniform"])["uniform"]
    fmt = next(fmt for fmt in scheduled.formats if fmt.name == "uniform")
    for changes in ({"clip": Clip.mse}, {"magnitude_bits": 6}):
        config = replace(scheduled, **changes)
        other = next(fmt for fmt in config.formats if fmt.name == "uniform")
        assert not same(before, numbers(config, ["uniform"])["uniform"])
        assert study.prepare(config).key(other) != study.prepare(scheduled).key(fmt)
