"""What the pages say in words is so in the committed rows."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from docs.tables import (
    accuracy,
    calibration,
    choices,
    claims,
    hardware,
    retraining,
    scheduling,
    speed,
    storage,
)
from docs.tables.rows import calibrated, floats, of
from swis.analysis.ablation import fully_calibrated, gains, plainly_scaled
from swis.analysis.claims import compression_pairs
from swis.analysis.trade_offs import BIT_SERIAL, by_design, fair_gains, within_loss
from swis.evaluation.paired_tests import holm
from swis.evaluation.seeds import gap
from swis.experiments.config import load
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.gallery.common import of_equal_area
from swis.hardware.designs import design, energy_table
from swis.options.choices import Coding, Policy, Selection
from swis.options.conf_files import accelerator_named, energies_named
from swis.results.records import load_storage, load_table

RESULTS = ROOT / "results"
NETWORKS = ["efficientnet_lite0", "mobilenet_v2"]


def by_format(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.pivot(index=["model", "bits"], columns="method", values="top1")


@pytest.fixture(scope="module")
def top1() -> pd.DataFrame:
    """Top-1 of calibrated networks [model, bits] by format."""
    return by_format(accuracy.full(RESULTS))


def test_swis_is_the_most_accurate_at_one_and_two_shifts(top1):
    few = top1[top1.index.get_level_values("bits") <= 2]
    assert (few.max(axis=1) == few["swis"]).all()


def test_swis_is_ahead_of_uniform_beyond_chance_at_one_and_two_shifts_alone():
    pairs = accuracy.equal_cycles(RESULTS)
    adjusted = holm(np.array([one.p_value for one in pairs]))
    for (place, found), p_value in zip(pairs.items(), adjusted, strict=True):
        few = place[1] <= 2
        assert (p_value < 0.05) == few, place
        assert found.low > 0 or not few, place
        assert found.difference > 0 or place[1] == 4, place


def test_logits_of_swis_are_nearer_everywhere():
    sqnr = accuracy.full(RESULTS).pivot(index=["model", "bits"], columns="method", values="logit_sqnr_db")
    assert (sqnr["swis"] > sqnr["uniform"] + 1).all()


def test_at_equal_storage_swis_is_behind_at_one_shift_and_level_from_two_on():
    for (_, method, shifts, _), found in accuracy.equal_storage(RESULTS).items():
        if method == SwisC.name or shifts == 1:
            assert found.high < 0
        else:
            assert found.low < 0 < found.high


def test_without_calibration_all_formats_collapse_on_imagenet():
    rows = plainly_scaled(calibrated(RESULTS)).query("ingredient == 'none' and bits <= 2")
    assert set(rows["method"]) >= {"swis", "round", "uniform", "truncate"}
    assert (rows["top1"] < 1).all()
    at_four = accuracy.truncation_at_four(RESULTS).xs("none", level="calibrate")
    assert (at_four["truncate"] < 1).all()
    assert (at_four["swis"] < 20).all()


def test_with_one_scale_per_tensor_the_gap_to_truncation_is_above_the_papers():
    found = accuracy.truncation_at_four(RESULTS).loc[("tensor", "output_aware")]
    assert found["swis"] - found["truncate"] > 54.3


def test_formats_are_within_a_point_on_fashion_mnist_from_two_shifts_on():
    rows = load_table(RESULTS / "calibration").query("data == 'fashion_mnist' and bits >= 2")
    found = by_format(rows)
    assert (found.max(axis=1) - found.min(axis=1) < 1).all()


def test_calibrated_networks_reach_what_they_should(top1):
    at_least = {"efficientnet_lite0": (82, 85.5, 87), "mobilenet_v2": (78, 83.5, 85)}
    for model, lows in at_least.items():
        for shifts, low in zip((2, 3, 4), lows, strict=True):
            assert top1.loc[(model, shifts), "swis"] >= low


@pytest.fixture(scope="module")
def steps() -> pd.DataFrame:
    """What every ingredient of calibration adds, at every number of shifts."""
    rows = of(plainly_scaled(calibrated(RESULTS)), Swis, Uniform, Round)
    return gains(rows[rows["ingredient"] != "reconstruct"].dropna(subset="bits")).dropna(subset="difference")


def test_statistics_walk_and_target_help_every_format(steps):
    mean = steps.groupby(["ingredient", "method"])["difference"].mean()
    assert (mean[["stats", "walk", "asymmetric"]] > 5).all()


def test_the_search_over_scales_helps_swis_and_rounding_at_few_shifts(steps):
    searched = steps[steps["ingredient"] == "scales"]
    uniform = searched["method"] == Uniform.name
    assert (searched[uniform]["p_value"] > 0.05).all()
    few = searched[~uniform & (searched["bits"] <= 2)]
    assert (few["difference"] > 0).all()
    assert (few.groupby("method")["p_value"].min() < 0.05).all()


def test_what_brings_no_more_is_within_what_seeds_change():
    seeds = calibration.of_seeds(RESULTS).groupby(["model", "bits", "method"])["top1"]
    spread = (seeds.max() - seeds.min()).max()
    top1 = calibration.beyond_the_walk(RESULTS)["top1"]
    for _, some in top1.groupby(level=["model", "granularity"]):
        assert len(some) > 1
        assert some.max() - some.min() <= spread
    assert calibration.equalized_8_bit(RESULTS) < 1


def test_swis_is_ahead_with_every_seed_at_two_and_three_shifts():
    rows = calibration.of_seeds(RESULTS)
    top1 = rows.pivot(index=["model", "bits", "seed"], columns="method", values="top1").dropna(
        subset=["swis", "uniform"]
    )
    ahead = top1["swis"] - top1["uniform"]
    assert (ahead[ahead.index.get_level_values("bits") <= 3] > 0).all()
    assert (ahead.loc[("mobilenet_v2", 4)] < 0).all()
    level = gap(rows, "swis", "uniform", ["model", "bits"]).loc[("efficientnet_lite0", 4)]
    assert level["low"] < 0 < level["high"]


def test_mse_plus_plus_is_better_without_calibration():
    rows = of(choices.per_tensor(RESULTS), Swis)
    top1 = rows.pivot(index="bits", columns="alpha", values="top1")
    assert (top1[1.0] > top1[0.0]).all()
    assert (top1.loc[3].drop(0.0) > top1.loc[3, 0.0]).all()


def test_joint_selection_is_better_at_every_point():
    rows = of(load_table(RESULTS / "joint_selection"), Swis)
    found = rows.pivot(index=["bits", "group_size"], columns="selection", values=["mse_plus_plus", "top1"])
    joint, nearest = Selection.joint, Selection.nearest
    assert (found["mse_plus_plus", joint] < found["mse_plus_plus", nearest]).all()
    assert (found["top1", joint] > found["top1", nearest]).all()


def test_schedules_keep_their_budget_and_better_ones_lose_less():
    rows = scheduling.scheduled(RESULTS).dropna(subset="schedule_spent")
    assert (rows["schedule_spent"] <= rows["bits"] + 1e-12).all()
    fractions = of(rows[rows["bits"] != rows["bits"].round()], Swis)
    loss = fractions.pivot(index=["model", "data", "bits"], columns="policy", values="schedule_loss")
    assert (loss[Policy.optimal] <= loss[Policy.greedy] + 1e-9).all()
    assert (loss[Policy.greedy] < loss[Policy.uniform]).all()


def test_a_budget_of_macs_is_never_worse_than_an_even_spread_and_within_a_layer_little_is_won():
    rows = of(scheduling.scheduled(RESULTS), Swis)
    top1 = rows.pivot(index=["model", "data", "bits"], columns="policy", values="top1")
    assert (top1[scheduling.NETWORK_BY_MACS] >= top1[Policy.uniform]).all()
    gained = top1.sub(top1[Policy.uniform], axis=0).mean()
    of_layers, of_networks = gained[Policy.optimal], gained[scheduling.NETWORK_BY_MACS]
    assert of_networks > 5 * of_layers


def test_calibrated_schedules_come_within_three_points_of_float():
    rows = load_table(RESULTS / "calibration").query("data == 'imagenet'")
    found = rows.query("bits == 2.5").set_index("model")["top1"]
    assert sorted(found.index) == NETWORKS
    assert (floats(rows) - found < 3).all()


def test_retraining_on_500_images_brings_nothing_beyond_chance():
    keys = ["model", "data", "bits", "method", "seed"]
    after, before = (
        some.query("data == 'imagenet'").set_index(keys)["top1"]
        for some in (retraining.after(RESULTS), retraining.before(RESULTS))
    )
    assert len(after) == len(before) == 9
    gained = (after - before).groupby("method").agg(["mean", "sem"])
    assert (gained["mean"].abs() < 4.3 * gained["sem"]).all()  # Student's t of three seeds


def test_retrained_swis_is_within_three_tenths_of_float_on_small_images():
    rows = retraining.after(RESULTS).query("data != 'imagenet'")
    every = retraining.rows_of(RESULTS)
    float_top1 = every[every["method"] == "float"].set_index(["model", "weights"])["top1"]
    means = of(rows, Swis).groupby(["model", "weights", "bits"])["top1"].mean()
    below = -means.unstack("bits").sub(float_top1, axis=0).dropna(how="all")
    assert len(below) == 3
    assert below.max().max() < 0.3


def test_all_tables_of_retraining_are_over_three_seeds():
    for rows in (retraining.after(RESULTS), retraining.before(RESULTS)):
        seeds = rows.groupby(["model", "data", "bits", "method"])["seed"].nunique()
        assert (seeds == 3).all()


def test_most_rows_of_resnet18_are_of_a_gpu_and_of_several_versions():
    rows = retraining.after(RESULTS).query("model == 'resnet18'")
    assert rows["machine"].str.contains("NVIDIA").mean() > 0.5
    assert rows["packages"].nunique() > 1
    assert load(["experiment=resnet20_cifar10", "task=train"]).recipe.stages[0].epochs == 8


def test_every_seed_gains_from_retraining_after_statistics_alone():
    rows = retraining.statistics_rows(RESULTS)
    assert (rows["calibrate"] == "stats").all()
    trained = rows["training"].notna()
    top1 = rows.assign(trained=trained).pivot(index="seed", columns="trained", values="top1")
    assert (top1[True] > top1[False]).all()


@pytest.mark.parametrize(
    "experiment, certain",
    [
        ("retrain_ablation", set()),
        (
            "retrain_ablation_one_shift",
            {"learning_rate=1e-12 scale_rate=1e-12", "dampening=1.0 freeze_threshold=0.02"},
        ),
    ],
)
def test_settings_of_retraining_that_can_be_told_from_chance(experiment, certain):
    rows = retraining.changed(RESULTS, experiment)
    named = rows.assign(method=rows["change"])
    found = {name: gap(named, name, "", ["model"]).iloc[0] for name in set(rows["change"]) - {""}}
    assert {name for name, line in found.items() if not line["low"] < 0 < line["high"]} == certain


def test_the_recipes_of_retraining_are_as_the_page_says():
    assert load(["experiment=retrain_folded"]).retrain.epochs == 4
    recipe = load(["experiment=retraining"]).retrain
    assert (recipe.epochs, recipe.images, recipe.distillation) == (1, 10_000, 1.0)


def test_compact_coding_needs_fewer_bits_and_lossless_groups_save_little():
    rows = storage.measured(RESULTS)
    found = of(rows[rows["coding"].isin(list(Coding))], Swis)
    bits = found.pivot(index=["model", "bits", "group_size"], columns="coding", values="weight_bits")
    assert (bits[Coding.compact] < bits[Coding.plain]).all()
    plain = of(rows[rows["coding"] == Coding.plain], Swis, SwisC)
    assert (plain["weight_bits"] >= plain["formula_bits"] - 1e-9).all()
    assert load_storage(RESULTS / "storage").query("method == 'dpred'")["formula_bits"].min() > 7.5


def test_which_of_swis_and_uniform_is_smaller_turns_with_the_loss():
    pairs = compression_pairs(RESULTS)
    ratio = pairs["swis"] / pairs["uniform"]
    assert ratio.min() < 1 < ratio.max()


def test_free_sets_keep_more_than_consecutive_ones_in_small_groups_alone():
    rows = storage.measured(RESULTS)
    rows = of(rows[rows["coding"].eq(Coding.plain) & rows["bits"].isin([2, 3, 4])], Swis, SwisC)
    sqnr = rows.pivot(index=["model", "group_size", "bits"], columns="method", values="sqnr_db")
    more = (sqnr["swis"] - sqnr["swis_c"]).groupby("group_size")
    assert more.min()[1] > more.max()[4] > 0
    assert more.max()[16] <= 0


def test_with_as_many_units_swis_is_faster_than_all_but_bitlet():
    ms = by_design(hardware.published(RESULTS))["ms"]
    swis = ms[ms.index.str.match("swis.* N=[12]")]
    others = ms.loc[list(BIT_SERIAL)]
    assert (swis.max() < others.drop("bitlet").min()).all()
    assert (swis.max() > others.loc["bitlet"]).any()
    lines = hardware.published(RESULTS)
    assert lines["frequency_mhz"].unique().tolist() == [500]
    assert lines["dram_bits_per_cycle"].unique().tolist() == [64]


def test_what_is_called_equal_area_is():
    lines = hardware.area(RESULTS)
    swis = lines.query("accelerator == 'swis_ss'")["array_mm2"].iloc[0]
    assert (lines["array_mm2"] <= swis * 1.0001).all()
    assert (lines["array_mm2"] > 0.5 * swis).all()
    single, table = accelerator_named("swis_ss"), energy_table(energies_named("nm45"))
    assert swis == pytest.approx(64 * design(single, table, 4)[1].unit.area_um2 * 1e-6)


def test_rivals_of_equal_accuracy_run_weights_of_four_and_five_bits():
    gains = pd.concat(fair_gains(of_equal_area(RESULTS), by) for by in ("latency_ms", "energy_pj"))
    assert set(gains["bits_over"]) <= {3, 4}
    assert set(gains["bits"]) <= {2, 3}


def test_over_laconic_the_papers_speedup_is_reached():
    for _, found in within_loss(of_equal_area(RESULTS)).groupby("network"):
        lines = found.set_index("accelerator")
        best = lines[lines.index.str.startswith("swis")]["latency_ms"].min()
        laconic = lines.loc["laconic"]
        assert laconic["columns"] == 2
        assert laconic["latency_ms"] / best > 5.5
    top = within_loss(of_equal_area(RESULTS)).query("network == 'mobilenet_v2'").set_index("accelerator")
    assert top.loc["laconic", "latency_ms"] / top.loc["swis_c", "latency_ms"] > 6


def test_bitwave_is_the_best_bit_serial_rival_at_every_width_of_dram():
    for _, part in hardware.wide(RESULTS).groupby("dram_bits_per_cycle"):
        lines = within_loss(part)
        rivals = lines[lines["accelerator"].isin(BIT_SERIAL)].set_index("accelerator")["latency_ms"]
        assert rivals.idxmin() == "bitwave"


def test_over_bitwave_energy_is_a_little_less_on_one_network_and_a_little_more_on_the_other():
    gains = hardware.energy_gains(RESULTS).xs("bitwave", level="over")
    assert (gains.loc["mobilenet_v2"] > 1).all()
    assert (gains.loc["efficientnet_lite0"] < 1).all()


def test_most_of_the_energy_is_the_drams():
    lines = of_equal_area(RESULTS).query("accelerator == 'swis_ss'")
    assert (lines["dram_energy_pj"] / lines["energy_pj"]).min() > 0.5


def test_a_network_is_decomposed_in_less_than_a_second():
    rows = speed.measurements(RESULTS)
    rates = rows[rows["measured"].eq("decomposition") & rows["case"].eq("SWIS")]["value"]
    assert (138 / rates < 1).all()  # million weights of VGG-16
    relative = rows[rows["measured"].eq("evaluation") & rows["unit"].eq("%")].set_index("case")["value"]
    rounded = relative.index.str.contains("8-bit activations")
    assert (relative[~rounded] > 100).all()
    assert relative[rounded].min() > 95
    assert relative[~rounded].min() > relative[rounded].median()


def test_in_the_first_table_uniform_is_ahead_without_calibration_and_swis_with_it():
    rows = load_table(RESULTS / "first_table").dropna(subset="calibrate")
    top1 = rows.query("bits == 2").pivot(index="calibrate", columns="method", values="top1")
    assert top1.loc["none"].idxmax() == Uniform.name
    assert top1.loc["none", Swis.name] > top1.loc["none", Truncate.name]
    assert top1.loc["stats"].idxmax() == Swis.name
    assert (top1.loc["stats"] > 90).all()


def test_all_of_calibration_is_the_last_ingredient():
    rows = fully_calibrated(calibrated(RESULTS), group_size=None, seed=None).dropna(subset="bits")
    assert (rows["calibrate"] == "output_aware").all()


def test_the_verdicts_are_as_the_page_of_claims_sums_them_up():
    board, direction = claims.board(RESULTS), "in direction, not in size"
    assert board["verdict"].tolist() == [direction, "holds", direction, "on par", direction]
    ahead, on_par = "ahead of", "on par with"
    assert board["beside_plain"].tolist() == ["behind", ahead, on_par, ahead, on_par]
