"""Trade-offs: cycles and energy of simulated accelerators at the same loss of accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.registry import formats
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC

# The bit-serial designs, with which the paper compares its speed.
BIT_SERIAL = ("stripes", "stripes_activations", "loom", "pragmatic", "laconic", "bitlet", "bitwave")

# The array without shift sets: its PEs are smaller, so that it has more columns at equal area.
UNSHARED = "truncation"

# The losses of top-1 [points] that count as "similar accuracy"; the best design depends on them.
LOSSES = (0.5, 1.0, 2.0, 3.0)

# The array that supports only consecutive shifts.
CONSECUTIVE = "swis_c"


def on_swis_arrays(table: pd.DataFrame) -> pd.Series:
    """Return which rows are about SWIS arrays with shift sets, whose names all start with "swis"."""
    return table["accelerator"].str.startswith("swis")


def _formats_for(shift_sets: bool) -> list[str]:
    """Return the formats that designs with or without shift sets are made for."""
    known = {name: kind for name, kind in formats().items() if kind.quantized}
    return [name for name, kind in known.items() if shift_sets == (kind.grouped and not kind.scaled_groups)]


def with_accuracy(hardware: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of simulated networks with the columns ``top1`` [%] and ``loss`` [points] of measured rows.

    ``hardware`` is a table from ``task=simulate per_layer=false``; ``rows`` are measured rows of one data
    set, one calibration set and one group size. Simulated rows without a measured row are left out. ``loss``
    is the top-1 accuracy of the float network minus that of the row.
    """
    known = rows[["model", "method", "bits", "magnitude_bits", "top1"]].rename(columns={"model": "network"})
    known["bits"] = known["bits"].fillna(known["magnitude_bits"].astype(float))
    reference = known[known["method"] == Float.name].set_index("network")["top1"]
    measured = known[known["method"] != Float.name].drop(columns="magnitude_bits")
    table = hardware.merge(measured, on=["network", "method", "bits"], validate="many_to_one")
    return table.assign(loss=table["network"].map(reference) - table["top1"])


def by_design(table: pd.DataFrame) -> pd.DataFrame:
    """Return the latency [ms] and energy [uJ] of networks, with a row per design.

    SWIS arrays have a row per number of shifts, with SWIS (or SWIS-C) weights. Other designs have one row,
    with 8-bit weights.

    >>> table = pd.DataFrame({"network": "n", "accelerator": ["swis_ss", "stripes"],
    ...     "method": ["swis", "int8"], "bits": [2.0, 7.0], "latency_ms": [2.0, 6.0], "energy_pj": 1e6})
    >>> float(by_design(table).loc["swis_ss N=2", ("ms", "n")])
    2.0
    """
    shared = on_swis_arrays(table)
    sets = np.where(table["accelerator"] == CONSECUTIVE, SwisC.name, Swis.name)
    some = table[table["method"] == np.where(shared, sets, Int8.name)]
    shifts = some["bits"].map(" N={:g}".format).where(some["method"] != Int8.name, "")
    some = some.assign(design=some["accelerator"] + shifts, ms=some["latency_ms"], uJ=some["energy_pj"] / 1e6)
    return some.pivot(index="design", columns="network", values=["ms", "uJ"])


def made_for(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a format that the design is made for.

    SWIS arrays are made for formats with shift sets, the array ``swis_c`` only for consecutive shifts, and
    all other designs for formats without shift sets.

    >>> table = pd.DataFrame({"accelerator": ["swis_ss", "stripes"], "method": ["swis", "swis"]})
    >>> made_for(table)["accelerator"].tolist()
    ['swis_ss']
    """
    shared = on_swis_arrays(table)
    takes = table["accelerator"].ne(CONSECUTIVE) | table["method"].eq(SwisC.name)
    fit = table["method"].isin(_formats_for(shift_sets=True)) & takes
    return table[fit.where(shared, table["method"].isin(_formats_for(shift_sets=False)))]


def within_loss(table: pd.DataFrame, points: float = 1.0, by: str = "latency_ms") -> pd.DataFrame:
    """Return the row with the least ``by`` that loses at most ``points``, for every network and accelerator.

    ``table`` is a result of ``with_accuracy``. Only formats that a design is ``made_for`` are considered.

    >>> table = pd.DataFrame({"network": "n", "accelerator": ["swis_ss", "swis_ss", "stripes"],
    ...     "method": ["swis", "swis", "int8"], "loss": [0.5, 4.0, 0.1], "latency_ms": [2.0, 1.0, 3.0]})
    >>> within_loss(table)["latency_ms"].tolist()
    [3.0, 2.0]
    """
    good = made_for(table).query("loss <= @points + 1e-9")
    best = good.sort_values([by, "method"]).groupby(["network", "accelerator"]).head(1)
    return best.sort_values(["network", "accelerator"], ignore_index=True)


def advantage(table: pd.DataFrame, of: str, over: Sequence[str] = BIT_SERIAL) -> pd.DataFrame:
    """Return the speedup and energy gain of one accelerator over others.

    ``table`` has a row per network and accelerator. The result has a row per network and other accelerator
    with ``speedup`` and ``energy_gain``, and with method, bits and loss of both if ``table`` has them.

    >>> table = pd.DataFrame({"network": "n", "accelerator": ["swis_ss", "stripes"], "latency_ms": [2.0, 6.0],
    ...     "energy_pj": [1.0, 1.5]})
    >>> advantage(table, "swis_ss")[["over", "speedup", "energy_gain"]].values.tolist()
    [['stripes', 3.0, 1.5]]
    """
    columns = [name for name in ("method", "bits", "loss") if name in table]
    mine = table[table["accelerator"] == of].set_index("network")
    theirs = table[table["accelerator"].isin(over)]
    found = theirs[["network", "accelerator"]].rename(columns={"accelerator": "over"})
    for name in columns:
        found[name] = theirs["network"].map(mine[name])
        found[f"{name}_over"] = theirs[name]
    found["speedup"] = theirs["latency_ms"] / theirs["network"].map(mine["latency_ms"])
    found["energy_gain"] = theirs["energy_pj"] / theirs["network"].map(mine["energy_pj"])
    return found.dropna(subset="speedup").reset_index(drop=True)


def at_dram_cost(table: pd.DataFrame, pj_per_bit: float) -> pd.DataFrame:
    """Return rows of networks or layers with the DRAM energy of another cost per bit [pJ].

    >>> table = pd.DataFrame({"dram_bytes": [10.0], "dram_energy_pj": [1200], "energy_pj": [1500]})
    >>> at_dram_cost(table, 5.0)[["dram_energy_pj", "energy_pj"]].values.tolist()
    [[400.0, 700.0]]
    """
    energy = (table["dram_bytes"] * 8 * pj_per_bit).round()
    return table.assign(
        dram_energy_pj=energy, energy_pj=table["energy_pj"] - table["dram_energy_pj"] + energy
    )


def fair_gains(equal: pd.DataFrame, by: str, losses: Sequence[float] = LOSSES) -> pd.DataFrame:
    """Return the gain of the best SWIS array over the best bit-serial design, each with its best format.

    ``equal`` is a result of ``with_accuracy`` for designs of equal area; ``by`` is latency_ms or energy_pj.
    The result has a row per network and allowed loss (``points``):

    * ``gain``: over the best bit-serial design;
    * ``gain_over_unshared``: over the array without shift sets;
    * accelerator, method, bits and ``by`` of all three: without suffix, with ``_over`` for the bit-serial
      design, and with ``_unshared`` for the array without shift sets.

    >>> lines = pd.DataFrame({"network": "n", "accelerator": ["swis_ss", "stripes", "truncation"],
    ...     "method": ["swis", "uniform", "round"], "bits": 3.0, "loss": 0.1, "latency_ms": [2.0, 6.0, 3.0]})
    >>> fair_gains(lines, "latency_ms", [1.0])[["gain", "gain_over_unshared"]].values.tolist()
    [[3.0, 1.5]]
    """
    found = []
    for points in losses:
        best = within_loss(equal, points, by)
        names = best["accelerator"]
        sides = [best[some] for some in (on_swis_arrays(best), names.isin(BIT_SERIAL), names == UNSHARED)]
        mine, theirs, own = (side.sort_values(by).drop_duplicates("network") for side in sides)
        columns = ["network", "accelerator", "method", "bits", by]
        pairs = mine[columns].merge(theirs[columns], on="network", suffixes=("", "_over"))
        own = own[["network", "method", "bits", by]].add_suffix("_unshared")
        pairs = pairs.merge(own.rename(columns={"network_unshared": "network"}), on="network", how="left")
        gain, over_own = (pairs[f"{by}_{other}"] / pairs[by] for other in ("over", "unshared"))
        found.append(pairs.assign(points=points, gain=gain, gain_over_unshared=over_own))
    return pd.concat(found).sort_values(["network", "points"], ignore_index=True)


def most_gained(simulated: pd.DataFrame, by: str) -> pd.Series:
    """Return the largest gain of a SWIS array, at any loss, over a bit-serial design with 8-bit weights.

    ``simulated`` has rows of networks. The result has ``network``, ``gain``, and the columns of both sides as
    in ``fair_gains``.
    """
    columns = ["network", "accelerator", "method", "bits", by]
    shared = simulated["method"].isin(_formats_for(shift_sets=True))
    swis = simulated[on_swis_arrays(simulated) & shared]
    # of equal gains, idxmax takes the first row
    swis = swis.sort_values("accelerator", ascending=False, kind="stable")
    rivals = simulated[simulated["accelerator"].isin(BIT_SERIAL) & simulated["method"].eq(Int8.name)]
    pairs = swis[columns].merge(rivals[columns], on="network", suffixes=("", "_over"))
    gain = pairs[f"{by}_over"] / pairs[by]
    return pairs.assign(gain=gain).loc[gain.idxmax()]


def pareto_front(table: pd.DataFrame, cost: str) -> pd.DataFrame:
    """Return the rows that none beats in both ``cost`` and "loss", the cheapest first.

    >>> table = pd.DataFrame({"ms": [1.0, 2.0, 3.0], "loss": [5.0, 6.0, 1.0]})
    >>> pareto_front(table, "ms")["ms"].tolist()
    [1.0, 3.0]
    """
    ordered = table.sort_values([cost, "loss"])
    best = ordered["loss"].cummin()
    return ordered[ordered["loss"].eq(best) & ~best.duplicated()]
