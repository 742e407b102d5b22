"""Networks and shapes on accelerators: the operands are those of the evaluation, in the schedule's order."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.hardware_study import simulate_methods
from swis.experiments.network_hardware import Hardware
from swis.experiments.network_operands import StudyOperands
from swis.experiments.study import prepare
from swis.experiments.tasks.evaluate import evaluate_methods
from swis.hardware.arrays.bit_serial import laconic_work
from swis.hardware.layer_shapes import Layer, write_workload
from swis.networks.apply import encode_layers, layer_costs, weight_layers
from swis.options.conf_files import accelerator_named
from swis.results.compaction import compact
from swis.results.hardware_results import SIMULATED
from swis.results.records import HARDWARE_VERSION, load_table
from swis.runtime.notices import warn_once

LAYERS = [
    Layer("stem", 3, 16, 3, 3, 32, 32, 16, 16, 1, 2, 2, pad_top=1, pad_left=1),
    Layer("dw", 16, 16, 3, 3, 16, 16, 16, 16, 16, pad_top=1, pad_left=1, pad_bottom=1, pad_right=1),
    Layer("pw", 16, 64, 1, 1, 16, 16, 16, 16),
    Layer("fc", 64, 10, 1, 1, 1, 1, 1, 1),
]


def test_a_workload_of_shapes_needs_no_weights(tmp_path, command_line):
    path, out = tmp_path / "small.csv", tmp_path / "layers.parquet"
    write_workload(LAYERS, path)
    chosen = ["task=simulate", f"workload={path}", "accelerator=swis_ds", "bits=3"]
    done = command_line(*chosen, f"out={out}", "versus=[stripes]")
    assert done.status == 0, done.err
    assert "small on swis_ds" in done.out
    rows = pd.read_parquet(out)
    assert len(rows) == 2 * 6 * len(LAYERS)  # two designs, the 8-bit format and five methods
    lines, layers, _ = simulate_methods(load([*chosen, "versus=[stripes]"]))
    mine = rows[rows["accelerator"] == "swis_ds"].reset_index(drop=True)
    pd.testing.assert_frame_equal(layers.reset_index(drop=True), mine[layers.columns], check_dtype=False)
    assert sorted(set(rows["accelerator"])) == ["stripes", "swis_ds"]
    swis = lines.set_index("method").loc["swis"]
    assert swis["latency_cycles"] == mine[mine["method"] == "swis"]["latency_cycles"].sum()


def test_schedules_and_skipped_layers_change_the_cycles():
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
    assert found["two"]["swis"] < found["skipped"]["swis"] < found["two"]["int8"]


def test_baselines_depend_on_the_bits_of_the_weights():
    common = ["task=simulate", "methods=[swis]", "model=mobilenet_v2", "bits=2"]
    cycles = {
        name: simulate_methods(load([*common, f"accelerator={name}"]))[0].set_index("method")[
            "latency_cycles"
        ]
        for name in ("stripes", "pragmatic", "bitwave")
    }
    assert cycles["pragmatic"]["int8"] < cycles["bitwave"]["int8"] < cycles["stripes"]["int8"]
    assert cycles["bitwave"]["swis"] < cycles["bitwave"]["int8"]


@pytest.fixture(scope="module")
def study():
    return prepare(load(["task=simulate", "model=mobilenet_v2"]))


def hardware(study, *overrides: str) -> Hardware:
    config = load(["task=simulate", *overrides])
    return Hardware(config, StudyOperands(replace(study, config=config)))


def form_of(config, method: str):
    return next(fmt for fmt in config.formats if fmt.name == method)


def test_weights_are_stored_in_the_bits_that_evaluation_counts(study):
    """With a schedule, the number of shifts of every filter is stored as well."""
    for more in (["bits=2"], ["bits=2.5", "schedule=greedy", "schedule.filters_per_tile=8"]):
        mine = hardware(study, "methods=[swis]", *more)
        fmt, network = form_of(mine.config, "swis"), mine.operands.study
        schedule = network.schedule(fmt)
        encoded = encode_layers(network.base_module, fmt, frozenset(), schedule.layers if schedule else None)
        costs = layer_costs(weight_layers(network.base_module), encoded, fmt, network.macs)
        found = mine.operands.of(fmt, mine.mine[0])
        assert sum(weights.stored_bits for weights in found) == sum(cost.stored_bits for cost in costs)


def test_filters_are_on_the_rows_in_the_order_of_the_schedule(study):
    """A tile has as many filters as the array has rows, and takes the cycles of its slowest filter."""
    mine = hardware(study, "methods=[swis]", "bits=2.5", "schedule=greedy", "schedule.filters_per_tile=8")
    fmt, array = form_of(mine.config, "swis"), mine.mine[0]
    whole, better = mine.operands.study.schedule(fmt), 0
    for layer, found in zip(mine.operands.layers, mine.operands.of(fmt, array), strict=True):
        if layer.groups == 1:
            schedule, groups = whole.layers[layer.name], -(-layer.filter_weights // 4)
            steps = array.work(layer, found).steps
            assert steps == groups * schedule.cycles[schedule.order][::8].sum(), layer.name
            better += steps < groups * schedule.cycles_unordered[::8].sum()
    assert better > 10


def test_skipping_hardware_gets_the_weights_in_the_layer_s_order(study):
    mine = hardware(study, "accelerator=pragmatic")
    found = mine.operands.of(form_of(mine.config, "int8"), mine.mine[0])
    codes = {layer.name: weights.codes for layer, weights in zip(mine.operands.layers, found, strict=True)}
    for name, layer in weight_layers(study.base_module).items():
        weight = layer.weight.detach().flatten(1).numpy()
        scale = np.abs(weight).max(1, keepdims=True) / 127
        assert np.abs(weight - codes[name].reshape(weight.shape) * scale).max() <= 0.51 * scale.max(), name


def test_inputs_on_hardware_are_those_of_a_calibration_image():
    """Every layer has its full input; inputs after a ReLU6 have many zeros and no negative value."""
    config = load(["task=simulate", "accelerator=laconic", "model=mobilenet_v2"])
    mine = Hardware(config, StudyOperands(prepare(config)))
    fmt = form_of(config, "int8")
    operands = mine.operands.of(fmt, mine.mine[0])
    for layer, found in zip(mine.operands.layers, operands, strict=True):
        assert found.inputs.shape == (layer.in_channels, layer.in_h, layer.in_w), layer.name
        assert np.abs(found.inputs).max() <= 255
    dw = next(n for n, layer in enumerate(mine.operands.layers) if layer.depthwise)
    assert operands[dw].inputs.min() == 0
    assert 0.05 < (operands[dw].inputs == 0).mean() < 0.95
    busy = mine.layers(fmt)["busy_lane_cycles"]
    work = laconic_work(operands[0].codes, operands[0].inputs, mine.operands.layers[0], 8, 8, 16)
    assert busy[0] == work.useful_lane_cycles


def test_shapes_have_random_values_where_hardware_depends_on_them(tmp_path):
    path = tmp_path / "small.csv"
    write_workload(LAYERS, path)
    common = ["task=simulate", f"workload={path}", "methods=[swis]"]
    for name in ("pragmatic", "laconic"):
        first, again, other = (
            simulate_methods(load([*common, f"accelerator={name}", f"seed={seed}"]))[0] for seed in (0, 0, 1)
        )
        assert (first["weights"] == "shapes").all()
        pd.testing.assert_frame_equal(first, again)
        assert (first["compute_cycles"] != other["compute_cycles"]).all()
    plain = simulate_methods(load([*common, "accelerator=stripes"]))[0]
    assert (plain["weights"] == "shapes").all()


def test_a_table_of_networks_has_the_sums_of_their_layers(tmp_path):
    path = tmp_path / "small.csv"
    write_workload(LAYERS, path)
    common = ["task=simulate", f"workload={path}", "methods=[swis]", "versus=[all]", f"out={tmp_path / 'o'}"]
    *_, layers = simulate_methods(load(common))
    *_, networks = simulate_methods(load([*common, "per_layer=false", "force=true"]))
    keys = ["accelerator", "method", "bits"]
    designs = {file.stem for file in (ROOT / "conf" / "accelerator").glob("*.yaml")}
    assert set(networks["accelerator"]) == designs
    sums = layers.groupby(keys)[["latency_cycles", "energy_pj", "dram_bytes"]].sum()
    pd.testing.assert_frame_equal(networks.set_index(keys).sort_index()[list(sums)], sums, check_dtype=False)


def test_speedups_are_over_int8_weights_on_the_other_design(study):
    versus = "versus=[stripes,pragmatic,swis_ss]"
    mine = hardware(study, "accelerator=swis_ds", "methods=[swis]", "bits=2", versus)
    base, swis = (form_of(mine.config, method) for method in ("int8", "swis"))
    found = mine.columns(swis)
    for name in ("stripes", "pragmatic", "swis_ss"):
        alone = hardware(study, f"accelerator={name}").totals(base)
        assert found[f"speedup_vs_{name}"] == alone["latency_ms"] / mine.totals(swis)["latency_ms"]
        assert found[f"energy_gain_vs_{name}"] == alone["energy_pj"] / mine.totals(swis)["energy_pj"]
    assert found["speedup_vs_stripes"] > found["speedup_vs_pragmatic"] > 1
    assert mine.columns(form_of(mine.config, "float")) == {}


def test_hardware_results_are_stored_and_a_table_has_all_accelerators(tiny, tmp_path, monkeypatch):
    common = [*tiny, "methods=[swis]", "versus=[stripes]"]
    first = evaluate_methods(load(common))
    assert first["accelerator"].isna().tolist() == [
        True,
        False,
        False,
    ]  # float has no hardware result
    # another accelerator does not compute accuracies again, and a known one computes nothing
    monkeypatch.setattr("swis.experiments.study.Study.measure", None)
    second = evaluate_methods(load([*common, "accelerator=swis_ds"]))
    monkeypatch.setattr("swis.experiments.network_hardware.Hardware.columns", lambda *_: {})
    pd.testing.assert_frame_equal(evaluate_methods(load(common)), first)
    monkeypatch.undo()
    table = load_table(tmp_path / "runs", "all")
    swis = table[table["method"] == "swis"].set_index("accelerator")
    assert sorted(swis.index) == ["swis_ds", "swis_ss"]
    assert swis["top1"].nunique() == 1
    for name, rows in (("swis_ss", first), ("swis_ds", second)):
        assert swis.loc[name, "latency_cycles"] == rows.set_index("method").loc["swis", "latency_cycles"]
    dearer = evaluate_methods(load([*common, "energy.dram_pj_per_bit=30"])).set_index("method").loc["swis"]
    assert dearer["dram_energy_pj"] == 2 * swis.loc["swis_ss", "dram_energy_pj"]
    assert len(load_table(tmp_path / "runs", "all")) == len(table) + 2
    # comparing with another design adds columns to the same result
    fresh = evaluate_methods(load([*common[:-1], "versus=[pragmatic]"])).set_index("method").loc["swis"]
    assert fresh["speedup_vs_pragmatic"] > 1
    assert len(load_table(tmp_path / "runs", "all")) == len(table) + 2
    # another group size does not change the array, and a row without groups has the same result
    eight = evaluate_methods(load([*common, "group_size=8"])).set_index("method")
    wide = evaluate_methods(load([*common, "group_size=8", "accelerator.lanes=group_size"]))
    wide, narrow = wide.set_index("method"), first.set_index("method")
    for quantity in ("lanes", "array_mm2", "latency_cycles", "speedup_vs_stripes"):
        assert eight.at["int8", quantity] == narrow.at["int8", quantity]
    assert (eight.at["swis", "lanes"], wide.at["int8", "lanes"]) == (4, 8)
    assert wide.at["int8", "array_mm2"] > narrow.at["int8", "array_mm2"]
    assert wide.at["int8", "latency_cycles"] < narrow.at["int8", "latency_cycles"]
    their = [rows["speedup_vs_stripes"] * rows["latency_cycles"] for rows in (narrow, eight, wide)]
    assert their[0]["int8"] == their[1]["int8"] == pytest.approx(their[2]["int8"])
    parts = [name for name in SIMULATED if name.endswith("_energy_pj")]
    assert dearer[parts].sum() == dearer["energy_pj"]


def test_float_activations_have_no_hardware_and_wrong_hardware_is_refused_before_any_work(tiny, command_line):
    plain = evaluate_methods(load([*tiny, "methods=[swis]", "activation_bits=null"]))
    assert "accelerator" not in plain
    for bad, message in {
        "accelerator.lanes=many": "accelerator.lanes must be a whole number or group_size, not many",
        "accelerator.lanes=0": "accelerator.lanes must be at least 1, not 0",
        "accelerator=stripes accelerator.groups_share_lanes=true": "is only for datapath=swis, not serial",
        "accelerator.unit=gate": "accelerator.unit must be one of stripes",
        "versus=[abacus]": "versus must be one of bitfusion",
        "energy.banks=[]": "energy.banks is empty",
        "energy.units.swis_ss.node=nm3": "energy.units.swis_ss.node=nm3 is not in energy.nodes",
        "energy.dram_pj_per_bit=-1": "energy.dram_pj_per_bit must be finite and at least 0",
        "accelerator=systolic_os accelerator.systolic=false": "systolic must be true for datapath=systolic",
        "accelerator.array_um2=10": "accelerator.array_um2=10 is less than a column of PEs",
        "accelerator.array_um2=inf": "accelerator.array_um2 must be finite and above 0, not inf",
        "accelerator=systolic_os accelerator.lanes=4": "accelerator.lanes must be 1 for datapath=systolic",
        "energy.units.swis_ss.shared=2": "energy.units.swis_ss.shared must be in [0, 1], not 2",
        "energy.units.swis_ss.area_um2=0": "energy.units.swis_ss.area_um2 must be above 0",
        "versus=[all,stripes]": "versus=[all] includes all designs",
    }.items():
        done = command_line(*tiny, "methods=[swis]", *bad.split())
        assert done.status == 2, bad
        assert message in done.err
        assert len(done.err.strip().splitlines()[-1:]) == 1
        assert "float:" not in done.err  # no network has run


def test_rows_of_networks_that_do_not_fit_the_hardware_have_the_reason(tiny, tmp_path, command_line, caplog):
    """Fusion units do not take 9 bits, and one byte of SRAM holds no tile; the warning is given once."""
    warn_once.cache_clear()
    rows = evaluate_methods(load([*tiny, "methods=[swis]", "magnitude_bits=8", "versus=[bitfusion,stripes]"]))
    assert "no comparison with int8 on bitfusion: fusion units take operands of up to 8 bits" in caplog.text
    swis = rows.set_index("method").loc["swis"]
    assert pd.isna(swis["speedup_vs_bitfusion"])
    assert swis["speedup_vs_stripes"] > 1
    for option, reason in {
        "accelerator.weight_sram_bytes=1": "weight_sram_bytes=1 holds no tile of",
        "accelerator=bitfusion": "fusion units take operands of up to 8 bits, not 9",
    }.items():
        common = [*tiny, "methods=[swis]", "magnitude_bits=8", option, "versus=[stripes]"]
        rows = evaluate_methods(load(common)).set_index("method")
        assert (rows["status"] == "ok").all()
        assert rows["top1"].notna().all()
        assert reason in rows.at["swis", "hardware_error"]
        assert "latency_ms" not in rows or pd.isna(rows.at["swis", "latency_ms"])
        done = command_line(*common)
        assert f"no hardware results on {rows.at['swis', 'accelerator']}: " in done.out
        assert done.status == 0, done.err
        assert f"swis: {rows.at['swis', 'hardware_error']}" in done.out
        assert command_line(*common, "dry_run=true").out.strip() == "float done, int8 done, swis done"
        sweep = command_line("--multirun", *common, "seed=0,0", "dry_run=true")
        assert sweep.out.strip().endswith("3 rows of 1 points: 3 done, 0 to do"), sweep.out
    table = load_table(tmp_path / "runs", "all")
    assert table["hardware_error"].notna().sum() == 4
    assert table.query("method == 'swis' and hardware_error.isna()")["latency_ms"].notna().all()
    compact(tmp_path / "runs")
    pd.testing.assert_frame_equal(load_table(tmp_path / "runs", "all"), table)


def test_methods_that_an_accelerator_cannot_run_are_left_out_by_name(tmp_path, caplog):
    path = tmp_path / "small.csv"
    write_workload(LAYERS[2:], path)
    common = ["task=simulate", f"workload={path}", "accelerator=bitfusion", "magnitude_bits=8", "versus=[]"]
    lines, *_ = simulate_methods(load([*common, "methods=[truncate,swis]"]))
    reason = "fusion units take operands of up to 8 bits, not 9"
    found = lines.set_index("method")
    assert found.loc[["int8", "swis"], "hardware_error"].tolist() == [reason, reason]
    assert found["latency_cycles"].isna().to_dict() == {"truncate": False, "int8": True, "swis": True}
    assert f"swis on bitfusion is left out: {reason}" in caplog.text
    with pytest.raises(InputError, match=reason):
        simulate_methods(load([*common, "methods=[swis]"]))


@pytest.mark.parametrize("methods", ["swis", "truncate,swis"])
def test_a_table_without_numbers_has_the_reason_and_is_done(tmp_path, command_line, methods):
    path, out = tmp_path / "small.csv", tmp_path / "table.parquet"
    write_workload(LAYERS[2:], path)
    common = ["task=simulate", f"workload={path}", "accelerator=bitfusion", "magnitude_bits=8", "versus=[]"]
    common += [f"methods=[{methods}]", f"out={out}", "per_layer=false"]
    done = command_line(*common)
    assert done.status == 0, done.err
    assert "no results of int8, swis: fusion units take operands of up to 8 bits, not 9" in done.out
    assert pd.read_parquet(out)["hardware_error"].notna().sum() == 2
    assert command_line(*common, "dry_run=true").out.strip() == f"{out} done"


def test_a_damaged_hardware_result_is_set_aside_and_simulated_again(tiny, tmp_path, caplog):
    config = load([*tiny, "methods=[swis]", "versus=[]"])
    whole = evaluate_methods(config)
    path = next((tmp_path / "runs" / "_hardware").glob("*.parquet"))
    path.write_bytes(b"damaged")
    assert load_table(tmp_path / "runs", "all")["accelerator"].notna().sum() == 1
    assert f"the first is {path}, which cannot be read" in caplog.text
    pd.testing.assert_frame_equal(evaluate_methods(config), whole)
    assert (path.parent / "_set_aside" / path.name).read_bytes() == b"damaged"
    assert load_table(tmp_path / "runs", "all")["accelerator"].notna().sum() == 2


def test_compaction_keeps_hardware_results(tiny, tmp_path, monkeypatch):
    """Each keeps its own columns, although a compacted file has the columns of all results."""
    common, folder = [*tiny, "methods=[swis]", "bits=3"], tmp_path / "runs"
    configs = [
        load([*common, "accelerator=swis_ss", "versus=[stripes,pragmatic]"]),
        load([*common, "accelerator=swis_ds", "versus=[bitfusion]"]),
    ]
    rows = [evaluate_methods(config) for config in configs]
    table = load_table(folder, "all")
    compact(folder)
    assert len(list((folder / "_hardware").iterdir())) == 1
    pd.testing.assert_frame_equal(load_table(folder, "all"), table)
    monkeypatch.setattr(
        "swis.experiments.network_hardware.Hardware.columns", None
    )  # nothing is simulated again
    for config, before in zip(configs, rows, strict=True):
        pd.testing.assert_frame_equal(evaluate_methods(config), before)
    monkeypatch.undo()
    # results of older code stay on disk, but are not in the table
    monkeypatch.setattr("swis.results.hardware_results.HARDWARE_VERSION", HARDWARE_VERSION + 1)
    assert "accelerator" not in load_table(folder, "all")


def test_units_and_memories_added_to_the_energy_table_change_no_hardware_result(tiny, monkeypatch):
    common = [*tiny, "methods=[swis]", "versus=[stripes]"]
    rows = evaluate_methods(load(common))
    config = load(common)
    energy = config.energy
    unit, bank = replace(energy.units["stripes"], area_um2=1.0), replace(energy.banks[-1], size_bytes=1 << 30)
    energy = replace(energy, units=energy.units | {"mine": unit}, banks=[*energy.banks, bank])
    monkeypatch.setattr(
        "swis.experiments.network_hardware.Hardware.columns", None
    )  # nothing is simulated again
    pd.testing.assert_frame_equal(evaluate_methods(replace(config, energy=energy)), rows)
    for name in ("swis_ss", "stripes"):  # the energies of the design, and those of a baseline
        dearer = replace(energy.units[name], pj_per_cycle=9.0)
        changed = replace(config, energy=replace(energy, units=energy.units | {name: dearer}))
        with pytest.raises(TypeError):
            evaluate_methods(changed)


def test_a_hardware_result_keeps_its_earlier_comparisons(tiny, tmp_path, monkeypatch):
    many, one, none = (
        load([*tiny, "methods=[swis]", f"versus={names}"]) for names in ("[stripes,bitwave]", "[loom]", "[]")
    )
    rows = {id(config): evaluate_methods(config) for config in (many, none, one)}
    swis = load_table(tmp_path / "runs", "all").query("method == 'swis'")
    assert len(swis) == 1
    for config in (many, one):
        for name in config.versus:
            column = f"speedup_vs_{name}"
            assert swis[column].item() == rows[id(config)].set_index("method").at["swis", column]
    monkeypatch.setattr(
        "swis.experiments.network_hardware.Hardware.columns", None
    )  # nothing is simulated again
    for config in (many, none, one):
        again = evaluate_methods(config).drop(columns="hardware")
        pd.testing.assert_frame_equal(again, rows[id(config)].drop(columns="hardware"))


def test_a_user_s_design_extends_another(tmp_path, monkeypatch):
    folder = tmp_path / "accelerator"
    shutil.copytree(ROOT / "conf" / "accelerator", folder)
    (folder / "wide.yaml").write_text("defaults: [swis_ds, _self_]\nname: wide\ncolumns: 16\n")
    monkeypatch.setattr("swis.options.conf_files.CONF", tmp_path)
    found = accelerator_named("wide")
    assert (found.name, found.columns, found.shifts_per_cycle) == ("wide", 16, 2)
