"""The text that a run prints: tables of its rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from swis.encoding.cost import BASELINE_BITS, FLOAT_BITS
from swis.errors import InputError
from swis.formats.registry import weight_format
from swis.formats.weight_format import CODINGS
from swis.results.hardware_results import REASON
from swis.results.records import CURVE, SCHEDULE, artifact_path, read_table

if TYPE_CHECKING:
    from swis.experiments.config import Config
    from swis.packing.file import PackedNetwork


def of_rows(rows: pd.DataFrame, config: Config) -> str:
    """Format the report of a run: tables of all rows that did not fail."""
    done, folder = rows[rows["status"] == "ok"], config.results_dir
    lines = []
    if len(done):
        lines = [
            f"{summary(done)}\n{calibration(config)}".rstrip(),
            schedules(done, config.bits, folder),
            trainings(done, folder),
        ]
    if "accelerator" in done and done["accelerator"].notna().any():
        lines.append(hardware(done[done["accelerator"].notna()], config.baselines))
    where = f"{len(rows)} rows in {folder}: swis.load_table({folder!r})"
    return "\n\n".join(filter(None, [*lines, where]))


def summary(rows: pd.DataFrame) -> str:
    """Format rows for the terminal: accuracy with its 95 % interval, cycles and storage.

    "vs int8" and "vs float32" are the size of weights in these formats divided by the size of the row's
    weights. "ideal Mcycles" are those of a single lane that is always busy, per image: MACs x cycles per
    weight.
    """
    table = pd.DataFrame(
        {
            "method": [_label(row) for row in rows.itertuples()],
            "top-1 % (95 % interval)": [
                f"{row.top1:6.2f} ({row.top1_low:.2f}-{row.top1_high:.2f})" for row in rows.itertuples()
            ],
            "shifts": _optional(rows["shifts"], "{:g}"),
            "agreement %": _optional(rows["agreement"], "{:.2f}"),
            "KL": _optional(rows["kl"], "{:.4f}"),
            "cycles/weight": _optional(rows["cycles_per_weight"], "{:.2f}"),
            "bits/weight": rows["weight_bits"].map("{:.2f}".format).to_list(),
            "vs int8": rows["compression_vs_int8"].map("{:.2f}x".format).to_list(),
            "vs float32": rows["compression_vs_float32"].map("{:.2f}x".format).to_list(),
            "ideal Mcycles": _optional(rows["ideal_cycles"] / 1e6, "{:.1f}"),
        }
    )
    if rows["held_out_images"].notna().any():
        table["all agreement %"] = _optional(rows["held_out_agreement"], "{:.2f}")
        table["all KL"] = _optional(rows["held_out_kl"], "{:.4f}")
    first = rows.iloc[0]
    title = f"{first.model} ({first.weights} weights) on {first.data}/{first.split}, {first.images} images"
    damaged = rows["damaged_images"].max()
    if pd.notna(damaged) and damaged > 0:
        title += f" ({damaged} damaged images are left out)"
    if pd.notna(first.held_out_images):
        title += f"; all: with held-out images, {first.held_out_images} in total"
    return f"{title}\n{table.to_string(index=False)}"


def calibration(config: Config) -> str:
    """Format how the networks of a run were calibrated, and on which images; nothing for a packed file."""
    if config.weights is not None:
        return ""
    line = f"calibrate={config.calibrate}: {config.calibration_kind.summary}"
    if not config.needs_calibration:
        return line
    uses = []
    if config.is_calibrated or config.activation_bits is not None:
        what = "" if config.is_calibrated else "ranges of activations: "
        uses.append(f"{what}at most {config.calibration.images} unlabelled images")
    if config.schedule.looks_at_images:
        uses.append(f"schedule: the first {config.schedule.images}")
    return f"{line} ({'; '.join(uses)} of {config.data.name}/{config.data.calibration_split})"


def schedules(rows: pd.DataFrame, bits: float, folder: str) -> str:
    """Format a line per scheduled method: the shifts, cycles and bits that a budget of ``bits`` gave."""
    lines = [
        f"{row.method}, {row.schedule} schedule of {bits:g}: {row.shifts_per_weight:.3f} shifts and "
        f"{row.cycles_per_weight:.3f} cycles per weight ({row.cycles_per_weight_unordered:.3f} without "
        f"reordering), {row.cycles_per_mac:.3f} cycles per MAC, {row.weight_bits:.3f} bits per weight"
        f"\n  filters in {artifact_path(row.key, Path(folder), SCHEDULE)}"
        for row in rows.dropna(subset="schedule_spent").itertuples()
    ]
    return "\n".join(lines)


def trainings(rows: pd.DataFrame, folder: str) -> str:
    """Format a line per retrained method: the loss of its training, and how many codes it changed."""
    lines = []
    for row in rows.dropna(subset="training").itertuples():
        path = artifact_path(row.training, Path(folder), CURVE)
        try:
            curve = read_table(path)
        except FileNotFoundError:  # rows may have been copied without their artifacts
            continue
        except InputError as error:
            lines.append(f"{row.method}, retrained; its curve cannot be read: {error}")
            continue
        losses = f"mean loss {curve['loss'].iloc[0]:.4f} in epoch 1"
        if len(curve) > 1:
            losses += f", {curve['loss'].iloc[-1]:.4f} in epoch {len(curve)}"
        changed = f"{100 * curve['changed'].iloc[-1]:.1f} % of codes changed in the last epoch"
        lines.append(f"{row.method}, retrained: {losses}; {changed}\n  curve in {path}")
    return "\n".join(lines)


def hardware(rows: pd.DataFrame, versus: list[str]) -> str:
    """Format the hardware results of rows for one image, with a line per method.

    For rows without numbers the reason is given.
    """
    first = rows.iloc[0]
    known, reasons = _with_numbers(rows, [_label(row) for row in rows.itertuples()])
    where = f"one image on {first.accelerator}, energies of {first.energy_table}"
    if "coding" in rows and rows["coding"].dropna().ne(CODINGS[0]).any():
        where += ", weights in plain coding"  # whatever the coding of the rows
    lines = [where, *reasons]
    if len(known):
        lines.append(_hardware_table([_label(row) for row in known.itertuples()], known, versus))
    return "\n".join(lines)


def simulation(rows: pd.DataFrame, source: str, versus: list[str]) -> str:
    """Format a simulation of a network or of layer shapes for one image, with a line per method."""
    rows, reasons = _with_numbers(rows, [row.method for row in rows.itertuples()])
    if rows.empty:
        return "\n".join(reasons)
    first = rows.iloc[0]
    title = (
        f"{first.network} on {first.accelerator} ({source}), one image of {first.macs / 1e6:.1f} MMACs, "
        f"{first['rows']} x {first['columns']} PEs, {first.area_mm2:.2f} mm2 with SRAMs"
    )
    if left := first.unsimulated_macs:
        title += f"; {left / 1e6:.1f} MMACs of float weights and between activations are not simulated"
    if first.weights == "shapes":
        title += "; weights and inputs have random values where the hardware depends on them"
    labels = [f"{row.method} N={row.bits:g}" for row in rows.itertuples()]
    return "\n".join([title, *reasons, _hardware_table(labels, rows, versus)])


def _with_numbers(rows: pd.DataFrame, labels: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the rows with hardware numbers, and lines with the reasons why others have none."""
    if REASON not in rows:
        return rows, []
    refused = rows[REASON].notna()
    names = pd.Series(labels, rows.index)[refused]
    reasons = names.groupby(rows.loc[refused, REASON], sort=False)
    return rows[~refused], [f"no results of {', '.join(some)}: {reason}" for reason, some in reasons]


def _hardware_table(labels: list[str], rows: pd.DataFrame, versus: list[str]) -> str:
    columns = {
        "method": labels,
        "Mcycles": (rows["latency_cycles"] / 1e6).map("{:.3f}".format),
        "stalled": (rows["stall_cycles"] / rows["latency_cycles"]).map("{:.1%}".format),
        "lanes": rows["lanes"].map("{:.0f}".format),
        "array mm2": rows["array_mm2"].map("{:.3f}".format),
        "lanes used": rows["utilization"].map("{:.1%}".format),
        "ms": rows["latency_ms"].map("{:.3f}".format),
        "frames/s": rows["frames_per_s"].map("{:.1f}".format),
        "uJ": (rows["energy_pj"] / 1e6).map("{:.1f}".format),
        "frames/J": rows["frames_per_j"].map("{:.0f}".format),
        "DRAM MB": (rows["dram_bytes"] / 1e6).map("{:.2f}".format),
    }
    for name in versus:
        columns[f"vs {name}"] = _optional(rows[f"speedup_vs_{name}"], "{:.2f}x")
    table = pd.DataFrame({name: list(values) for name, values in columns.items()}).to_string(index=False)
    return f"{table}\nvs: speedup over int8 weights on that design" if versus else table


def kinds(layers: pd.DataFrame) -> str:
    """Format the cycles, traffic and energy of one method, with a line per kind of layer."""
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


def storage(packed: PackedNetwork) -> str:
    """Format the bits per weight of a packed network, by part of the file."""
    parts = packed.bits_per_weight()
    total = sum(parts.values())
    shares = ", ".join(f"{part} {bits:.3f}" for part, bits in parts.items())
    fmt = packed.fmt
    return (
        f"{packed.label}, {fmt.name} N={fmt.shifts} M={fmt.group_size}, {packed.coding}: "
        f"{total:.3f} bits per weight ({shares}), {BASELINE_BITS / total:.2f}x smaller than 8 bits, "
        f"{FLOAT_BITS / total:.2f}x smaller than float32"
    )


def storage_summary(table: pd.DataFrame) -> str:
    """Format bits per weight with a line per method, coding and shifts, and a column per group size."""
    packed = table.dropna(subset="weight_bits")
    bits = packed.pivot(index=["method", "coding", "bits"], columns="group_size", values="weight_bits")
    return f"bits per weight of {table['model'][0]}, by group size\n{bits.round(3).to_string()}"


def _label(row: object) -> str:
    settings = {"shifts": row.bits, "magnitude_bits": row.magnitude_bits}
    known = {name: value for name, value in settings.items() if pd.notna(value)}
    return weight_format(row.method, **known).title


def _optional(column: pd.Series, template: str) -> list[str]:
    return ["-" if pd.isna(value) else template.format(value) for value in column]
