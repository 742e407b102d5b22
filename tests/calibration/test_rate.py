"""Calibration that weighs bits: against all choices of a group, and bits and errors at several rates."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from torch import nn

import swis
from swis.calibration import logit_losses
from swis.calibration.gptq import Prices, factors, walk
from swis.calibration.output_aware import output_aware
from swis.errors import InputError
from swis.experiments.config import load
from swis.formats.swis import Swis
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.options.calibrations import OutputAware


def inputs(width, count=300, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator)
    return (torch.randn(count, width, generator=generator) @ mix).split(100)


def encoded(fmt, rate, codebook=None):
    torch.manual_seed(0)
    layer, images = nn.Linear(24, 40), inputs(24)
    settings = OutputAware(rate=rate, codebook=codebook)
    return output_aware(layer, fmt, None, images, images, settings), layer, images


def output_error(found, layer, images):
    off = found.weight() - layer.weight.detach()
    return float((torch.cat(images) @ off.T).square().sum())


def test_without_correlation_every_group_has_the_least_error_plus_price_of_its_bits():
    fmt = Swis(shifts=2, magnitude_bits=4, coding="entropy")
    sets = list(combinations(range(4), 2))
    levels = [sorted({0, 2**a, 2**b, 2**a + 2**b}) for a, b in sets]
    generator = torch.Generator().manual_seed(4)
    bits = (1 + 6 * torch.rand(len(sets), 4, generator=generator)).numpy()
    set_bits = (5 * torch.rand(len(sets), generator=generator)).numpy()
    target = 15 * (2 * torch.rand(10, 4, generator=generator).double() - 1)
    price = np.full(10, 3.0, np.float32)
    prices = Prices(np.array(levels, np.float32), bits, set_bits, price)
    codes, chosen = walk(
        target, factors(torch.eye(4).double()[None], 4), np.zeros(10, int), fmt, 0, 1, prices
    )
    for row, found, of in zip(target.tolist(), codes.tolist(), chosen[:, 0].tolist(), strict=True):
        best = min(
            (
                sum((abs(w) - level) ** 2 for w, level in zip(row, taken, strict=True))
                + 3 * (set_bits[place] + sum(bits[place][levels[place].index(level)] for level in taken)),
                taken,
                place,
            )
            for place in range(len(sets))
            for taken in product(levels[place], repeat=4)
        )
        assert [abs(code) for code in found] == list(best[1])
        assert fmt.set_ids()[best[2]] == of


@pytest.mark.parametrize("fmt", [Swis(2, coding="entropy"), Uniform(3, coding="entropy")], ids=str)
def test_a_higher_rate_takes_fewer_bits_and_more_error(fmt):
    points = []
    for rate in (0.0, 0.02, 0.1):
        found, layer, images = encoded(fmt, rate)
        points.append((found.stored_bits, output_error(found, layer, images)))
    (most, least_error), (fewer, more), (fewest, most_error) = points
    assert most > fewer > fewest
    assert least_error < more < most_error


def test_the_result_does_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(encoded(Swis(2, coding="entropy"), 0.03)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0].codes, found[1].codes)
    assert torch.equal(found[0].shift_sets, found[1].shift_sets)


def test_codes_are_levels_of_their_sets():
    fmt = Swis(2, coding="entropy")
    found, *_ = encoded(fmt, 0.05)
    of_weight = found.shift_sets.repeat_interleave(4, 1)[:, :24].short()
    assert torch.all(found.codes.abs() & ~of_weight == 0)


@pytest.mark.parametrize(
    ("fmt", "message"),
    [(Swis(2), "needs coding=entropy, not plain"), (Truncate(2, coding="entropy"), "always rounds down")],
)
def test_formats_that_cannot_weigh_bits_refuse_a_rate(fmt, message):
    with pytest.raises(InputError, match=message):
        encoded(fmt, 0.01)


def test_a_network_counts_and_saves_its_entropy_coded_bits(tmp_path):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(24, 40), nn.ReLU(), nn.Linear(40, 8)).eval()
    images = torch.cat(inputs(24))
    low = swis.quantize(
        network,
        Swis(2, coding="entropy"),
        images,
        calibrate="output_aware",
        output_aware=OutputAware(rate=0.02),
    )
    path = tmp_path / "low.safetensors"
    swis.save(low, path)
    again = swis.load(path, network)
    assert torch.equal(again(images), low(images))
    assert again.fmt == low.fmt
    assert again.cost["weight_bits"] == low.cost["weight_bits"]
    assert low.cost["weight_bits"] < Swis(2).stored_bits(1, 24) / 24


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_layer_keeps_at_most_so_many_sets(size):
    found, *_ = encoded(Swis(2), 0.0, codebook=size)
    assert 0 < len(found.shift_sets.unique()) <= size


def test_a_larger_codebook_never_has_more_error_than_a_much_smaller_one():
    errors = [output_error(*encoded(Swis(2), 0.0, codebook=size)) for size in (1, 2, 4, 8, None)]
    assert errors == sorted(errors, reverse=True)


def test_a_codebook_as_large_as_the_candidates_changes_nothing():
    assert torch.equal(encoded(Swis(2), 0.0)[0].codes, encoded(Swis(2), 0.0, codebook=21)[0].codes)


def test_without_correlation_the_only_set_is_the_one_of_least_error():
    torch.manual_seed(0)
    layer, images = nn.Linear(24, 40), [torch.eye(24)]
    settings = {"scales": [1.0], "asymmetric": False, "rounds": 0}
    found = output_aware(layer, Swis(2), None, images, images, OutputAware(codebook=1, **settings))
    top = layer.weight.detach().abs().amax(1, keepdim=True) / 127
    rows = (layer.weight.detach() / top).abs().double()
    errors = {}
    for place, chosen in enumerate(combinations(range(7), 2)):
        levels = torch.tensor([0, *(2**s for s in chosen), sum(2**s for s in chosen)]).double()
        off = (rows[..., None] - levels).abs().amin(2) * top
        errors[Swis(2).set_ids()[place]] = float(off.square().sum())
    assert found.shift_sets.unique().tolist() == [min(errors, key=errors.get)]


def test_codebook_coding_stores_the_index_among_the_sets_of_the_layer():
    found, *_ = encoded(Swis(2, coding="codebook"), 0.0, codebook=4)
    assert found.stored_bits == 24 + 40 * 6 * (4 * 3 + 2)  # 21 candidate sets, and 240 groups


def test_a_rate_without_entropy_coding_is_refused_before_any_work():
    network = nn.Linear(24, 40).eval()
    with pytest.raises(InputError, match="needs coding=entropy, not plain"):
        swis.quantize(
            network, Swis(2), inputs(24), calibrate="output_aware", output_aware=OutputAware(rate=0.1)
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["calibrate=stats", "calibration.rate=0.1"], "calibration.rate needs calibrate=output_aware"),
        (["calibrate=none", "calibration.codebook=2"], "calibration.codebook needs calibrate=output_aware"),
        (["calibrate=output_aware", "calibration.rate=0.1"], "needs coding=entropy, not plain"),
        (
            ["calibrate=output_aware", "calibration.rate_against=logits"],
            "rate_against=logits needs calibration.rate above 0",
        ),
        (["task=simulate", "coding=entropy"], "accelerators read plain coding"),
        (["coding=zip"], "coding must be one of"),
        (["calibrate=output_aware", "calibration.codebook=0"], "codebook must be at least 1"),
        (["schedule.policy=uniform", "schedule.losses=logits"], "has no effect with schedule.policy=uniform"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        load(options)


def test_only_stored_bits_that_do_not_depend_on_weights_can_be_a_budget():
    network = nn.Sequential(nn.Linear(24, 40)).eval()
    settings = swis.ScheduleConfig(policy="optimal", storage_bits=4.0)
    with pytest.raises(InputError, match="needs coding=plain, not entropy"):
        swis.schedule(network, Swis(1.5, coding="entropy"), policy=settings, example=torch.ones(1, 24))


def test_the_codebook_of_many_groups_looks_at_some_of_them(monkeypatch):
    whole = encoded(Swis(2), 0.0, codebook=2)[0]
    monkeypatch.setattr("swis.calibration.output_aware._GROUPS", 100)  # of 240 groups
    some = encoded(Swis(2), 0.0, codebook=2)[0]
    assert 0 < len(some.shift_sets.unique()) <= 2
    assert some.codes.shape == whole.codes.shape


class Branches(nn.Module):
    """Two equal layers; the output of the second counts less."""

    def __init__(self, share):
        super().__init__()
        self.share = share
        self.strong, self.weak, self.head = nn.Linear(24, 40), nn.Linear(24, 40), nn.Linear(40, 5)

    def forward(self, images):
        return self.head(torch.relu(self.strong(images)) + self.share * torch.relu(self.weak(images)))


def test_bits_go_where_the_logits_need_them():
    torch.manual_seed(2)
    network, bits = Branches(0.05).eval(), {}
    for against in ("output", "logits"):
        settings = OutputAware(rate=0.003, rate_against=against)
        low = swis.quantize(
            network,
            Swis(3, coding="entropy"),
            torch.cat(inputs(24)),
            calibrate="output_aware",
            output_aware=settings,
        )
        stored = low.layers["bits"]
        bits[against] = (stored["strong"], stored["weak"])
    assert bits["output"][0] == pytest.approx(bits["output"][1], abs=0.3)
    assert bits["logits"][0] > bits["logits"][1] + 1


def test_the_price_of_a_bit_is_its_effect_on_linear_logits(monkeypatch):
    monkeypatch.setattr(logit_losses, "_PROJECTIONS", 4000)
    torch.manual_seed(3)
    network, images = nn.Sequential(nn.Linear(24, 6), nn.Linear(6, 4)).requires_grad_(False), inputs(24)[0]
    network[1].weight[:, 5] = 0
    found = logit_losses.logit_prices(network, Swis(2), 0.1, [], [images])["0"]
    power = float(network(images).double().square().sum(1).mean())
    effects = logit_losses.FIRST_COUNTS * network[1].weight.square().sum(0) / power
    expected = 0.1 / (effects[:5] * (24 * 6 + 6 * 4))
    assert found[:5].numpy() == pytest.approx(expected.numpy(), rel=0.1)
    assert found[5] > 20 * found[:5].mean()  # a filter without effect counts as a hundredth of the mean


def test_in_a_layer_without_effect_bits_cost_nothing():
    torch.manual_seed(3)
    network = Branches(0.0).eval().requires_grad_(False)
    found = logit_losses.logit_prices(network, Swis(2), 0.1, ["head"], [inputs(24)[0]])
    assert set(found) == {"strong", "weak"}
    assert found["strong"].min() > 0
    assert torch.equal(found["weak"], torch.zeros(40).double())


def test_bits_are_weighed_against_the_logits_with_a_schedule_too():
    torch.manual_seed(2)
    low = swis.quantize(
        Branches(0.05).eval(),
        Swis(2.5, coding="entropy"),
        torch.cat(inputs(24)),
        calibrate="output_aware",
        schedule="optimal",
        output_aware=OutputAware(rate=0.003, rate_against="logits"),
    )
    stored = low.layers["bits"]
    assert stored["strong"] > stored["weak"] + 1
