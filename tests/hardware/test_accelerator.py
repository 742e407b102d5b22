"""Every design simulates, what it is given decides what comes out, and parts add up."""

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
    """Weights whose codes have ones in their lowest bits alone, as many as there are shifts."""
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
def test_every_design_has_a_source_and_more_bits_never_take_less(name):
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


def test_designs_are_the_models_that_the_oracles_check():
    """Without stalls, a layer of one tile: SCALE-Sim's and BitSim's cycles, rows and columns in place."""
    layer, weights = LAYERS[2], operands_like(LAYERS[2], 3)
    for name in ("os", "ws"):
        accelerator = designed(f"accelerator=systolic_{name}", "accelerator.rows=4")
        assert accelerator.work(layer, weights).cycles(layer) == systolic_work(layer, 8, 4, name).cycles(
            layer
        )
    sizes = (layer, 8, 8, 4)
    expected = {
        "stripes": stripes_work(*sizes, 4),  # and the sign
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


def test_only_shared_sets_shorten_weights_whose_groups_differ():
    """A SWIS weight of two shifts has bits anywhere among seven: without its set it takes all of them."""
    layer = LAYERS[2]
    swis = Operands(np.full(64, 2), 5 * layer.weights, np.full(64, 7))
    base = Operands(np.full(64, 7), 8 * layer.weights, np.full(64, 7))
    for name in ("stripes", "truncation", "loom"):
        assert ideal(name).work(layer, swis) == ideal(name).work(layer, base), name
        assert ideal(name).weight_bits(layer, swis) == 8 * layer.weights
    assert ideal("swis_ss").work(layer, swis).steps == 2 / 7 * ideal("swis_ss").work(layer, base).steps
    assert ideal("swis_ss").weight_bits(layer, swis) == 5 * layer.weights


def test_totals_are_sums_in_units():
    accelerator = Accelerator(name="swis_ss", frequency_mhz=200.0)
    table = run(accelerator, 2)
    found = totals(table, accelerator, Chip.of(accelerator, TABLE))
    assert found["latency_cycles"] == table["latency_cycles"].sum()
    assert found["latency_ms"] == pytest.approx(found["latency_cycles"] / 200e6 * 1e3)
    assert found["macs"] == sum(layer.macs for layer in LAYERS)
    assert found["frames_per_j"] * found["energy_pj"] == pytest.approx(1e12)
    assert 0 < found["utilization"] == table["busy_lane_cycles"].sum() / table["lane_cycles"].sum()


@pytest.mark.parametrize("name", DESIGNS)
def test_lanes_are_never_more_than_busy_and_rooflines_hold(name):
    """Nothing beats its roof, be it the lanes or the DRAM."""
    table = run(designed(f"accelerator={name}"), 3)
    assert table["utilization"].between(0, 1).all()
    assert (table["macs_per_cycle"] <= table["roof_macs_per_cycle"] * (1 + 1e-12)).all()
    assert (table["weight_dram_bytes"] >= [layer.weights / 2 for layer in LAYERS]).all()
    assert (table["activation_dram_bytes"] >= [layer.inputs / 4 + layer.outputs for layer in LAYERS]).all()


@pytest.mark.parametrize("name", DESIGNS)
def test_more_bandwidth_never_stalls_more_and_unlimited_never(name):
    wide = None if name != "bitfusion" else 2**31
    stalls = []
    for bits in (16, 64, 512, wide):
        value = "null" if bits is None else bits
        table = run(designed(f"accelerator={name}", f"accelerator.dram_bits_per_cycle={value}"), 3)
        stalls.append(int(table["latency_cycles"].sum()))
    # the least traffic is taken within a twentieth of the fewest cycles
    assert all(slower * 1.05 >= faster for slower, faster in pairwise(stalls))
    # a first load and a last store of every group
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
        # as wide as all there is to move
        assert (table[1] <= 1.05 * free).all(), bus


def test_a_systolic_rival_fills_and_drains_every_fold():
    layer, operands = LAYERS[2], operands_like(LAYERS[2], 3)
    for name in ("stripes", "pragmatic", "laconic", "swis_ds"):
        heard = replace(ideal(name), systolic=False)
        passed = replace(heard, systolic=True)
        folds = heard.work(layer, operands).folds
        cycles = [array.work(layer, operands).cycles(layer) for array in (heard, passed)]
        assert folds == 64 / 8
        assert cycles[1] - cycles[0] == layer.out_h * layer.out_w / 8 * folds * 14


def test_an_area_buys_columns_and_baselines_share_clock_memory_and_size():
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
def test_a_design_is_the_same_machine_for_groups_of_any_size(name):
    """Lanes are its own, unless as many as weights in a group are asked for."""
    settings = accelerator_named(name)
    assert design(settings, TABLE, 2) == design(settings, TABLE, 8)
    if settings.datapath not in ("systolic", "fusion"):
        chosen = replace(settings, lanes="group_size")
        wide, chip = design(chosen, TABLE, 8)
        assert wide.lanes == chip.unit.lanes == 8
        assert chip.array_mm2 > design(chosen, TABLE, 2)[1].array_mm2


def test_groups_are_mapped_onto_the_lanes_that_there_are():
    """Portions of 4 lanes; a filter of 24 weights in groups of M, and the share of lanes that work."""
    layer, array = Layer("fc", 24, 8, 1, 1, 1, 1, 1, 1), Accelerator(name="ss", systolic=False)
    shared = replace(array, groups_share_lanes=True)
    for group_size, count in {1: 24, 2: 12, 3: 8, 4: 6, 6: 8, 8: 6, 16: 6, 24: 6, 64: 6}.items():
        swis = Operands(np.full(8, 2), 5 * layer.weights, np.full(8, 7), group_size=group_size)
        work = array.work(layer, swis)
        assert work.steps == 2 * count, group_size
        assert work.useful_lane_cycles / (array.units * array.lanes * work.steps) == 6 / count / 8
        assert shared.work(layer, swis).steps == 2 * 6
    base = Operands(np.full(8, 7), 8 * layer.weights, np.full(8, 7))  # no sets: nothing to keep apart
    assert array.work(layer, base).steps == shared.work(layer, base).steps == 7 * 6


def test_tiles_of_channels_do_not_part_groups():
    layer = Layer("pw", 48, 8, 1, 1, 8, 8, 8, 8)
    for group_size, share, grain in ((2, False, 2), (6, False, 6), (6, True, 12), (16, False, 16)):
        swis = Operands(np.full(8, 2), 5 * layer.weights, np.full(8, 7), group_size=group_size)
        assert Accelerator(name="ss", groups_share_lanes=share).work(layer, swis).grain == grain


@pytest.mark.parametrize("name", DESIGNS)
def test_the_area_of_a_design_buys_itself(name):
    config = load([f"accelerator={name}"])
    accelerator, chip = design(config.accelerator, TABLE, 4)
    same = replace(config.accelerator, array_um2=chip.array_mm2 * 1e6)
    assert design(same, TABLE, 4)[0].columns == accelerator.columns


@pytest.mark.parametrize("name", ["swis_ss", "stripes", "pragmatic", "systolic_os", "systolic_ws"])
def test_an_array_that_is_not_square_has_filters_on_rows_and_inputs_from_columns(name):
    """And a bank for each."""
    accelerator = designed(f"accelerator={name}", "accelerator.rows=4", "accelerator.columns=16")
    work = accelerator.work(LAYERS[2], operands_like(LAYERS[2], 3))
    assert work.rows == 4
    assert (work.lanes if name == "systolic_ws" else work.columns) == 16
    assert accelerator.banks == {"weight": 4, "input": 16, "output": 4}


def test_only_what_is_compressed_is_unpacked():
    layer, array = LAYERS[2], ideal("swis_ss")
    plain = Operands(np.full(64, 7), 8 * layer.weights, np.full(64, 7))
    assert array.run(layer, plain).unpacked_bits == 0
    for bits in (5, 8):  # sets and masks of as many bits as plain weights are decoded as well
        packed = replace(plain, shifts=np.full(64, 4), stored_bits=bits * layer.weights, group_size=4)
        assert array.run(layer, packed).unpacked_bits == bits * layer.weights * 16 * 16 / 8
        assert ideal("stripes").run(layer, packed).unpacked_bits == 0
        assert ideal("swis_c").run(layer, replace(packed, consecutive=False)).unpacked_bits == 0


@pytest.mark.parametrize("method, shifts", [("swis", 4), ("swis_c", 4), ("swis", 3), ("round", 4)])
def test_four_shifts_in_groups_of_four_are_unpacked_as_three_are(method, shifts):
    """M (1 + N) + 3 N bits of a group of four are 8 a weight at four shifts: as many as plain ones have."""
    layer, array = LAYERS[2], Accelerator(name="swis_ss")
    operands = operands_of(layer, weight_format(method, shifts, 4), None, codes=False)
    table = simulate(array, [layer], [operands], Chip.of(array, TABLE))
    bits = 0 if method == "round" else operands.stored_bits * layer.pixels // 8
    assert table["unpack_energy_pj"].item() == round(bits * TABLE.unpack_pj_per_bit)


def test_whether_sets_are_consecutive_is_asked_of_the_format():
    layer, array = LAYERS[2], ideal("swis_c")
    for method, shifts, steps in (("swis", 1, 1), ("swis", 2, 7), ("swis_c", 2, 2), ("round", 2, 2)):
        operands = operands_of(layer, weight_format(method, shifts, 4), None, codes=False)
        assert array.work(layer, operands).steps == steps * 16 / 4 * 64 / 8, method
    schedule = LayerSchedule(np.tile([1, 2], 32), np.arange(64))
    mixed = encode(torch.randn(64, 16, 1, 1), weight_format("swis", 2, 4), schedule)
    assert not operands_of(layer, mixed.fmt, mixed, codes=False).consecutive


def test_what_is_no_datapath_and_no_size_is_refused():
    with pytest.raises(ValueError, match="datapath is one of"):
        Accelerator(name="a", datapath="gpu")
    with pytest.raises(ValueError, match="rows must be at least 1"):
        Accelerator(name="a", rows=0)
    with pytest.raises(InputError, match="fusion units take operands of up to 8 bits, not 9"):
        ideal_fusion = Accelerator(name="a", datapath="fusion", rows=32, lanes=1)
        ideal_fusion.run(LAYERS[2], operands_like(LAYERS[2], 8))


@pytest.mark.parametrize("name", ["swis_ss", "stripes", "pragmatic", "laconic"])
def test_filters_of_one_pixel_on_columns_as_well_take_an_eighth_of_the_steps(name):
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


def test_an_array_for_consecutive_shifts_shares_no_other_sets():
    """Its unit costs less than one for any shifts, and SWIS weights take all their bits on it."""
    layer, array = LAYERS[2], ideal("swis_c")
    consecutive = Operands(np.full(64, 2), 5 * layer.weights, np.full(64, 7))
    swis = replace(consecutive, consecutive=False)
    assert array.work(layer, consecutive) == ideal("swis_ss").work(layer, consecutive)
    assert array.weight_bits(layer, consecutive) == 5 * layer.weights
    assert array.work(layer, swis).steps == 7 / 2 * array.work(layer, consecutive).steps
    assert array.weight_bits(layer, swis) == 8 * layer.weights
    stripes, own, any_shifts = (TABLE.unit(name, 4).pj_per_cycle for name in ("stripes", "swis_c", "swis_ss"))
    assert stripes < own < any_shifts
