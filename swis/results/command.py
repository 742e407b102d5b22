"""The command python -m swis.results summary|compact|check DIR for a results folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from swis.errors import CannotWrite, InputError
from swis.results.compaction import compact, partial_files, stores
from swis.results.records import existing_folder, load_table

# The columns that a summary reads.
COUNTED = ("key", "model", "data", "method", "bits", "status", "created")


def main(arguments: list[str] | None = None) -> int:
    """Count, compact or check a results folder; return the exit status.

    Status 0 means success, 1 damaged files or a file that cannot be written, 2 wrong arguments.
    """
    parser = argparse.ArgumentParser(
        prog="python -m swis.results", description="Count, compact or check the rows in a results folder."
    )
    commands = {
        "summary": "count the rows by model, data and method",
        "compact": "merge the files of single rows into one file; sweeps may run meanwhile",
        "check": "read all files and name the damaged ones; exit status 1 if there are any",
    }
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, what in commands.items():
        subparsers.add_parser(name, help=what, description=what).add_argument("folder", metavar="DIR")
    chosen = parser.parse_args(arguments)
    try:
        folder = existing_folder(chosen.folder)
        if chosen.command == "check":
            text, whole = check(folder)
            print(text)
            return 0 if whole else 1
        print(compact(folder) if chosen.command == "compact" else summary(load_table(folder, COUNTED)))
        return 0
    except (InputError, CannotWrite) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def check(folder: Path) -> tuple[str, bool]:
    """Read all rows and hardware results; return a report, and whether all files are undamaged."""
    damaged: dict[Path, str] = {}
    counts: list[str] = []
    for kind, store in stores(folder).items():
        found = store.scan(thorough=True)
        damaged |= found.damaged
        failed = ""
        if found.rows is not None and "status" in found.rows.column_names:
            failed = f" ({pc.sum(pc.equal(found.rows['status'], 'failed')).as_py()} failed)"
        counts.append(f"{found.count} {kind}{failed} in {len(found.files)} files")
    counts.append(f"{len(damaged)} damaged files, {len(partial_files(folder))} partial files")
    return "\n".join([*(f"{path} {reason}" for path, reason in damaged.items()), *counts]), not damaged


def summary(table: pd.DataFrame) -> str:
    """Return the number of rows by model, data set and method, their range of bits, and the newest date.

    >>> one = {"key": "k", "model": "vgg16", "data": "cifar10", "method": "swis", "status": "ok"}
    >>> print(summary(pd.DataFrame([one | {"bits": 2.5, "created": "2026-01-01"}])))
    model    data method  rows  ok  failed bits       last
    vgg16 cifar10   swis     1   1       0  2.5 2026-01-01
    """
    ok = table["status"].eq("ok")
    groups = table.assign(ok=ok, failed=~ok).groupby(["model", "data", "method"], as_index=False)
    counted = groups.agg(
        rows=("key", "size"),
        ok=("ok", "sum"),
        failed=("failed", "sum"),
        fewest=("bits", "min"),
        most=("bits", "max"),
        last=("created", "max"),
    )
    bits = [_range(low, high) for low, high in zip(counted["fewest"], counted["most"], strict=True)]
    counted.insert(counted.columns.get_loc("last"), "bits", bits)
    return counted.drop(columns=["fewest", "most"]).to_string(index=False)


def _range(low: float, high: float) -> str:
    """
    >>> [_range(1, 4.5), _range(2, 2), _range(float("nan"), float("nan"))]
    ['1 to 4.5', '2', '']
    """
    if pd.isna(low):
        return ""
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
