"""What simulated accelerators take, and what SWIS's arrays gain over others."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import called, ends, imagenet_commands, of
from swis.analysis.ablation import fully_calibrated
from swis.analysis.trade_offs import (
    BIT_SERIAL,
    advantage,
    at_dram_cost,
    by_design,
    fair_gains,
    most_gained,
    with_accuracy,
    within_loss,
)
from swis.formats.float32 import Float
from swis.gallery.common import calibrated_on_imagenet, of_equal_area
from swis.plots.names import design_name, format_name, network_name
from swis.results.records import load_simulated, load_table

# SWIS-C's array is in no ``versus`` of designs that also take other sets.
_ON_SWIS_C = "accelerator=swis_c versus=[] methods=[swis,swis_c]"
DRAM_COSTS = (5, 11, 15, 20)  # pJ per bit: what published tools have, and less


def _on_all(experiment: str, of_shapes: str = "") -> list[str]:
    """Return the commands of an experiment: of networks and of shapes, and again on SWIS-C's array."""
    names = ("resnet18", "vgg16")
    start = f"python run.py experiment={experiment}"
    shapes = [f"{start} model={name} workload={name}{of_shapes}" for name in names]
    networks = imagenet_commands(experiment)
    others = [f"{command} methods=[swis,uniform]" for command in shapes]
    return [*networks, *others, *(f"{command} {_ON_SWIS_C}" for command in (*networks, *shapes))]


def published(results: Path) -> pd.DataFrame:
    """Return the lines of networks on designs as published, 8 x 8 PEs each."""
    return load_simulated(results / "hardware" / "as_published")


def area(results: Path) -> pd.DataFrame:
    """Return the lines of networks on designs of equal area with the same options."""
    return load_simulated(results / "hardware" / "equal_area")


def _as_published(results: Path, quantity: str, title: str, swis: bool) -> pd.DataFrame:
    found = by_design(published(results))[quantity].rename(columns=network_name).rename_axis(columns=None)
    parts = found.index.str.split(" N=")  # SWIS's arrays have a line for every number of shifts
    found = found[[(len(part) > 1) == swis for part in parts]]
    found = pd.concat({title: found}, axis=1)
    if not swis:
        return found.rename(index=design_name)
    places = [(design_name(name), int(shifts)) for name, shifts in found.index.str.split(" N=")]
    return found.set_axis(pd.MultiIndex.from_tuples(places, names=["array", "shifts N"]))


_PUBLISHED = _on_all("hardware")


@table(*_PUBLISHED)
def hardware_latency_swis(results: Path) -> pd.DataFrame:
    """Latency of one image of 224 x 224 on SWIS's arrays of 8 x 8 PEs; on SWIS-C's with SWIS-C weights."""
    return _as_published(results, "ms", "latency [ms]", swis=True)


@table()
def hardware_latency_others(results: Path) -> pd.DataFrame:
    """Latency of the same image on other designs as published, 8 x 8 PEs, 8-bit weights."""
    return _as_published(results, "ms", "latency [ms]", swis=False)


@table()
def hardware_energy_swis(results: Path) -> pd.DataFrame:
    """Energy of one image on SWIS's arrays, 8 x 8 PEs, by shifts N."""
    return _as_published(results, "uJ", "energy [µJ]", swis=True)


@table()
def hardware_energy_others(results: Path) -> pd.DataFrame:
    """Energy of one image on other designs as published, 8 x 8 PEs, 8-bit weights."""
    return _as_published(results, "uJ", "energy [µJ]", swis=False)


_AREA = _on_all("equal_area", " bits=2,3")


def _one_point(results: Path, network: str) -> pd.DataFrame:
    found = within_loss(of_equal_area(results)).query("network == @network").sort_values("latency_ms")
    formats = [format_name(*row) for row in found[["method", "bits"]].itertuples(index=False)]
    columns = {"columns": "columns of 8 PEs", "format": "format", "loss": "lost [points]"}
    columns |= {"latency_ms": "latency [ms]", "energy_uj": "energy [µJ]"}
    found = found.assign(format=formats, energy_uj=found["energy_pj"] / 1e6)
    return found.set_index(found["accelerator"].map(design_name).rename("design"))[list(columns)].rename(
        columns=columns
    )


@table(*_AREA)
def hardware_equal_mobilenet_v2(results: Path) -> pd.DataFrame:
    """MobileNet-v2 at equal area: each design in its fastest format that loses at most one point."""
    return _one_point(results, "mobilenet_v2")


@table()
def hardware_equal_efficientnet_lite0(results: Path) -> pd.DataFrame:
    """EfficientNet-Lite0 at equal area: each design in its fastest format that loses at most one point."""
    return _one_point(results, "efficientnet_lite0")


def _gains(results: Path, by: str) -> pd.DataFrame:
    found = fair_gains(of_equal_area(results), by)

    def side(end: str) -> list[str]:
        names = [f"method{end}", f"bits{end}"]
        texts = [format_name(*row) for row in found[names].itertuples(index=False)]
        if f"accelerator{end}" not in found:
            return texts
        designs = found[f"accelerator{end}"].map(design_name)
        return [f"{design} ({text})" for design, text in zip(designs, texts, strict=True)]

    return pd.DataFrame(
        {
            "network": found["network"].map(network_name),
            "at most lost [points]": found["points"],
            "best SWIS array (its format)": side(""),
            "best bit-serial design (its format)": side("_over"),
            "gain [x]": found["gain"],
            "format without shift sets": side("_unshared"),
            "gain over the array without shift sets [x]": found["gain_over_unshared"],
        }
    ).set_index(["network", "at most lost [points]"])


@table()
def hardware_gains_time(results: Path) -> pd.DataFrame:
    """How many times faster the best SWIS array is, by what either may lose (equal area, best formats)."""
    return _gains(results, "latency_ms")


@table()
def hardware_gains_energy(results: Path) -> pd.DataFrame:
    """How many times less energy the best SWIS array takes, by what either may lose (equal area)."""
    return _gains(results, "energy_pj")


@table()
def hardware_dram_cost(results: Path) -> pd.DataFrame:
    """Energy gain of the single-shift array (equal area, one point lost), by what a bit of DRAM costs."""
    gains = energy_gains(results).rename(columns="{} pJ".format)
    return _over_others(pd.concat({"energy gain [x] at": gains}, axis=1))


def energy_gains(results: Path) -> pd.DataFrame:
    """Return the energy gain of the single-shift array over others, a column per cost of a bit of DRAM."""
    found = within_loss(of_equal_area(results))
    return pd.DataFrame({cost: _gain(at_dram_cost(found, cost), "energy_gain") for cost in DRAM_COSTS})


def _gain(lines: pd.DataFrame, column: str) -> pd.Series:
    """Return what the single-shift array gains, by network and the design it is compared with."""
    return advantage(lines, "swis_ss").set_index(["network", "over"])[column]


@table(f"{imagenet_commands('bandwidth')[1]}")
def hardware_bandwidth(results: Path) -> pd.DataFrame:
    """MobileNet-v2: speedup of the single-shift array (equal area, one point lost), by DRAM bandwidth."""
    widths = wide(results).groupby("dram_bits_per_cycle")
    gains = {f"{width} bits a cycle": _gain(within_loss(part), "speedup") for width, part in widths}
    return _over_others(pd.concat({"speedup [x] at": pd.DataFrame(gains)}, axis=1))


def wide(results: Path) -> pd.DataFrame:
    """Return the lines of equal area on DRAM of several widths, with the accuracy of their networks."""
    return with_accuracy(load_simulated(results / "hardware" / "bandwidth"), calibrated_on_imagenet(results))


def _over_others(table: pd.DataFrame) -> pd.DataFrame:
    order = [(network, over) for network in table.index.unique("network") for over in BIT_SERIAL]
    named = table.reindex([place for place in order if place in table.index])
    return called(named.rename(index=design_name, level="over"))


@values
def hardware(results: Path) -> dict[str, str]:
    lines = of_equal_area(results)
    time, energy = (fair_gains(lines, by) for by in ("latency_ms", "energy_pj"))
    best = time.loc[time["gain"].idxmax()]
    rows = load_table(results / "calibration", "all").query("data == 'imagenet' and model == @best.network")
    seeds = fully_calibrated(rows, seed=None)
    same = seeds["method"].eq(best["method"]) & seeds["bits"].eq(best["bits"])
    lost = of(rows, Float)["top1"].item() - seeds[same].set_index("seed")["top1"]
    widths = wide(results).groupby("dram_bits_per_cycle")
    over_bitwave = pd.Series(
        {width: _gain(within_loss(part), "speedup")[:, "bitwave"].item() for width, part in widths}
    )
    over_laconic = advantage(within_loss(lines), "swis_c").set_index(["network", "over"])["speedup"]
    return {
        "time": ends(time["gain"], 2),
        "energy": ends(energy["gain"], 2),
        "time_unshared": ends(time["gain_over_unshared"], 2),
        "energy_unshared": ends(energy["gain_over_unshared"], 2),
        "best_network": network_name(best["network"]),
        "best_format": format_name(best["method"], best["bits"]),
        "best_lost": f"{lost[0]:.1f}",
        "best_lost_otherwise": " and ".join(f"{points:.1f}" for points in lost.drop(0)),
        "time_otherwise": f"{time.drop(best.name)['gain'].max():.2f}",
        "over_laconic": f"{over_laconic['mobilenet_v2', 'laconic']:.1f}",
        "most_time": f"{most_gained(area(results), 'latency_ms')['gain']:.0f}",
        "bitwave_energy": ends(energy_gains(results).xs("bitwave", level="over").stack(), 2),
        "narrow": f"{over_bitwave.iloc[0]:.2f}",
        "wide": f"{over_bitwave.iloc[-1]:.2f}",
    }
