"""The union of tables: equal rows of several tables once, all rows of one table and of different designs."""

import pandas as pd

from swis.experiments.config import load
from swis.experiments.run import run
from swis.hardware.layer_shapes import Layer, write_workload
from swis.results.records import load_simulated
from swis.results.tables import union

SAME = Layer("conv", 16, 16, 3, 3, 10, 10, 8, 8)
OTHER = Layer("conv", 16, 32, 1, 1, 8, 8, 8, 8)


def simulate(tmp_path, out: str, *overrides: str) -> pd.DataFrame:
    path = tmp_path / "names.csv"
    write_workload([SAME, SAME, OTHER], path)
    (tmp_path / "tables").mkdir(exist_ok=True)
    file = tmp_path / "tables" / f"{out}.parquet"
    run(load(["task=simulate", f"workload={path}", "methods=[swis]", f"out={file}", *overrides]))
    return pd.read_parquet(file)


def test_layers_with_the_same_name_are_all_kept(tmp_path):
    one = simulate(tmp_path, "one", "versus=[stripes]")
    again = simulate(tmp_path, "two", "versus=[systolic_os]")
    table = load_simulated(tmp_path / "tables")
    swis = table.query("accelerator == 'swis_ss' and method == 'swis'")
    assert swis["macs"].sum() == 2 * SAME.macs + OTHER.macs  # rows that are in both files count once
    assert len(table) == len(one) + len(again) - 2 * 3  # both have the two formats on swis_ss
    assert table.groupby(["accelerator", "method"])["macs"].sum().eq(swis["macs"].sum()).all()


def test_designs_that_differ_in_one_number_are_all_kept(tmp_path):
    designs = {
        "plain": [],
        "rows": ["accelerator.rows=4"],
        "columns": ["accelerator.columns=4"],
        "lanes": ["accelerator.lanes=2"],
        "sram": ["accelerator.input_sram_bytes=16384"],
        "clock": ["accelerator.frequency_mhz=250"],
        "energy": ["energy.dram_pj_per_bit=30"],
    }
    tables = [
        simulate(tmp_path, name, "versus=[]", "per_layer=false", *chosen) for name, chosen in designs.items()
    ]
    assert len(load_simulated(tmp_path / "tables")) == sum(map(len, tables)) == 2 * len(designs)


def test_a_design_compared_with_itself_appears_once(tmp_path):
    whole = simulate(tmp_path, "whole", "versus=[swis_ss,stripes]", "per_layer=false")
    assert whole.groupby(["accelerator", "method"]).size().eq(1).all()
    assert len(whole) == 4


def test_comparisons_of_one_table_are_joined_and_different_ones_kept_apart():
    row = {"accelerator": "stripes", "macs": 100, "machine": "a"}
    none, one = pd.DataFrame([row]), pd.DataFrame([row | {"speedup_vs_loom": 2.0}])
    other = pd.DataFrame([row | {"speedup_vs_loom": 3.0, "speedup_vs_swis": None, "machine": "b"}])
    both = union([none, one])
    assert both["speedup_vs_loom"].tolist() == [2.0]
    assert union([none, one, other])["speedup_vs_loom"].tolist() == [2.0, 3.0]


def test_a_table_that_lacks_a_column_gets_it_from_equal_rows():
    old = pd.DataFrame({"layer": ["conv", "conv", "head"], "macs": [100, 100, 7], "machine": "a"})
    new = old.assign(unsimulated_macs=40, machine="b")
    for tables in ([old, new], [new, old], [old, old, new]):
        both = union(tables)
        assert both["macs"].sum() == 207  # two layers have the same name
        assert (both["unsimulated_macs"] == 40).all()
    newest = new.assign(idle=[1, 2, 3])
    both = union([old, new, newest])
    assert (both["idle"].tolist(), both["unsimulated_macs"].tolist()) == ([1, 2, 3], [40] * 3)
    alone = union([old.assign(macs=1), new])  # no equal row has the missing column
    assert (len(alone), alone["unsimulated_macs"].isna().sum()) == (6, 3)


def test_a_null_value_in_an_existing_column_makes_another_row():
    row = {"layer": "conv", "macs": 100}
    shapes, network = (
        pd.DataFrame([row | {"unsimulated_macs": None}]),
        pd.DataFrame([row | {"unsimulated_macs": 40}]),
    )
    assert len(union([shapes, network])) == 2
    sums = pd.DataFrame([{"macs": 100, "frames_per_s": 5.0}])  # a row of a network, not of a layer
    assert len(union([shapes, sums])) == 2


def test_tables_without_the_column_groups_share_lanes_get_false():
    old = pd.DataFrame({"layer": ["conv"], "macs": 100})
    both = union([old, old.assign(groups_share_lanes=True, unsimulated_macs=1)])
    assert both["groups_share_lanes"].tolist() == [False, True]
    assert both["groups_share_lanes"].dtype == bool
