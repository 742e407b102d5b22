"""Every design can be simulated, its results depend on the operands as expected, and parts add up."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT

from swis.encoding.encode import encode
from swis.encoding.layer_schedule import LayerSchedule
from swis.errors import InputError
from swis.experiments.config import load
from swis.formats.registry import weight_format
from swis.hardware.accelerator import Accelerator
from swis.hardware.arrays.bit_serial import stripes_work
from swis.hardware.arrays.swis import layer_work
from swis.hardware.arrays.systolic import systolic_work
from swis.hardware.designs import baseline, design, energy_table
from swis.hardware.energy import Chip
from swis.hardware.layer_run import Operands
from swis.hardware.layer_shapes import Layer
from swis.hardware.operands import operands_of
from swis.hardware.simulate import simulate, totals
from swis.options.conf_files import accelerator_named

DESIGNS = sorted(path.stem for path in (ROOT / "conf" / "accelerator").glob("*.yaml"))
LAYERS = [
    Layer("stem", 3, 16, 3, 3, 32, 32, 16, 16, 1, 2, 2, pad_top=1, pad_left=1),
    Layer("dw", 16, 16, 3, 3, 16, 16, 16, 16, 16, pad_top=1, pad_left=1, pad_bottom=1, pad_right=1),
    Layer("pw", 16, 64, 1, 1, 16, 16, 16, 16),
    Layer("fc", 64, 10, 1, 1, 1, 1, 1, 1),
]


def operands_like(layer: Layer, shifts: int, seed: int = 0) -> Operands:
    """Return operands whose codes have ones only in their lowest bits, as many bits as shifts."""
    shape = (layer.out_channels, layer.in_channels // layer.groups, layer.kernel_h, layer.kernel_w)
    random = np.random.default_rng(seed)
    codes, inputs = random.integers(0, 2**shifts, shape), (layer.in_channels, layer.in_h, layer.in_w)
    filters = np.full(layer.out_channels, shifts)
    values = (codes, random.integers(0, 256, inputs))
    return Operands(filters, (shifts + 1) * layer.weights, filters, *values)


TABLE = energy_table(load().energy)


def designed(*overrides: str) -> Accelerator:
    config = load(overrides)
    return design(config.accelerator, TABLE, config.group_size)[0]


def run(accelerator: Accelerator, shifts: int) -> pd.DataFrame:
    operands = [operands_like(layer, shifts) for layer in LAYERS]
    return simulate(accelerator, LAYERS, operands, Chip.of(accelerator, TABLE))


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_has_a_source_and_more_bits_never_take_fewer_cycles(name):
    accelerator = designed(f"accelerator={name}")
    assert accelerator.name == name
    assert len(accelerator.source) > 20
    tables = [run(accelerator, shifts) for shifts in (1, 2, 4, 7)]
    for table in tables:
        assert (table["dram_bytes"] >= [layer.inputs / 4 + layer.outputs for layer in LAYERS]).all()
        assert table["macs"].tolist() == [layer.macs for layer in LAYERS]
    cycles = [table["latency_cycles"].sum() for table in tables]
    assert cycles == sorted(cycles)


def test_defaults_are_those_of_the_configuration():
    config = load().accelerator
    assert designed() == Accelerator(name=config.name, source=config.source, datapath=config.datapath)


def ideal(name: str) -> Accelerator:
    return designed(f"accelerator={name}", "accelerator.dram_bits_per_cycle=null")


def test_designs_use_the_models_that_are_compared_with_references():
    """A layer in one tile without stalls takes the cycles of SCALE-Sim and BitSim."""
    layer, weights = LAYERS[2], operands_like(LAYERS[2], 3)
    for name in ("os", "ws"):
        accelerator = designed(f"accelerator=systolic_{name}", "accelerator.rows=4")
        assert accelerator.work(layer, weights).cycles(layer) == systolic_work(layer, 8, 4, name).cycles(
            layer
        )
    sizes = (layer, 8, 8, 4)
    expected = {
        "stripes": stripes_work(*sizes, 4),  # three bits and the sign
        "truncation": layer_work(layer, np.full(64, 3), 4, 8, 8, 1),
        "stripes_activations": stripes_work(*sizes, 8),
        "loom": stripes_work(layer, 8, 8, 32, 8 * 4),
    }
    for name, work in expected.items():
        assert ideal(name).work(layer, weights) == work, name


@pytest.mark.parametrize("shifts", [1, 2, 3, 4])
def test_a_double_shift_array_takes_half_the_steps_rounded_up(shifts):
    single, double = (
        ideal(name).work(LAYERS[2], operands_like(LAYERS[2], shifts)) for name in ("swis_ss", "swis_ds")
    )
    assert double.steps == single.steps / shifts * -(-shifts // 2)


def test_weights_of_swis_take_fewer_cycles_only_with_shift_sets():
    """A SWIS weight with two shifts may have any of seven bits, so without a shift set it takes all."""
    layer = LAYERS[2]
    swis = Operands(np.full(64, 2), 5 * layer.weights, np.full(64, 7))
    base = Operands(np.full(64, 7), 8 * layer.weights, np.full(64, 7))
    for name in ("stripes", "truncation", "loom"):
        assert ideal(name).work(layer, swis) == ideal(name).work(layer, base), name
        assert ideal(name).weight_bits(layer, swis) == 8 * layer.weights
    assert ideal("swis_ss").work(layer, swis).steps == 2 / 7 * ideal("swis_ss").work(layer, base).steps
    assert ideal("swis_ss").weight_bits(layer, swis) == 5 * layer.weights


def test_totals_are_sums_and_have_the_right_units():
    accelerator = Accelerator(name="swis_ss", frequency_mhz=200.0)
    table = run(accelerator, 2)
    found = totals(table, accelerator, Chip.of(accelerator, TABLE))
    assert found["latency_cycles"] == table["latency_cycles"].sum()
    assert found["latency_ms"] == pytest.approx(found["latency_cycles"] / 200e6 * 1e3)
    assert found["macs"] == sum(layer.macs for layer in LAYERS)
    assert found["frames_per_j"] * found["energy_pj"] == pytest.approx(1e12)
    assert 0 < found["utilization"] == table["busy_lane_cycles"].sum() / table["lane_cycles"].sum()


@pytest.mark.parametrize("name", DESIGNS)
def test_utilization_is_at_most_one_and_rooflines_hold(name):
    """No layer has more MACs per cycle than its lanes and the DRAM allow."""
    table = run(designed(f"accelerator={name}"), 3)
    assert table["utilization"].between(0, 1).all()
    assert (table["macs_per_cycle"] <= table["roof_macs_per_cycle"] * (1 + 1e-12)).all()
    assert (table["weight_dram_bytes"] >= [layer.weights / 2 for layer in LAYERS]).all()
    assert (table["activation_dram_bytes"] >= [layer.inputs / 4 + layer.outputs for layer in LAYERS]).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_more_bandwidth_never_stalls_more(name):
    wide = None if name != "bitfusion" else 2**31
    stalls = []
    for bits in (16, 64, 512, wide):
        value = "null" if bits is None else bits
        table = run(designed(f"accelerator={name}", f"accelerator.dram_bits_per_cycle={value}"), 3)
        stalls.append(int(table["latency_cycles"].sum()))
    # cycles may exceed the fewest by a twentieth, to save traffic
    assert all(slower * 1.05 >= faster for slower, faster in pairwise(stalls))
    # the first load and the last store of every group take a cycle each
    limit = 0 if wide is None else 2
    assert (table["stall_cycles"] <= [limit * layer.groups for layer in LAYERS]).all()


@pytest.mark.parametrize("name", [name for name in DESIGNS if name != "bitfusion"])
def test_narrow_buses_of_srams_slow_the_array_down(name):
    free = run(designed(f"accelerator={name}"), 3)["compute_cycles"]
    for bus in ("weight", "input"):
        table = [
            run(designed(f"accelerator={name}", f"accelerator.{bus}_bus_bits={bits}"), 3)["compute_cycles"]
            for bits in (1, 100_000)
        ]
        assert (table[0] >= free).all(), bus
        assert table[0].sum() > free.sum(), bus
        # the bus is wide enough for everything at once
        assert (table[1] <= 1.05 * free).all(), bus


def test_a_systolic_rival_fills_and_drains_every_fold():
    layer, operands = LAYERS[2], operands_like(LAYERS[2], 3)
    for name in ("stripes", "pragmatic", "laconic", "swis_ds"):
        broadcast = replace(ideal(name), systolic=False)
        passed = replace(broadcast, systolic=True)
        folds = broadcast.work(layer, operands).folds
        cycles = [array.work(layer, operands).cycles(layer) for array in (broadcast, passed)]
        assert folds == 64 / 8
        assert cycles[1] - cycles[0] == layer.out_h * layer.out_w / 8 * folds * 14


def test_an_area_sets_the_columns_and_baselines_share_clock_memory_and_size():
    two, four = (designed(f"accelerator.array_um2={area}") for area in (84e3, 168e3))
    assert (two.columns, four.columns) == (8, 16)
    small = load(
        ["accelerator.rows=4", "accelerator.frequency_mhz=250", "accelerator.weight_sram_bytes=8192"]
    )
    stripes, _ = baseline(accelerator_named("stripes"), small.accelerator, TABLE, 4)
    assert (stripes.rows, stripes.columns, stripes.frequency_mhz) == (4, 8, 250)
    assert stripes.memory == designed("accelerator.weight_sram_bytes=8192").memory
    endless = load(["accelerator.dram_bits_per_cycle=null"]).accelerator
    with pytest.raises(InputError, match="dram_bits_per_cycle"):
        baseline(accelerator_named("bitfusion"), endless, TABLE, 4)
    half = load(["accelerator.lanes=2"]).accelerator
    others = [accelerator_named(name) for name in ("stripes", "bitlet", "swis_ds")]
    assert [baseline(other, half, TABLE, 4)[0].lanes for other in others] == [4, 8, 4]
    own = replace(small.accelerator, name="mine", rows=32)
    assert baseline(accelerator_named("stripes"), own, TABLE, 4)[0].rows == 32


@pytest.mark.parametrize("name", DESIGNS)
def test_a_design_does_not_depend_on_the_group_size(name):
    """Its number of lanes is fixed, unless lanes=group_size."""
    settings = accelerator_named(name)
    assert design(settings, TABLE, 2) == design(settings, TABLE, 8)
    if settings.datapath not in ("systolic", "fusion"):
        chosen = replace(settings, lanes="group_size")
        wide, chip = design(chosen, TABLE, 8)
        assert wide.lanes == chip.unit.lanes == 8
        assert chip.array_mm2 > design(chosen, TABLE, 2)[1].array_mm2


def test_groups_of_any_size_are_mapped_to_four_lanes():
    """The number of portions of a filter with 24 weights, by group size, and the share of busy lanes."""
    layer, array = Layer("fc", 24, 8, 1, 1, 1, 1, 1, 1), Accelerator(name="ss", systolic=False)
    shared = replace(array, groups_share_lanes=True)
    for group_size, count in {1: 24, 2: 12, 3: 8, 4: 6, 6: 8, 8: 6, 16: 6, 24: 6, 64: 6}.items():
        swis = Operands(np.full(8, 2), 5 * layer.weights, np.full(8, 7), group_size=group_size)
        work = array.work(layer, swis)
        assert work.steps == 2 * count, group_size
        assert work.useful_lane_cycles / (array.units * array.lanes * work.steps) == 6 / count / 8
        assert shared.work(layer, swis).steps == 2 * 6
    base = Operands(np.full(8, 7), 8 * layer.weights, np.full(8, 7))  # without shift sets
    assert array.work(layer, base).steps == shared.work(layer, base).steps == 7 * 6


def test_tiles_of_channels_do_not_split_groups():
    layer = Layer("pw", 48, 8, 1, 1, 8, 8, 8, 8)
    for group_size, share, grain in ((2, False, 2), (6, False, 6), (6, True, 12), (16, False, 16)):
        swis = Operands(np.full(8, 2), 5 * layer.weights, np.full(8, 7), group_size=group_size)
        assert Accelerator(name="ss", groups_share_lanes=share).work(layer, swis).grain == grain


@pytest.mark.parametrize("name", DESIGNS)
def test_the_area_of_a_design_gives_its_own_columns(name):
    config = load([f"accelerator={name}"])
    accelerator, chip = design(config.accelerator, TABLE, 4)
    same = replace(config.accelerator, array_um2=chip.array_mm2 * 1e6)
    assert design(same, TABLE, 4)[0].columns == accelerator.columns


@pytest.mark.parametrize("name", ["swis_ss", "stripes", "pragmatic", "systolic_os", "systolic_ws"])
def test_a_non_square_array_has_filters_on_rows_and_pixels_on_columns(name):
    """Every row and column has its own SRAM bank."""
    accelerator = designed(f"accelerator={name}", "accelerator.rows=4", "accelerator.columns=16")
    work = accelerator.work(LAYERS[2], operands_like(LAYERS[2], 3))
    assert work.rows == 4
    assert (work.lanes if name == "systolic_ws" else work.columns) == 16
    assert accelerator.banks == {"weight": 4, "input": 16, "output": 4}


def test_only_compressed_weights_are_unpacked():
    layer, array = LAYERS[2], ideal("swis_ss")
    plain = Operands(np.full(64, 7), 8 * layer.weights, np.full(64, 7))
    assert array.run(layer, plain).unpacked_bits == 0
    for bits in (5, 8):  # also if the shift sets and masks take as many bits as plain weights
        packed = replace(plain, shifts=np.full(64, 4), stored_bits=bits * layer.weights, group_size=4)
        assert array.run(layer, packed).unpacked_bits == bits * layer.weights * 16 * 16 / 8
        assert ideal("stripes").run(layer, packed).unpacked_bits == 0
        assert ideal("swis_c").run(layer, replace(packed, consecutive=False)).unpacked_bits == 0


@pytest.mark.parametrize("method, shifts", [("swis", 4), ("swis_c", 4), ("swis", 3), ("round", 4)])
def test_four_shifts_in_groups_of_four_are_unpacked_like_three(method, shifts):
    """With M = N = 4 the M (1 + N) + 3 N bits of a group are 8 bits per weight, like plain weights."""
    layer, array = LAYERS[2], Accelerator(name="swis_ss")
    operands = operands_of(layer, weight_format(method, shifts, 4), None, codes=False)
    table = simulate(array, [layer], [operands], Chip.of(array, TABLE))
    bits = 0 if method == "round" else operands.stored_bits * layer.pixels // 8
    assert table["unpack_energy_pj"].item() == round(bits * TABLE.unpack_pj_per_bit)


def test_the_format_determines_whether_sets_are_consecutive():
    layer, array = LAYERS[2], ideal("swis_c")
    for method, shifts, steps in (("swis", 1, 1), ("swis", 2, 7), ("swis_c", 2, 2), ("round", 2, 2)):
        operands = operands_of(layer, weight_format(method, shifts, 4), None, codes=False)
        assert array.work(layer, operands).steps == steps * 16 / 4 * 64 / 8, method
    schedule = LayerSchedule(np.tile([1, 2], 32), np.arange(64))
    mixed = encode(torch.randn(64, 16, 1, 1), weight_format("swis", 2, 4), schedule)
    assert not operands_of(layer, mixed.fmt, mixed, codes=False).consecutive


def test_unknown_datapaths_and_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="datapath must be one of"):
        Accelerator(name="a", datapath="gpu")
    with pytest.raises(ValueError, match="rows must be at least 1"):
        Accelerator(name="a", rows=0)
    with pytest.raises(InputError, match="fusion units take operands of up to 8 bits, not 9"):
        ideal_fusion = Accelerator(name="a", datapath="fusion", rows=32, lanes=1)
        ideal_fusion.run(LAYERS[2], operands_like(LAYERS[2], 8))


@pytest.mark.parametrize("name", ["swis_ss", "stripes", "pragmatic", "laconic"])
def test_spread_fc_takes_an_eighth_of_the_steps(name):
    layer = Layer("fc", 64, 128, 1, 1, 1, 1, 1, 1)
    one = replace(ideal(name), systolic=False)
    operands = operands_like(layer, 3)
    alone, spread = (replace(one, spread_fc=way).work(layer, operands) for way in (False, True))
    assert (alone.folds, spread.folds) == (16, 2)
    assert spread.useful_lane_cycles == alone.useful_lane_cycles
    if name in ("swis_ss", "stripes"):
        assert 8 * spread.cycles(layer) == alone.cycles(layer)
    assert spread.cycles(layer) < 0.3 * alone.cycles(layer)
    conv = LAYERS[2]
    assert replace(one, spread_fc=True).work(conv, operands_like(conv, 3)) == one.work(
        conv, operands_like(conv, 3)
    )


def test_an_array_for_consecutive_shifts_uses_no_other_shift_sets():
    """Its PE costs less than a PE for any shifts, and SWIS weights take all their bits on it."""
    layer, array = LAYERS[2], ideal("swis_c")
    consecutive = Operands(np.full(64, 2), 5 * layer.weights, np.full(64, 7))
    swis = replace(consecutive, consecutive=False)
    assert array.work(layer, consecutive) == ideal("swis_ss").work(layer, consecutive)
    assert array.weight_bits(layer, consecutive) == 5 * layer.weights
    assert array.work(layer, swis).steps == 7 / 2 * array.work(layer, consecutive).steps
    assert array.weight_bits(layer, swis) == 8 * layer.weights
    stripes, own, any_shifts = (TABLE.unit(name, 4).pj_per_cycle for name in ("stripes", "swis_c", "swis_ss"))
    assert stripes < own < any_shifts
