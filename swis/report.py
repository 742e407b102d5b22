"""Rows as the table a run prints."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from swis.cost import BASELINE_BITS, FLOAT_BITS
from swis.packed import PackedNetwork
from swis.records import SCHEDULE, beside


def summary(rows: pd.DataFrame) -> str:
    """Format rows for the terminal: accuracy with its interval, cycles and storage.

    ideal cycles are lane-cycles per image: MACs x cycles per weight, at full utilisation.
    """
    table = pd.DataFrame(
        {
            "method": [_label(row) for row in rows.itertuples()],
            "top-1 % (95 % interval)": [
                f"{row.top1:6.2f} ({row.top1_low:.2f}-{row.top1_high:.2f})" for row in rows.itertuples()
            ],
            "agreement %": _optional(rows["agreement"], "{:.2f}"),
            "cycles/weight": _optional(rows["cycles_per_weight"], "{:.2f}"),
            "bits/weight": rows["weight_bits"].map("{:.2f}".format).to_list(),
            "compression": rows["compression"].map("{:.2f}x".format).to_list(),
            "ideal Mcycles": _optional(rows["ideal_cycles"] / 1e6, "{:.1f}"),
        }
    )
    first = rows.iloc[0]
    title = f"{first.model} ({first.weights} weights) on {first.data}/{first.split}, {first.images} images"
    return f"{title}\n{table.to_string(index=False)}"


def schedules(rows: pd.DataFrame, bits: float, folder: str) -> str:
    """Format, a line per scheduled method, what the asked average of ``bits`` shifts became."""
    lines = [
        f"{row.method}, {row.schedule} schedule of {bits:g}: {row.shifts_per_weight:.3f} shifts and "
        f"{row.cycles_per_weight:.3f} cycles per weight ({row.cycles_per_weight_unordered:.3f} without "
        f"reordering), {row.cycles_per_mac:.3f} cycles per MAC, {row.weight_bits:.3f} bits per weight"
        f"\n  filters in {beside(row.key, Path(folder), SCHEDULE)}"
        for row in rows.dropna(subset="schedule_spent").itertuples()
    ]
    return "\n".join(lines)


def hardware(rows: pd.DataFrame, versus: list[str]) -> str:
    """Format what an accelerator takes for one image, a line per method; then how much faster it is.

    Speedups are over the base format on other designs.
    """
    table = _hardware_columns(rows, [_label(row) for row in rows.itertuples()])
    for name in versus:
        column = rows[f"speedup_vs_{name}"]
        table[f"vs {name}"] = _optional(column, "{:.2f}x")
    first = rows.iloc[0]
    note = f"vs: speedup over {first.magnitude_bits + 1:.0f}-bit weights on that design" if versus else ""
    title = f"one image on {first.accelerator}, energies of {first.energy_table}"
    return "\n".join(filter(None, [title, table.to_string(index=False), note]))


def simulation(rows: pd.DataFrame, source: str) -> str:
    """Format what an accelerator takes for one image of shapes or a network, a line per method."""
    labels = [f"{row.method} N={row.bits:g}" for row in rows.itertuples()]
    table = _hardware_columns(rows, labels)
    table["MACs/cycle"] = rows["macs_per_cycle"].map("{:.1f}".format).to_list()
    first = rows.iloc[0]
    title = (
        f"{first.network} on {first.accelerator} ({source}), one image of {first.macs / 1e6:.1f} MMACs, "
        f"array {first.array_mm2:.3f} mm2, with SRAMs {first.area_mm2:.2f} mm2"
    )
    if first.weights == "gaussian":
        title += "; values of weights are drawn"
    return f"{title}\n{table.to_string(index=False)}"


def kinds(layers: pd.DataFrame) -> str:
    """Format where one method's cycles, traffic and energy go, a line per kind of layer."""
    sums = layers.groupby("kind", sort=False).sum(numeric_only=True)
    table = pd.DataFrame(
        {
            "layers": sums.index,
            "MMACs": (sums["macs"] / 1e6).map("{:.1f}".format),
            "Mcycles": (sums["latency_cycles"] / 1e6).map("{:.3f}".format),
            "stalled": (sums["stall_cycles"] / sums["latency_cycles"]).map("{:.1%}".format),
            "lanes used": (sums["busy_lane_cycles"] / sums["lane_cycles"]).map("{:.1%}".format),
            "DRAM MB": (sums["dram_bytes"] / 1e6).map("{:.2f}".format),
            "uJ": (sums["energy_pj"] / 1e6).map("{:.1f}".format),
        }
    )
    first = layers.iloc[0]
    return f"{first.method} N={first.bits:g}, by kind of layer\n{table.to_string(index=False)}"


def _hardware_columns(rows: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": labels,
            "Mcycles": (rows["latency_cycles"] / 1e6).map("{:.3f}".format).to_list(),
            "stalled": (rows["stall_cycles"] / rows["latency_cycles"]).map("{:.1%}".format).to_list(),
            "lanes used": rows["utilization"].map("{:.1%}".format).to_list(),
            "ms": rows["latency_ms"].map("{:.3f}".format).to_list(),
            "frames/s": rows["frames_per_s"].map("{:.1f}".format).to_list(),
            "uJ": (rows["energy_pj"] / 1e6).map("{:.1f}".format).to_list(),
            "frames/J": rows["frames_per_j"].map("{:.0f}".format).to_list(),
            "DRAM MB": (rows["dram_bytes"] / 1e6).map("{:.2f}".format).to_list(),
        }
    )


def storage(packed: PackedNetwork) -> str:
    """Format where a packed network's bits go."""
    parts = packed.bits_per_weight()
    total = sum(parts.values())
    shares = ", ".join(f"{part} {bits:.3f}" for part, bits in parts.items())
    form = packed.form
    return (
        f"{packed.label}, {form.method} N={form.shifts} M={form.group_size}, {packed.coding}: "
        f"{total:.3f} bits per weight ({shares}), {BASELINE_BITS / total:.2f}x of 8 bits, "
        f"{FLOAT_BITS / total:.2f}x of float32"
    )


def storage_summary(table: pd.DataFrame) -> str:
    """Format measured bits per weight, a line per method, coding and shifts, a column per group size."""
    packed = table.dropna(subset="weight_bits")
    bits = packed.pivot(index=["method", "coding", "bits"], columns="group_size", values="weight_bits")
    return f"bits per weight of {table['model'][0]}, by group size\n{bits.round(3).to_string()}"


def _label(row: object) -> str:
    if row.method == "base":
        return f"{row.magnitude_bits + 1}-bit"
    if row.method == "uniform":
        return f"uniform ({row.bits + 1:g}-bit)"
    return row.method


def _optional(column: pd.Series, template: str) -> list[str]:
    return ["-" if pd.isna(value) else template.format(value) for value in column]
