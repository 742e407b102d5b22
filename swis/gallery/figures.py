"""The study's figures from its rows; python -m swis.gallery [NAME ...] draws them to results/figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, ScalarFormatter

from swis.analysis.ablation import INGREDIENTS, fully_calibrated, ingredient
from swis.analysis.trade_offs import advantage, at_dram_cost, made_for, with_accuracy, within_loss
from swis.errors import InputError
from swis.evaluation.seeds import over_seeds
from swis.explore.explorer import layer_figure
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.round import Round
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.uniform import Uniform
from swis.plots.figures import (
    accuracy_by_shifts,
    bits_per_weight,
    by_group_size,
    loss_by_cost,
    means_by_method,
    published_points,
)
from swis.plots.hardware_figures import (
    cycle_breakdown,
    energy_breakdown,
    gain_by,
    name_formats,
    roofline,
    tradeoff,
    traffic_by_layer,
)
from swis.results.records import load_simulated, load_storage, load_table
from swis.runtime.files import write_atomically
from swis.runtime.progress import tqdm

RESULTS = Path(__file__).parents[2] / "results"
DPI, _DPI_OF_NOTEBOOKS = 90, 65


def group(results: Path = RESULTS) -> Figure:
    """Four weights of a real network bit by bit, the errors of their layer, and its cycles."""
    return layer_figure("mobilenet_v2", "blocks.1.0.conv_pw", shifts=3, group=7)


def decomposition(results: Path = RESULTS) -> Figure:
    """Groups without loss and the error of codes over shifts, by group size, of the weights of networks."""
    table = load_storage(results / "storage")
    real = table[table["weights"] != "gaussian"]
    some = real[real["group_size"].isin([1, 4, 16]) & real["coding"].ne("compact")]
    figure, grid = _grid(2, real["model"].nunique(), (11, 7))
    for column, (model, mine) in zip(grid.T, some.groupby("model"), strict=True):
        kept = mine[mine["method"].isin([Swis.name, SwisC.name])].assign(
            lossless=lambda t: 100 * t["lossless"]
        )
        by_group_size(kept, "lossless", column[0]).set(title=model, ylabel="groups without loss [%]")
        by_group_size(kept, "sqnr_db", column[1]).set(ylabel="SQNR of the codes [dB]")
    _legend(figure, grid[0, 0])
    return figure


def compression(results: Path = RESULTS) -> Figure:
    """Bits per weight over group size and shifts: by formula, as packed, and with compact coding."""
    table = load_storage(results / "storage").query("weights != 'gaussian' and method == 'swis'")
    figure, grid = _grid(1, table["model"].nunique(), (11, 4))
    for axes, (model, mine) in zip(grid.flat, table.groupby("model"), strict=True):
        bits_per_weight(mine, axes).set(title=model)
    _legend(figure, grid[0, 0])
    return figure


def accuracy(results: Path = RESULTS) -> Figure:
    """Points lost after training, calibrated, over cycles and over bits per weight, beside published ones."""
    rows = load_table(results / "calibration")
    full = pd.concat(fully_calibrated(part) for _, part in rows.groupby("data"))
    full = full[full["schedule"].isna() | full["schedule"].eq("uniform")]
    published = pd.read_csv(results / "published.csv")
    networks = list(full.groupby(["model", "data"]))
    figure, grid = _grid(2, len(networks), (13, 7))
    for column, ((model, data), mine) in zip(grid.T, networks, strict=True):
        others = published[published["network"].eq(model) & (data == "imagenet")]
        others = others.assign(cycles_per_weight=others["weight_bits"] - 1)
        for axes, cost in zip(column, ("cycles_per_weight", "weight_bits"), strict=True):
            shown = mine if cost == "weight_bits" else mine[mine["method"] != Int8.name]
            loss_by_cost(shown, cost, axes)
            published_points(others, cost, axes)
            axes.set(xlim=(0.5, 9 if cost == "weight_bits" else 4.5), xlabel=cost.replace("_", " "))
            axes.xaxis.set_major_locator(MultipleLocator(1))
        column[1].set(xlabel="bits per weight")
        column[0].set_title(f"{model}, {data}")
    like = [(model, data) for (model, data), _ in networks].index(("mobilenet_v2", "imagenet"))
    _legend(figure, grid[1, like])
    return figure


def metric(results: Path = RESULTS) -> Figure:
    """MSE and MSE++ as what a set is chosen by, levels chosen together, and the weight of the bias."""
    table, joint = (load_table(results / name) for name in ("lite0_per_tensor", "joint_selection"))
    named = table.assign(choice=table["alpha"].map({0.0: "MSE", 1.0: "MSE++"})).query("method != 'swis_c'")
    four = joint.query("group_size == 4 and selection == 'joint'").assign(choice="MSE++, joint")
    swis = table[table["method"].isin([Swis.name, Float.name])]
    swis = swis.assign(shifts=swis["bits"].map("N = {:g}".format, na_action="ignore"))
    figure, grid = _grid(1, 2, (11, 4))
    accuracy_by_shifts(pd.concat([named, four]), "bits", "choice", grid[0, 0]).set(xlabel="shifts N")
    accuracy_by_shifts(swis, "alpha", "shifts", grid[0, 1]).set(xlabel="alpha: weight of the bias in MSE++")
    for axes in grid[0]:
        axes.set_title("efficientnet_lite0, one scale per tensor, M = 4, not calibrated", fontsize=9)
        axes.legend(fontsize=8)
    return figure


def calibration(results: Path = RESULTS) -> Figure:
    """What each ingredient of calibration brings, for SWIS and for the quantizers it stands against."""
    rows = load_table(results / "calibration").query("data == 'imagenet' and seed == 0 or method == 'float'")
    rows = rows.assign(ingredient=rows.apply(ingredient, axis=1)).query("data == 'imagenet'")
    four = rows["group_size"].isna() | rows["group_size"].eq(4)
    plain = rows["granularity"].eq("channel") & rows["rewrites"].eq("")
    whole = rows[four & plain & rows["bits"].isin([1, 2, 3, 4]) & rows["ingredient"].ne("reconstruct")]
    methods = [Swis.name, Round.name, Uniform.name]
    order = [name for name in INGREDIENTS if name in set(whole["ingredient"])]
    figure, grid = _grid(whole["model"].nunique(), len(methods), (11, 7))
    for line, (model, mine) in zip(grid, whole.groupby("model"), strict=True):
        reference = rows[(rows["method"] == Float.name) & (rows["model"] == model)]
        for axes, method in zip(line, methods, strict=True):
            shown = pd.concat([mine[mine["method"] == method], reference])
            accuracy_by_shifts(shown, "bits", "ingredient", axes, order)
            axes.set(title=f"{method}, {model}", xticks=[1, 2, 3, 4], xlabel="shifts = cycles per weight")
    _legend(figure, grid[0, 0])
    return figure


def scheduling(results: Path = RESULTS) -> Figure:
    """Top-1 over the average number of shifts, and over cycles per MAC, for four policies."""
    rows = load_table(results / "scheduling")
    price = rows["config"].map(lambda text: json.loads(text).get("schedule", {}).get("price"))
    by_macs = (price == "macs") & (rows["schedule"] == "network")
    rows["policy"] = rows["schedule"].where(~by_macs, "network, by MACs")
    networks = list(rows.groupby(["model", "data"]))
    figure, grid = _grid(2, len(networks), (13, 7))
    for column, ((model, data), mine) in zip(grid.T, networks, strict=True):
        accuracy_by_shifts(mine, "bits", "policy", column[0])
        column[0].set(title=f"{model}, {data}", xlabel="shifts per weight, as asked")
        accuracy_by_shifts(mine, "cycles_per_mac", "policy", column[1]).set(xlabel="cycles per MAC")
    _legend(figure, grid[0, 0])
    return figure


def retraining(results: Path = RESULTS) -> Figure:
    """Points below float before retraining and after it: means over seeds with their intervals."""
    rows = load_table(results / "retrain")
    retrained, floats = rows[rows["training"].notna()], rows[rows["method"] == Float.name]
    calibrated = rows[rows["training"].isna() & rows["bits"].notna()]
    networks = list(retrained.groupby(["model", "data"]))
    figure, grid = _grid(1, len(networks), (13, 4))
    for axes, ((model, data), mine) in zip(grid.flat, networks, strict=True):
        weights = mine["weights"].iloc[0]
        same = [table["model"].eq(model) & table["weights"].eq(weights) for table in (floats, calibrated)]
        reference = floats[same[0]]["top1"].mean()
        for some, before in ((calibrated[same[1]], True), (mine, False)):
            summary = over_seeds(some, ["bits", "method"]).reset_index()
            if len(summary):
                means_by_method(summary, reference, axes, before)
        # CIFAR-10's images are a folder of JPEG files
        axes.set_title(f"{model}, {'CIFAR-10 (JPEG)' if data == 'image_folder' else data}", fontsize=10)
    _legend(figure, grid[0, 0])
    return figure


def hardware(results: Path = RESULTS) -> Figure:
    """Latency and energy of MobileNet-v2 by design at equal area and loss, its roofline and DRAM traffic."""
    network = "mobilenet_v2"
    equal = _equal_area(results).query("network == @network")
    layers = load_simulated(results / "hardware" / "layers")
    mine = layers.query("network == @network and accelerator == 'swis_ss' and method == 'swis'")
    fastest = within_loss(equal).sort_values("latency_ms")
    frugal = within_loss(equal, by="energy_pj").sort_values("energy_pj")
    figure, grid = _grid(2, 2, (11, 8))
    cycles = 1e3 * fastest["frequency_mhz"].iloc[0]
    cycle_breakdown(fastest, "accelerator", grid[0, 0], cycles, "latency of an image [ms]")
    name_formats(fastest, fastest["latency_ms"], grid[0, 0])
    energy_breakdown(frugal, "accelerator", grid[0, 1])
    name_formats(frugal, frugal["energy_pj"] / 1e6, grid[0, 1])
    for axes, which in zip(grid[0], ("fastest", "least energy"), strict=True):
        axes.set_title(f"{network}, equal area, at most one point lost: {which}", fontsize=9)
    width, shifts = mine["dram_bits_per_cycle"].iloc[0], mine["bits"].iloc[0]
    which = f"{network} on swis_ss, N = {shifts:g}"
    roofline(mine, width / 8, grid[1, 0]).set_title(f"{which}, {width} bits of DRAM a cycle", fontsize=10)
    traffic_by_layer(mine, grid[1, 1]).set_title(which, fontsize=10)
    for axes, columns in ((grid[0, 1], 2), (grid[1, 0], 1), (grid[1, 1], 1)):
        axes.legend(fontsize=8, ncols=columns)
    return figure


def pareto(results: Path = RESULTS) -> Figure:
    """Accuracy lost over latency and over energy: every format on every design of equal area."""
    table = made_for(_equal_area(results))
    table = table.assign(energy_uj=table["energy_pj"] / 1e6)
    figure, grid = _grid(table["network"].nunique(), 2, (10, 8))
    for line, (network, mine) in zip(grid, table.groupby("network"), strict=True):
        tradeoff(mine, "latency_ms", "latency of an image [ms]", line[0]).set_title(network)
        tradeoff(mine, "energy_uj", "energy of an image [uJ]", line[1]).set_title(network)
    _legend(figure, grid[0, 0])
    return figure


def sensitivity(results: Path = RESULTS) -> Figure:
    """Gains of swis_ss over bit-serial designs by what DRAM costs, and by its bandwidth."""
    equal = within_loss(_equal_area(results))
    costs = (2, 5, 11, 15, 20, 30)
    by_cost = pd.concat(advantage(at_dram_cost(equal, cost), "swis_ss").assign(cost=cost) for cost in costs)
    wide = with_accuracy(load_simulated(results / "hardware" / "bandwidth"), _imagenet(results))
    by_width = pd.concat(
        advantage(within_loss(part), "swis_ss").assign(width=width)
        for width, part in wide.groupby("dram_bits_per_cycle")
    )
    figure, grid = _grid(1, 2, (11, 4))
    one = "network == 'mobilenet_v2'"
    gain_by(by_cost.query(one), "cost", "energy_gain", "energy of a bit of DRAM [pJ]", grid[0, 0])
    gain_by(by_width.query(one), "width", "speedup", "bits of DRAM a cycle", grid[0, 1])
    grid[0, 1].set_xscale("log", base=2)
    grid[0, 1].xaxis.set_major_formatter(ScalarFormatter())
    for axes in grid[0]:
        axes.set_title("swis_ss over others, equal area, one point lost, mobilenet_v2", fontsize=9)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(ScalarFormatter())
    _legend(figure, grid[0, 0])
    return figure


def _imagenet(results: Path) -> pd.DataFrame:
    return fully_calibrated(load_table(results / "calibration").query("data == 'imagenet'"))


def _equal_area(results: Path) -> pd.DataFrame:
    return with_accuracy(load_simulated(results / "hardware" / "equal_area"), _imagenet(results))


def _grid(lines: int, columns: int, size: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Return a figure with axes [lines, columns]; without pyplot, which would show it twice in a notebook."""
    figure = Figure(size, layout="constrained", dpi=_DPI_OF_NOTEBOOKS)
    return figure, figure.subplots(lines, columns, squeeze=False)


def _legend(figure: Figure, like: Axes) -> None:
    """Give a figure one legend, that of one of its axes, in place of those of all."""
    for axes in figure.axes:
        if axes.get_legend() is not None:
            axes.get_legend().remove()
    figure.legend(*like.get_legend_handles_labels(), loc="outside right upper", fontsize=8)


FIGURES: dict[str, Callable[[Path], Figure]] = {
    made.__name__: made
    for made in (
        *(group, decomposition, compression, metric, accuracy, calibration),
        *(scheduling, retraining, hardware, pareto, sensitivity),
    )
}


def main(names: list[str]) -> int:
    """Draw figures, all unless some are named, to results/figures; return the exit status."""
    if unknown := [name for name in names if name not in FIGURES]:
        print(f"error: there is no figure {unknown[0]}; there are {', '.join(FIGURES)}", file=sys.stderr)
        return 2
    try:
        for name in tqdm(names or FIGURES, desc="figures"):
            figure = FIGURES[name](RESULTS)
            for ending, facts in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
                write = partial(figure.savefig, format=ending, dpi=DPI, metadata=facts)
                write_atomically(RESULTS / "figures" / f"{name}.{ending}", write)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
