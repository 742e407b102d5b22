"""Every design simulates, what it is given decides what comes out, and parts add up."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from swis.accelerator import Accelerator, LayerWeights
from swis.apply import encode_layers, layer_costs, weight_layers
from swis.bit_serial import stripes_work
from swis.config import load
from swis.errors import InputError
from swis.hardware_study import design, simulate_methods, weights_for
from swis.pe_array import layer_work
from swis.simulate import simulate, totals
from swis.study import formats, prepare
from swis.systolic import systolic_work
from swis.tiling import Memory
from swis.workload import Layer, workload, write_workload

DESIGNS = sorted(path.stem for path in (ROOT / "conf" / "accelerator").glob("*.yaml"))
LAYERS = [
    Layer("stem", 3, 16, 3, 3, 32, 32, 16, 16, 1, 2, 2),
    Layer("dw", 16, 16, 3, 3, 16, 16, 16, 16, 16),
    Layer("pw", 16, 64, 1, 1, 16, 16, 16, 16),
    Layer("fc", 64, 10, 1, 1, 1, 1, 1, 1),
]


def weights_of(layer: Layer, shifts: int, seed: int = 0) -> LayerWeights:
    """Weights whose codes have ones in their lowest bits alone, as many as there are shifts."""
    shape = (layer.out_channels, layer.in_channels // layer.groups, layer.kernel_h, layer.kernel_w)
    codes = np.random.default_rng(seed).integers(0, 2**shifts, shape)
    filters = np.full(layer.out_channels, shifts)
    return LayerWeights(filters, (shifts + 1) * layer.weights, filters, codes)


def run(accelerator: Accelerator, shifts: int) -> pd.DataFrame:
    return simulate(accelerator, LAYERS, [weights_of(layer, shifts) for layer in LAYERS])


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_has_a_source_and_more_bits_never_take_less(name):
    config = load([f"accelerator={name}"])
    accelerator = design(config)
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
    assert design(load()) == Accelerator(config.name, config.source, str(config.datapath))


def ideal(name: str) -> Accelerator:
    return design(load([f"accelerator={name}", "accelerator.dram_bits_per_cycle=null"]))


def test_designs_are_the_models_that_the_oracles_check():
    """Without stalls, a layer of one tile: SCALE-Sim's and BitSim's cycles, rows and columns in place."""
    layer, weights = LAYERS[2], weights_of(LAYERS[2], 3)
    for name in ("os", "ws"):
        accelerator = design(load([f"accelerator=systolic_{name}", "accelerator.rows=4"]))
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
        ideal(name).work(LAYERS[2], weights_of(LAYERS[2], shifts)) for name in ("swis_ss", "swis_ds")
    )
    assert double.steps == single.steps / shifts * -(-shifts // 2)


def test_only_shared_sets_shorten_weights_whose_groups_differ():
    """A SWIS weight of two shifts has bits anywhere among seven: without its set it takes all of them."""
    layer = LAYERS[2]
    swis = LayerWeights(np.full(64, 2), 5 * layer.weights, np.full(64, 7))
    base = LayerWeights(np.full(64, 7), 8 * layer.weights, np.full(64, 7))
    for name in ("stripes", "truncation", "loom"):
        assert ideal(name).work(layer, swis) == ideal(name).work(layer, base), name
        assert ideal(name).weight_bits(layer, swis) == 8 * layer.weights
    assert ideal("swis_ss").work(layer, swis).steps == 2 / 7 * ideal("swis_ss").work(layer, base).steps
    assert ideal("swis_ss").weight_bits(layer, swis) == 5 * layer.weights


def test_skipping_needs_the_values_of_weights():
    shapes = LayerWeights(np.full(64, 2), 100, np.full(64, 7))
    with pytest.raises(InputError, match="accelerator pragmatic looks at weights' bits"):
        ideal("pragmatic").run(LAYERS[2], shapes)


def test_totals_are_sums_in_units():
    accelerator = Accelerator("swis_ss", "", "swis", frequency_mhz=200.0)
    table = run(accelerator, 2)
    found = totals(table, accelerator)
    assert found["latency_cycles"] == table["latency_cycles"].sum()
    assert found["latency_ms"] == pytest.approx(found["latency_cycles"] / 200e6 * 1e3)
    assert found["frames_per_s"] * found["latency_ms"] == pytest.approx(1000)
    assert found["macs"] == sum(layer.macs for layer in LAYERS)


def test_what_is_no_datapath_and_no_size_is_refused():
    with pytest.raises(ValueError, match="datapath is one of"):
        Accelerator("a", "", "gpu")
    with pytest.raises(ValueError, match="rows must be above 0"):
        Accelerator("a", "", "swis", rows=0)
    with pytest.raises(InputError, match="fusion units take operands of up to 8 bits, not 9"):
        ideal_fusion = Accelerator("a", "", "fusion", 16, 32, memory=Memory(dram_bits_per_cycle=64))
        ideal_fusion.run(LAYERS[2], weights_of(LAYERS[2], 8))


def test_a_workload_of_shapes_needs_no_weights(tmp_path, command_line):
    path, out = tmp_path / "small.csv", tmp_path / "layers.parquet"
    write_workload(LAYERS, path)
    chosen = ["task=simulate", f"workload={path}", "accelerator=swis_ds", "bits=3"]
    done = command_line(*chosen, f"out={out}")
    assert done.status == 0, done.err
    assert "small on swis_ds" in done.out
    rows = pd.read_parquet(out)
    assert len(rows) == 6 * len(LAYERS)  # the base format and five methods
    lines, layers = simulate_methods(load(chosen))
    known = layers.columns.drop("config")
    pd.testing.assert_frame_equal(layers[known], rows[known], check_dtype=False)
    swis = lines.set_index("method").loc["swis"]
    assert swis["latency_cycles"] == rows[rows["method"] == "swis"]["latency_cycles"].sum()


def test_a_model_s_schedule_and_skipped_layers_count():
    common = ["task=simulate", "methods=[swis]", "model=mobilenet_v2"]
    found = {
        name: simulate_methods(load([*common, *more]))[0].set_index("method")["latency_cycles"]
        for name, more in {
            "two": ["bits=2"],
            "between": ["bits=2.5", "schedule=greedy"],
            "three": ["bits=3"],
            "skipped": ["bits=2", "skip=[conv_stem]"],
        }.items()
    }
    assert found["two"]["swis"] < found["between"]["swis"] < found["three"]["swis"]
    assert found["two"]["swis"] < found["skipped"]["swis"] < found["two"]["base"]


def test_rivals_see_the_bits_of_real_weights():
    common = ["task=simulate", "methods=[swis]", "model=mobilenet_v2", "bits=2"]
    cycles = {
        name: simulate_methods(load([*common, f"accelerator={name}"]))[0].set_index("method")[
            "latency_cycles"
        ]
        for name in ("stripes", "pragmatic", "bitwave")
    }
    assert cycles["pragmatic"]["base"] < cycles["bitwave"]["base"] < cycles["stripes"]["base"]
    assert cycles["bitwave"]["swis"] < cycles["bitwave"]["base"]


@pytest.fixture(scope="module")
def study():
    return prepare(load(["task=simulate", "model=mobilenet_v2"]))


def test_weights_are_stored_in_the_bits_that_evaluation_counts(study):
    """And a schedule's with its place for every filter's shifts."""
    layers = workload(study.base_module, study.network.inputs["input_size"])
    for more in (["bits=2"], ["bits=2.5", "schedule=greedy", "schedule.filters_per_tile=8"]):
        config = load(["task=simulate", "methods=[swis]", *more])
        mine = replace(study, config=config)
        form = list(formats(config))[2]
        plan = mine.plan(form)
        encoded = encode_layers(mine.base_module, form, frozenset(), plan.layers if plan else None)
        costs = layer_costs(weight_layers(mine.base_module), encoded, form, mine.macs)
        found = weights_for(form, layers, mine, design(config))
        assert sum(weights.stored_bits for weights in found.values()) == sum(c.stored_bits for c in costs)


def test_filters_occupy_the_rows_as_their_schedule_says(study):
    """A tile of filters, as many as rows, takes the most shifts among its own: what the schedule counts."""
    config = load(
        ["task=simulate", "methods=[swis]", "bits=2.5", "schedule=greedy", "schedule.filters_per_tile=8"]
    )
    mine, array = replace(study, config=config), design(config)
    form = list(formats(config))[2]
    plan, layers = mine.plan(form), workload(study.base_module, study.network.inputs["input_size"])
    found = weights_for(form, layers, mine, array)
    better = 0
    for layer in layers:
        if layer.groups == 1:
            schedule, groups = plan.layers[layer.name], -(-layer.filter_weights // 4)
            steps = array.work(layer, found[layer.name]).steps
            assert steps == groups * schedule.cycles[schedule.order][::8].sum(), layer.name
            better += steps < groups * schedule.cycles_unordered[::8].sum()
    assert better > 10


def test_skipping_hardware_sees_a_filter_s_weights_where_the_layer_has_them(study):
    config = load(["task=simulate", "accelerator=pragmatic"])
    layers = workload(study.base_module, study.network.inputs["input_size"])
    base = list(formats(config))[1]
    found = weights_for(base, layers, replace(study, config=config), design(config))
    for name, layer in weight_layers(study.base_module).items():
        weight = layer.weight.detach().flatten(1).numpy()
        codes = found[name].codes.reshape(weight.shape)
        scale = np.abs(weight).max(1, keepdims=True) / 127
        assert np.abs(weight - codes * scale).max() <= 0.51 * scale.max(), name
