"""A scale for each group against every choice there is; packed bits against an encoder of strings."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import swis
from swis.analysis.trade_offs import made_for
from swis.calibration.output_aware import output_aware
from swis.coding.bitstream import CODINGS, Layout, pack, unpack
from swis.encoding.cost import layer_cost
from swis.encoding.decompose import decompose, to_filters
from swis.encoding.encode import cost_of, encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.encoding.metrics import mse_plus_plus
from swis.encoding.quantizer import quantize
from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.study import prepare
from swis.formats.registry import METHODS, from_settings, method_names
from swis.formats.uniform_group import UniformGroup
from swis.hardware.layer_shapes import Layer
from swis.hardware.operands import operands_of
from swis.options.calibrations import OutputAware


@st.composite
def cases(draw):
    bits = draw(st.integers(4, 8))
    fmt = UniformGroup(
        shifts=draw(st.integers(1, 3)),
        group_size=draw(st.integers(1, 9)),  # of no effect
        alpha=draw(st.sampled_from([0.0, 0.3, 1.0, 2.5])),
        magnitude_bits=bits,
        scale_group=draw(st.integers(1, 5)),
    )
    top, weights = 2**bits - 1, draw(st.integers(1, 9))
    row = st.lists(st.integers(-top, top), min_size=weights, max_size=weights)
    return fmt, torch.tensor(draw(st.lists(row, min_size=1, max_size=3)))


def levels_of(m, fmt):
    """The magnitudes of a group whose step is m, spelled out."""
    return [m * step for step in range(2**fmt.shifts)]


def steps_of(fmt):
    return [m for m in range(1, 2**fmt.magnitude_bits) if max(levels_of(m, fmt)) < 2**fmt.magnitude_bits]


def nearest(code, levels):
    magnitude = min(levels, key=lambda level: (abs(level - abs(code)), level))
    return magnitude if code >= 0 else -magnitude


def cost(taken, group, alpha):
    errors = [a - b for a, b in zip(taken, group, strict=True)]
    return sum(e * e for e in errors) + alpha * sum(errors) ** 2


def groups_of(row, fmt):
    return [row[start : start + fmt.scale_group] for start in range(0, len(row), fmt.scale_group)]


@settings(max_examples=60, deadline=None)
@given(cases())
def test_no_step_is_better_than_the_chosen_one(case):
    fmt, codes = case
    found = decompose(codes, fmt)
    for row, new, places in zip(codes.tolist(), found.codes.tolist(), found.shift_sets.tolist(), strict=True):
        for group, taken, place in zip(groups_of(row, fmt), groups_of(new, fmt), places, strict=True):
            tried = [[nearest(code, levels_of(m, fmt)) for code in group] for m in steps_of(fmt)]
            costs = [cost(each, group, fmt.alpha) for each in tried]
            assert cost(taken, group, fmt.alpha) == pytest.approx(min(costs))
            assert taken == tried[place]
    again = decompose(found.codes, fmt)
    assert torch.equal(again.codes, found.codes)


def described_bits(codes, places, fmt):
    """The plain coding as its description says, as a string of 0 and 1."""
    width, text = (len(steps_of(fmt)) - 1).bit_length(), ""
    for row, chosen in zip(codes.tolist(), places.tolist(), strict=True):
        for group, place in zip(groups_of(row, fmt), chosen, strict=True):
            text += f"{place:0{width}b}"[::-1] if width else ""
            for code in group:
                text += str(int(code < 0)) + f"{abs(code) // (place + 1):0{fmt.shifts}b}"[::-1]
    return text


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from(CODINGS))
def test_packed_bits_are_the_described_ones_and_come_back(case, coding):
    fmt, codes = case
    found = decompose(codes, fmt)
    layout = Layout(fmt, *codes.shape, coding)
    payload, bits = pack(found.codes.numpy(), found.shift_sets.numpy(), layout)
    assert sum(bits.values()) == 8 * len(payload)
    new, places = unpack(payload, layout)
    assert np.array_equal(new, found.codes.numpy())
    assert np.array_equal(places, found.shift_sets.numpy())
    if coding == "plain":
        text = "".join(f"{byte:08b}"[::-1] for byte in payload.tolist())
        expected = described_bits(found.codes, found.shift_sets, fmt)
        assert len(expected) == fmt.stored_bits(*codes.shape)
        assert text == expected + "0" * bits["metadata"]


@pytest.mark.parametrize(
    ("shifts", "steps", "bits"), [(1, 127, 7), (2, 42, 6), (3, 18, 5), (4, 8, 3), (7, 1, 0)]
)
def test_a_group_pays_for_the_number_of_its_step(shifts, steps, bits):
    fmt = UniformGroup(shifts=shifts)
    fmt.check()
    assert len(fmt.level_sets()) == steps
    assert fmt.mask_bits == fmt.level_bits == shifts
    assert fmt.stored_bits(2, 9 * 32) == 2 * 9 * (32 * (1 + shifts) + bits)
    assert fmt.stored_bits(2, 9) == 2 * (9 * (1 + shifts) + bits)  # one short group without padding
    assert layer_cost(fmt, 1, 64, 64).lane_cycles == 64 * shifts


def test_all_bits_keep_every_code():
    codes = torch.randint(-127, 128, (4, 70), generator=torch.Generator().manual_seed(0))
    assert torch.equal(decompose(codes, UniformGroup(shifts=7)).codes.long(), codes)


@pytest.mark.parametrize("selection", ["nearest", "joint"])
@pytest.mark.parametrize("scale_group", [1, 7, 32, 64, 128])
def test_the_result_does_not_depend_on_chunks_and_threads(monkeypatch, scale_group, selection):
    if selection == "joint" and scale_group > 64:
        pytest.skip("refused")
    codes = torch.randint(-127, 128, (8, 92), generator=torch.Generator().manual_seed(1))
    fmt = UniformGroup(shifts=3, scale_group=scale_group, selection=selection)
    whole = decompose(codes, fmt)
    monkeypatch.setattr("swis.encoding.decompose._CHUNK_GROUPS", 7)
    monkeypatch.setattr("swis.encoding.search.nearest._PART", 16)
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    parts = decompose(codes, fmt)
    assert torch.equal(whole.codes, parts.codes)
    assert torch.equal(whole.shift_sets, parts.shift_sets)
    assert whole.shift_sets.shape == (8, -(-92 // min(scale_group, 92)))


def test_joint_levels_are_at_least_as_good():
    codes = torch.randint(-127, 128, (8, 64), generator=torch.Generator().manual_seed(2))
    metrics = []
    for selection in ("nearest", "joint"):
        found = decompose(codes, UniformGroup(shifts=2, scale_group=16, selection=selection))
        errors = (found.codes - codes).reshape(8, -1, 16)
        metrics.append(mse_plus_plus(errors).flatten())
    assert (metrics[1] <= metrics[0]).all() and (metrics[1] < metrics[0]).any()


def test_filters_of_a_schedule_have_their_own_shifts_and_the_metric_of_their_groups():
    weight = torch.randn(6, 11, 3, 3, generator=torch.Generator().manual_seed(0))
    schedule = LayerSchedule(np.array([1, 2, 3, 1, 2, 3]), np.arange(6))
    fmt = UniformGroup(scale_group=20)
    found = encode(weight, fmt, schedule)
    for shifts in (1, 2, 3):
        mine = schedule.shifts == shifts
        alone = encode(weight, fmt.with_shifts(shifts))
        assert torch.equal(found.weight()[mine], alone.weight()[mine])
        assert torch.equal(found.shift_sets[mine], alone.shift_sets[mine])
        assert (found.metrics[mine] == alone.metrics[mine]).all()
    codes = to_filters(quantize(weight).codes).long()
    errors = torch.nn.functional.pad(found.codes.long() - codes, (0, 1)).reshape(6, 5, 20)
    assert found.metric == pytest.approx(20 * float(mse_plus_plus(errors).sum()))
    cost = cost_of(fmt, schedule, 6, 99, 99)
    assert (
        cost.stored_bits == 2 * sum(99 * (1 + n) + 5 * bits for n, bits in ((1, 7), (2, 6), (3, 5))) + 6 * 3
    )


def test_smaller_groups_are_nearer_and_take_more_bits():
    weight = torch.randn(16, 256, generator=torch.Generator().manual_seed(0))
    errors, bits = [], []
    for scale_group in (256, 64, 32, 16):
        fmt = UniformGroup(shifts=3, scale_group=scale_group, alpha=0)
        errors.append(float((encode(weight, fmt).weight() - weight).square().mean()))
        bits.append(fmt.stored_bits(16, 256))
    assert errors == sorted(errors, reverse=True) and bits == sorted(bits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale_group": 0}, "scale_group must be at least 1, not 0"),
        ({"scale_group": 2.5}, "scale_group must be a whole number, not 2.5"),
        ({"scale_group": True}, "scale_group must be a whole number, not True"),
        ({"scale_group": 65, "selection": "joint"}, "a scale_group of at most 64, not 65"),
        ({"shifts": 5, "magnitude_bits": 4}, "shifts"),
    ],
)
def test_settings_without_a_meaning_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        UniformGroup(**changes)


def test_it_is_a_method_but_none_of_those_that_runs_compare_by_default():
    assert "uniform_group" in method_names() and "uniform_group" not in METHODS
    fmt = swis.UniformGroup(scale_group=np.int64(16))
    assert from_settings(fmt.settings()) == fmt
    assert fmt.own_settings() == {"scale_group": 16}


def test_only_rows_of_the_format_depend_on_its_option(tiny):
    common = [*tiny, "methods=[swis,uniform_group]"]
    plain, wide, sets = (
        prepare(load([*common, *more])) for more in ([], ["scale_group=64"], ["group_size=8"])
    )

    def keys(study):
        return {fmt.name: study.key(fmt) for fmt in study.config.formats}

    one, two, three = keys(plain), keys(wide), keys(sets)
    assert [name for name in one if one[name] != two[name]] == ["uniform_group"]
    assert [name for name in one if one[name] != three[name]] == ["swis"]
    for fmt in wide.config.formats:
        row = wide.describe(fmt)
        assert ("scale_group" in row["config"]) == (fmt.name == "uniform_group")
        assert row["group_size"] == {"swis": 4, "uniform_group": 64}.get(fmt.name)


def test_arrays_of_shift_sets_refuse_it_and_others_take_eight_bits():
    torch.manual_seed(0)
    nn = torch.nn
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)).eval()
    images = torch.rand(8, 3, 8, 8)
    low = swis.quantize(network, UniformGroup(shifts=2), images, calibrate="none", activation_bits=8)
    for name in ("swis_ss", "swis_ds", "swis_c", "swis_signed"):
        with pytest.raises(
            InputError, match=f"{name} takes shift sets, not a scale for each group of weights"
        ):
            swis.simulate(low, name, versus=[])
    whole = swis.quantize(network, swis.Int8(), images, calibrate="none", activation_bits=8)
    for name in ("truncation", "stripes", "loom", "systolic_os", "bitfusion"):
        mine, theirs = (
            swis.simulate(each, name, versus=[]).query("layer == 'total'") for each in (low, whole)
        )
        for column in ("latency_cycles", "weight_dram_bytes"):
            assert mine[column].item() == theirs[column].item(), (name, column)
    layer = Layer("fc", 64, 4, 1, 1, 1, 1, 1, 1)
    assert operands_of(layer, UniformGroup(), None, codes=False).widths.tolist() == [7] * 4


def test_figures_show_it_on_arrays_without_shift_sets_only():
    rows = pd.DataFrame({"accelerator": ["swis_ss", "stripes"], "method": "uniform_group"})
    assert made_for(rows)["accelerator"].tolist() == ["stripes"]


@pytest.mark.parametrize("calibrate", ["none", "stats", "output_aware", "reconstruct"])
def test_a_calibrated_network_is_saved_and_comes_back(tmp_path, calibrate):
    torch.manual_seed(0)
    nn = torch.nn
    features = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    network = nn.Sequential(*features, nn.Flatten(), nn.Linear(32, 10)).eval()
    images, fmt = torch.randn(16, 3, 12, 12), UniformGroup(shifts=2)
    low = swis.quantize(network, fmt, images, calibrate=calibrate, activation_bits=8)
    assert swis.evaluate(low, [images], reference=network).logit_sqnr_db > 15
    swis.save(low, tmp_path / "low.safetensors")
    assert torch.equal(swis.load(tmp_path / "low.safetensors", network)(images), low(images))


@pytest.mark.parametrize("order", ["filter", "variance"])
def test_output_aware_levels_are_levels_and_steps_of_groups_help(order):
    torch.manual_seed(0)
    layer = torch.nn.Linear(100, 16)  # the last group has four weights
    inputs = (torch.randn(1024, 100) @ torch.randn(100, 100) / 10).relu().split(256)
    errors = []
    for fmt in (swis.Uniform(shifts=2), UniformGroup(shifts=2)):
        found = output_aware(layer, fmt, None, inputs, inputs, OutputAware(order=order))
        change = torch.cat(inputs) @ (found.weight() - layer.weight.detach()).T
        errors.append(float(change.var(0).sum()))
    assert errors[1] < errors[0]
    assert found.shift_sets.shape == (16, 4)
    steps = found.shift_sets.long().repeat_interleave(32, 1)[:, :100] + 1
    assert (found.codes % steps == 0).all() and (found.codes.abs() // steps <= 3).all()


def test_it_goes_through_the_tasks(command_line, tiny, tmp_path):
    common = [*tiny, "methods=[uniform_group]", "scale_group=16", "bits=2.5", "schedule=network"]
    done = command_line(*common)
    assert done.status == 0, done.err
    assert "takes shift sets, not a scale for each group" in done.out + done.err
    row = swis.load_table(tmp_path / "runs", "all").query("method == 'uniform_group'").iloc[0]
    assert 2.4 < row["shifts_per_weight"] <= 2.5 and row["group_size"] == 16
    packed = tmp_path / "low.safetensors"
    assert command_line(*common, "task=pack", f"out={packed}").status == 0
    again = command_line(f"weights={packed}", "data.limit=64", f"results_dir={tmp_path / 'packed'}")
    assert again.status == 0, again.err
    stored = swis.load_table(tmp_path / "packed").query("method == 'uniform_group'").iloc[0]
    assert stored["top1"] == row["top1"]
    assert stored["weight_bits"] == pytest.approx(row["weight_bits"], rel=2e-3)  # ends of bytes


def test_it_is_retrained_and_simulated(command_line, tiny, tmp_path):
    few = ["task=retrain", "retrain.epochs=1", "retrain.images=64", "retrain.batch_size=32"]
    done = command_line(*tiny, *few, "methods=[uniform_group]", "accelerator=stripes")
    assert done.status == 0, done.err
    rows = swis.load_table(tmp_path / "runs", "all").query("method == 'uniform_group'")
    assert rows["training"].notna().any() and (rows["latency_cycles"] > 0).all()


def test_sensitivity_uses_its_groups():
    network = torch.nn.Sequential(torch.nn.Linear(70, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4)).eval()
    table = swis.sensitivity(network, UniformGroup(shifts=2), torch.rand(32, 70))
    assert (table["kl_divergence"] > 0).all()
