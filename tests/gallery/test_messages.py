"""What figures say in their titles and captions is true of what they draw."""

import numpy as np
import pytest
from conftest import ROOT

from swis import gallery
from swis.analysis.freedoms import VARIANTS, freedoms
from swis.analysis.trade_offs import LOSSES
from swis.gallery.registry import figures

RESULTS = ROOT / "results"


def curves(axes):
    """The labelled lines of axes: label to points [points, 2]."""
    return {
        line.get_label(): np.array(line.get_xydata()) for line in axes.lines if line.get_label()[0] != "_"
    }


@pytest.mark.parametrize("first", [0, 3])
def test_accuracy_at_equal_cycles_and_at_equal_bits(first):
    whole, _, by_bits = gallery.draw("accuracy", RESULTS).axes[first : first + 3]
    found = {name: points[:, 1] for name, points in curves(whole).items() if name != "float"}
    for cycles in (0, 1):
        assert found["SWIS"][cycles] == max(tops[cycles] for tops in found.values())
    swis, uniform = (curves(by_bits)[name] for name in ("SWIS", "uniform"))
    one_image = 0.2
    ahead = np.interp(swis[:, 0], *uniform.T) - swis[:, 1]
    assert (ahead >= -one_image - 1e-9).all()
    assert ahead.mean() > one_image


def test_calibration_recovers_and_swis_is_ahead_from_the_walk_on():
    for axes in gallery.draw("calibration", RESULTS).axes:
        bars = axes.containers[0]
        swis = np.array([bar.get_x() + bar.get_width() for bar in bars])
        others = [points[:, 0] for name, points in curves(axes).items() if name != "float"]
        assert len(others) == 2
        assert max(swis[0], *(other[0] for other in others)) < 20
        assert all((swis[2:] > other[2:]).all() for other in others)


def test_a_budget_of_the_network_is_better_than_one_per_layer():
    grid = np.array(gallery.draw("scheduling", RESULTS).axes).reshape(2, 4)
    for above, below in grid.T:
        of_layers = curves(above)["budget per layer"]
        in_macs = curves(above)["budget of the network, in MACs"]
        in_weights = curves(below)["budget of the network, in weights"]
        for better in (in_macs, in_weights):
            assert np.allclose(better[:, 0], of_layers[:, 0], atol=0.03)  # asked for as much
            assert (better[:, 1] >= of_layers[:, 1]).all()
            assert better[:, 1].mean() > of_layers[:, 1].mean()


def test_swis_arrays_are_fast_and_dram_takes_most_energy():
    left, right = gallery.draw("hardware", RESULTS).axes[:2]
    names = [label.get_text() for label in left.get_yticklabels()]
    assert {"SWIS-C array", "SWIS single-shift"} <= set(names[:3])
    for bars in zip(*right.containers, strict=True):
        widths = [bar.get_width() for bar in bars]
        assert widths[-1] > sum(widths) / 2
    assert [label.get_text() for label in right.get_legend().get_texts()][-1] == "DRAM"


def test_the_fronts_are_close_together_and_both_lead_somewhere():
    ratios = []
    for axes in gallery.draw("pareto", RESULTS).axes:
        fronts = curves(axes)
        for loss in LOSSES:
            least = [
                front[front[:, 1] >= -loss, 0].min()
                for front in (fronts["best of SWIS arrays"], fronts["best of other designs"])
            ]
            ratios.append(least[1] / least[0])
    assert 1 / 1.4 < min(ratios) < 1 < max(ratios) < 1.4


def test_over_the_closest_baseline_little_energy_is_gained():
    energy, speed = gallery.draw("sensitivity", RESULTS).axes
    for axes in (energy, speed):
        assert axes.texts[0].get_text() == "BitWave"
    lines = [max(axes.lines, key=lambda line: line.get_linewidth()).get_ydata() for axes in (energy, speed)]
    assert 1 < min(lines[0]) < max(lines[0]) < 1.15
    assert (np.diff(lines[1]) > 0).all()


def test_retraining_adds_next_to_nothing_and_truncation_stays_behind():
    imagenet, fashion, alone = gallery.draw("retraining", RESULTS).axes
    for axes, least in ((imagenet, 0.5), (fashion, 0.1)):
        found = {name: points[:, 1] for name, points in curves(axes).items() if name != "float"}
        assert all(abs(after - before) < least for before, after in found.values())
        assert found["truncation"][1] == min(after for _, after in found.values())
    two = {name: points[0, 1] for name, points in curves(alone).items()}
    assert min(two["SWIS"], two["SWIS-C"]) > max(two["uniform"], two["truncation"])


def test_larger_groups_and_compact_coding_save_bits():
    for axes in gallery.draw("compression", RESULTS).axes:
        lines = [line for line in axes.lines if line.get_label() != "8-bit"]
        assert len(lines) == 8
        for line in lines:
            bits = dict(zip(*line.get_data(), strict=True))
            assert bits[1] - bits[16] > 0.8 * (bits[1] - min(bits.values()))
        plain, compact = (
            [line for line in lines if line.get_label().endswith(end)] for end in ("plain", "compact")
        )
        for before, after in zip(plain, compact, strict=True):
            assert (after.get_ydata() < before.get_ydata()).all()


def test_free_sets_are_ahead_in_small_groups_alone():
    error, lossless, *small = gallery.draw("decomposition", RESULTS).axes
    lines = {
        name: [line.get_ydata() for line in error.lines if line.get_label() == name]
        for name in ("SWIS", "SWIS-C")
    }
    ahead = [one - other for one, other in zip(*lines.values(), strict=True)]
    assert all((gap[1:] > 0.4).all() for gap in ahead[:2])
    assert (ahead[2][1:5] < 0).all()
    steps = [np.diff(line) for line in (*lines["SWIS"], *lines["SWIS-C"])]
    steps += [np.diff(line.get_ydata()) for axes in small for line in axes.lines]
    assert f"{np.min(steps):.1f} to {np.max(steps):.1f} dB" in figures()["decomposition"].caption
    assert max(line.get_ydata()[3] for line in lossless.lines if line.get_ydata()[0] < 5) < 10


def test_what_sets_are_chosen_by_matters_most_at_three_shifts():
    left, right = gallery.draw("metric", RESULTS).axes
    mse, plus, together = (
        dict(curves(left)[name]) for name in ("MSE", "MSE++", "MSE++, levels chosen together")
    )
    assert mse[3] < plus[3] < together[3]
    assert max(together, key=lambda shifts: together[shifts] - mse[shifts]) == 3
    assert len(right.texts) == 4


def test_one_set_per_layer_is_far_from_float_and_signs_bring_it_nearer():
    rows = freedoms(RESULTS).set_index(["variant", "model"])
    kl, bits = rows["held_out_kl"], rows["weight_bits"]
    plain = kl["SWIS"]
    assert (kl["one set per layer"] > 2 * plain).all()
    assert (kl["signed digits"] < plain).all()
    assert (bits["signed digits"] > bits["SWIS"]).all()
    for variant in ("4 sets per layer", "a price of bits", "consecutive powers"):
        assert (kl[variant] > plain).all()
        assert (bits[variant] < bits["SWIS"]).all()
    left, right = gallery.draw("ablation", RESULTS).axes
    assert {text.get_text() for text in left.texts} >= set(VARIANTS.values())
    assert len(left.lines) == len(right.lines) == len(VARIANTS)


def test_swis_at_two_cycles_has_the_bits_and_the_closeness_of_uniform_at_three():
    drawn = gallery.draw("bits", RESULTS)
    for axes in drawn.axes[2:]:  # KL over bits; each format has a filled line of two cycles
        lines = {}
        for line in axes.lines:
            hollow = line.get_markerfacecolor() == "white"
            lines[line.get_label(), 3 if hollow else 2] = np.array(line.get_xydata())
        swis, uniform, few = (lines[key] for key in (("SWIS signed", 2), ("uniform", 3), ("uniform", 2)))
        bits = uniform[:, 0][(uniform[:, 0] >= swis[0, 0]) & (uniform[:, 0] <= 3.3)]
        assert len(bits)
        ratio = np.exp(
            np.interp(bits, swis[:, 0], np.log(swis[:, 1]))
            - np.interp(bits, uniform[:, 0], np.log(uniform[:, 1]))
        )
        assert ratio.max() < 1.2
        assert few[:, 1].min() > 2 * np.interp(3.0, swis[:, 0], swis[:, 1])
