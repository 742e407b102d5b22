"""Weight formats: their properties, and formats that contradict themselves."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from swis.encoding.cost import layer_cost
from swis.encoding.decompose import decompose
from swis.encoding.encode import cost_of, encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.formats import registry
from swis.formats.registry import formats, from_settings, int8_of, register, weight_format
from swis.formats.weight_format import WeightFormat
from swis.hardware.layer_shapes import Layer
from swis.hardware.operands import operands_of


@dataclass(frozen=True)
class Codebook(WeightFormat):
    """One set of given levels for all weights."""

    levels: tuple[int, ...] = (0, 9, 40, 127)

    name: ClassVar[str] = "codebook"

    def level_sets(self):
        return (self.levels,)


class Several(Codebook):
    def level_sets(self):
        return (self.levels, self.levels)


class ManySets(Codebook):
    grouped = True

    def level_sets(self):
        return tuple((0, 1 + number % 127) for number in range(257))


class Codes(Codebook):
    on_codes = False


class Wider(Codebook):
    @property
    def code_bits(self):
        return self.magnitude_bits + 1


class Twice(Codebook):
    @property
    def level_bits(self):
        return 2 * self.shifts


class OwnButNotAlone(Codebook):
    on_codes, own_quantizer = False, True

    def level_sets(self):
        return (tuple(range(2**self.magnitude_bits)),)


class Down(Codebook):
    rounds_down = True


@pytest.fixture
def added(monkeypatch):
    monkeypatch.setattr(registry, "_FORMATS", formats())
    register(Codebook)


@pytest.mark.parametrize(
    ("fmt", "message"),
    [
        (Codebook(levels=(0, 64, 128)), "levels must ascend from 0 and stay below 128"),
        (Codebook(levels=(1, 16, 64)), "levels must ascend from 0"),
        (Codebook(levels=(0, 64, 16)), "levels must ascend from 0"),
        (Several(), "several candidate sets, which needs grouped = True"),
        (ManySets(), "it must have 1 to 256 candidate sets, not 257"),
        (Codes(), "not every code is a level, which needs on_codes = True"),
        (Wider(), "own code_bits or code_clip need own_quantizer = True"),
        (Twice(), "level_bits must be the number of shifts"),
        (OwnButNotAlone(), "code_bits and code_clip must not depend on magnitude_bits and clip"),
    ],
)
def test_a_format_that_contradicts_itself_is_refused_in_one_line(fmt, message):
    with pytest.raises(InputError, match=f"^format codebook: .*{message}"):
        encode(torch.randn(2, 8), fmt)


def test_codes_take_the_nearest_level_or_the_one_below():
    codes = torch.tensor([[0, 5, 24, 30, 90, 127, -8]])
    assert decompose(codes, Codebook()).codes.tolist() == [[0, 9, 9, 40, 127, 127, -9]]
    assert decompose(codes, Down()).codes.tolist() == [[0, 0, 9, 9, 40, 127, 0]]


def test_a_design_without_shift_sets_takes_all_bits_of_other_levels():
    layer = Layer("fc", 16, 4, 1, 1, 1, 1, 1, 1)
    schedule = LayerSchedule(np.array([1, 2, 2, 3]), np.arange(4))
    weight = torch.randn(4, 16)
    for fmt, widths in ((Codebook(), [7, 7, 7, 7]), (weight_format("round"), [1, 2, 2, 3])):
        operands = operands_of(layer, fmt, encode(weight, fmt, schedule), codes=False)
        assert operands.widths.tolist() == widths
        assert operands.shifts.tolist() == [1, 2, 2, 3]
        alone = sum(layer_cost(fmt.with_shifts(n), 1, 16, 16).lane_cycles for n in (1, 2, 2, 3))
        assert cost_of(fmt, schedule, 4, 16, 64).lane_cycles == alone


@pytest.mark.parametrize("kind", formats().values())
def test_from_settings_returns_the_same_format(kind):
    fmt = kind(shifts=3, group_size=8, alpha=0.5, magnitude_bits=6, granularity="tensor", clip="mse")
    assert from_settings(fmt.settings()) == fmt
    if fmt.quantized:
        fmt.check()
        assert int8_of(fmt) == int8_of(weight_format("swis", 3, 8, 0.5, 6, "tensor", "mse"))


def test_added_fields_are_read_back_from_json(added):
    fmt = Codebook(levels=(0, 1, 2))
    assert from_settings(fmt.settings() | {"levels": [0, 1, 2]}) == fmt
    assert fmt.own_settings() == {"levels": (0, 1, 2)}
    assert weight_format("swis").own_settings() == {}


def test_two_formats_cannot_share_a_name_but_a_class_can_be_defined_again(added):
    with pytest.raises(ValueError, match="'swis'"):
        register(type("Mine", (Codebook,), {"name": "swis"}))
    again = type("Codebook", (Codebook,), {"__qualname__": "Codebook"})
    again.__module__ = Codebook.__module__
    assert register(again) is again
    assert isinstance(weight_format("codebook"), again)


def test_the_search_is_right_for_large_metrics():
    """Sets without large levels give metrics that do not fit the fast path's 32 bits."""

    @dataclass(frozen=True)
    class Small(WeightFormat):
        name: ClassVar[str] = "small"
        grouped: ClassVar[bool] = True

        def level_sets(self):
            return tuple((0, k) for k in range(1, 21))

    codes = torch.full((16, 64), 127)
    for alpha in (1.0, 32.0, 33.0):
        found = decompose(codes, Small(group_size=64, alpha=alpha))
        assert (found.codes == 20).all()


def test_added_fields_are_in_the_key_of_a_row(added, tiny, monkeypatch):
    from swis.experiments.config import load
    from swis.experiments.study import prepare

    study = prepare(load([*tiny, "methods=[swis]"]))
    one, other = Codebook(), Codebook(levels=(0, 3, 127))
    assert study.key(one) != study.key(other)
    assert study.key(one) == study.key(replace(one))
